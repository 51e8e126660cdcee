import { basicPrelude } from './prelude.ts'
import { defineScript } from '../script.ts'

export interface LookupReply {
  /** `undefined` where the log was never begun, or is gone. */
  readonly epoch: string | undefined
  /** `at:version:reason`, or `undefined`, in the order of the keys. */
  readonly values: readonly (string | undefined)[]
}

/**
 * Looks one token up at every level that one partition can hold. Reads only; see {@link defineScript} for why a primary that
 * must not write refuses it all the same.
 *
 * Touches meta and the look-up keys. A token without some id passes a key that nobody writes.
 */
export const lookupScript = defineScript({
  name: 'lookup',
  version: 1,
  keys: ['meta_key', 'token_key', 'session_key', 'subject_key', 'client_key', 'everyone_key'],
  arguments: [],
  prelude: basicPrelude,
  lua: `
local values = redis.call('MGET', token_key, session_key, subject_key, client_key, everyone_key)
return { redis.call('HGET', meta_key, 'epoch'), values }
`,
  parse(reply): LookupReply {
    const [epoch, values] = reply as [string | null, (string | null)[]]
    return { epoch: epoch ?? undefined, values: values.map((value) => value ?? undefined) }
  },
})
