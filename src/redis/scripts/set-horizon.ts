import { defineScript } from './define-script.ts'
import { openingPrelude } from './prelude.ts'

/**
 * Notes in one partition that a client, or everyone, was kicked out now: sessions that began before are over. Run in every
 * partition before the revocation itself is appended in partition 0. Safe to repeat.
 *
 * Touches meta and horizons, reads the stream.
 */
export const setHorizonScript = defineScript({
  name: 'set-horizon',
  version: 1,
  keys: ['meta_key', 'stream_key', 'horizons_key'],
  arguments: ['new_epoch', 'partitions', 'horizon'],
  prelude: openingPrelude,
  lua: `
local now = clock()
local problem = open_log(new_epoch, partitions, now)
if problem then return problem end
redis.call('HSET', horizons_key, horizon, int(now))
return 'OK'
`,
  parse: () => undefined,
})
