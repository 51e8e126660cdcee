import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

export interface ClaimReply {
  readonly isFirst: boolean
  /** For how long this server has remembered claims, milliseconds by its clock. */
  readonly remembersForMs: number
  /** Whether the beginning was rounded down to the second. */
  readonly isRounded: boolean
}

/**
 * Claims one id for the first time, or none where the time is 0. Beside it stands since when this server remembers: a server
 * with another run id has been restarted or was a replica before, and either may have lost claims; a marker that is gone was
 * deleted with them. Where a process has not seen a marker before, its absence is taken for a beginning, which is rounded
 * down to the second, so that the first proof of all is not refused for its whole second.
 * Atomic; not safe to repeat, since the repetition is refused.
 *
 * Touches the marker and the id, both in one slot.
 */
export const claimScript = defineScript({
  name: 'claim',
  version: 1,
  keys: ['marker_key', 'id_key'],
  arguments: ['ttl_ms', 'has_seen_marker'],
  prelude: basicPrelude,
  lua: `
local now = clock()
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local marker = redis.call('HMGET', marker_key, 'run_id', 'since')
local since = tonumber(marker[2])
if marker[1] ~= run_id or not since or since > now then
  since = now
  if not marker[1] and has_seen_marker == '0' then since = now - now % 1000 end
  redis.call('HSET', marker_key, 'run_id', run_id, 'since', int(since))
end
local claimed = tonumber(ttl_ms) > 0 and redis.call('SET', id_key, '1', 'NX', 'PX', ttl_ms)
return { claimed and 1 or 0, int(now - since), since % 1000 == 0 and 1 or 0 }
`,
  parse(reply): ClaimReply {
    const [isFirst, remembersForMs, isRounded] = reply as [number, string, number]
    return {
      isFirst: isFirst === 1,
      remembersForMs: Number(remembersForMs),
      isRounded: isRounded === 1,
    }
  },
})
