import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

export interface ClaimReply {
  readonly isFirst: boolean
  /** For how long this server has remembered claims, milliseconds by its clock. */
  readonly remembersForMs: number
}

/**
 * Claims one id for the first time. Beside it stands since when this server remembers: a server with another run id has been
 * restarted or was a replica before, and either may have lost claims; a marker that is gone was deleted with them.
 * Atomic; not safe to repeat, since the repetition is refused.
 *
 * Touches the marker and the id, both in one slot.
 */
export const claimScript = defineScript({
  name: 'claim',
  version: 1,
  keys: ['marker_key', 'id_key'],
  arguments: ['ttl_ms'],
  prelude: basicPrelude,
  lua: `
local now = clock()
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local marker = redis.call('HMGET', marker_key, 'run_id', 'since')
local since = tonumber(marker[2])
if marker[1] ~= run_id or not since or since > now then
  since = now
  redis.call('HSET', marker_key, 'run_id', run_id, 'since', int(now))
end
local claimed = redis.call('SET', id_key, '1', 'NX', 'PX', ttl_ms)
return { claimed and 1 or 0, int(now - since) }
`,
  parse(reply): ClaimReply {
    const [isFirst, remembersForMs] = reply as [number, string]
    return { isFirst: isFirst === 1, remembersForMs: Number(remembersForMs) }
  },
})
