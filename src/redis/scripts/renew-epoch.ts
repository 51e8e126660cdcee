import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

/**
 * Begins a new epoch because entries are missing from the window, so that every server that remembers them writes them
 * again. What is left of the window stays, and numbers have to be complete only from here on. Safe to repeat: it acts only
 * while the epoch is still the one that was found broken, and (unless a hole was seen) the window still is.
 *
 * Touches meta, reads the stream.
 */
export const renewEpochScript = defineScript({
  name: 'renew-epoch',
  version: 1,
  isAllowedWhenFull: true,
  keys: ['meta_key', 'stream_key'],
  arguments: ['broken_epoch', 'new_epoch', 'hole_seen'],
  prelude: basicPrelude,
  lua: `
local head = redis.call('HMGET', meta_key, 'epoch', 'seq', 'first')
if head[1] ~= broken_epoch then return 'OTHER' end
local seq, first = tonumber(head[2]), tonumber(head[3])
local oldest = number_of(redis.call('XRANGE', stream_key, '-', '+', 'COUNT', 1)[1])
local is_whole = seq < first or
  (oldest and oldest <= first and redis.call('XLEN', stream_key) >= seq - first + 1)
if is_whole and hole_seen == '0' then return 'WHOLE' end
local now = int(clock())
redis.call('HSET', meta_key, 'epoch', new_epoch, 'created_at', now, 'told_at', now, 'first', int(seq + 1))
return 'RENEWED'
`,
  parse: (reply) => reply as 'OTHER' | 'WHOLE' | 'RENEWED',
})
