import { defineScript } from './define-script.ts'
import { openingArguments, openingPrelude } from './prelude.ts'

/**
 * Notes in one partition that a client, or everyone, was kicked out: sessions that began before are over. It runs in every
 * partition before the revocation itself is appended in partition 0. Safe to repeat: the mark only rises.
 *
 * Touches meta and marks, reads the stream and servers.
 */
export const raiseMarkScript = defineScript({
  name: 'raise-mark',
  version: 3,
  keys: ['meta_key', 'stream_key', 'marks_key'],
  arguments: [...openingArguments, 'mark_field', 'given_at'],
  prelude: openingPrelude,
  lua: `
local now = clock()
local problem = open_log(new_epoch, partitions, retention_ms, now)
if problem then return problem end
local at = given_at == '' and moment(now) or math.min(tonumber(given_at), now)
local held = tonumber(redis.call('HGET', marks_key, mark_field) or '0')
redis.call('HSET', marks_key, mark_field, int(math.max(held, at)))
return int(at)
`,
  /** The moment of the kick-out as this partition knows it, milliseconds. */
  parse: Number,
})
