import type { KeyRecord } from '../../key-store/sealed-key-store.ts'
import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

/**
 * Reads the record of an issuer, and the clock that its moments are of. Writes nothing; it is run as a script that writes,
 * so that a primary which was demoted refuses it.
 *
 * Touches the record.
 */
export const readSigningKeysScript = defineScript({
  name: 'read-signing-keys',
  version: 1,
  keys: ['record_key'],
  arguments: [],
  isAllowedWhenFull: true,
  prelude: basicPrelude,
  lua: `
local record = redis.call('HMGET', record_key, 'revision', 'sealed')
return { record[1] or '', record[2] or '', int(clock()) }
`,
  parse(reply): KeyRecord {
    const [revision, sealed, now] = reply as [string, string, string]
    return { revision, sealed, now: Number(now) }
  },
})
