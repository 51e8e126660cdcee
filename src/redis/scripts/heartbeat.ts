import type { LogHead } from '../../revocation/log.ts'
import { defineScript } from './define-script.ts'
import { openingPrelude } from './prelude.ts'

export interface HeartbeatReply extends LogHead {
  readonly partitions: number
}

/**
 * A resource server says that it is there and how far it has read, and learns the head of the log. The write is half of the
 * proof of freshness: a primary that may not write any more refuses it. Safe to repeat.
 *
 * Touches meta, servers, and reads the length and the newest entry of the stream.
 */
export const heartbeatScript = defineScript({
  name: 'heartbeat',
  version: 1,
  isAllowedWhenFull: true,
  keys: ['meta_key', 'servers_key', 'stream_key'],
  arguments: ['new_epoch', 'partitions', 'server_id', 'state', 'staleness_ms', 'position'],
  prelude: openingPrelude,
  lua: `
local now = clock()
local problem = open_log(new_epoch, partitions, now)
if problem then return problem end
redis.call('HSET', servers_key, server_id, table.concat({ int(now), state, staleness_ms, position }, ':'))
local head = redis.call('HMGET', meta_key, 'epoch', 'created_at', 'seq', 'first', 'partitions')
local newest = redis.call('XREVRANGE', stream_key, '+', '-', 'COUNT', 1)[1]
return { head[1], head[2], head[3], head[4], head[5], int(now), redis.call('XLEN', stream_key), newest and newest[1] or '0-0' }
`,
  parse(reply): HeartbeatReply {
    const [epoch, createdAt, seq, first, partitions, now, length, newest] = reply as [
      string, string, string, string, string, string, number, string,
    ] // prettier-ignore
    return {
      epoch,
      createdAt: Number(createdAt),
      seq: Number(seq),
      first: Number(first),
      partitions: Number(partitions),
      now: Number(now),
      length,
      newest,
    }
  },
})
