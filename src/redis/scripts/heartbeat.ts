import type { LogHead } from '../../revocation/log.ts'
import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

export interface HeartbeatReply extends LogHead {
  /** The largest retention that any process has given, milliseconds; 0 for a log that was never opened. */
  readonly retentionMs: number
  /** When the retention was last raised, milliseconds by the log's clock, and what it was before; 0 if it never was. */
  readonly raisedAt: number
  readonly retentionBeforeMs: number
  /** A number that a kick-out waits for servers to report, though no entry says so; 0 for none. */
  readonly awaited: number
  /** The latest date that the log has given to a token or session, milliseconds; 0 for none. */
  readonly latest: number
  /** How many servers have reported; read together with a report, and otherwise `undefined`. */
  readonly servers: number | undefined
}

/**
 * Reads the head of the log; where a resource server has something to report, it also writes that it lives and how far it
 * has read. Half of the proof of freshness is that the script ran: see {@link defineScript} for why a primary that must not
 * write refuses it. Safe to repeat.
 *
 * The only key that it declares, and the only one that it writes, is `servers`: a resource server needs no other right to
 * write. It does not open the log: the head of one that was never opened has an empty epoch. Without a `server_id` nothing
 * is reported.
 */
export const heartbeatScript = defineScript({
  name: 'heartbeat',
  version: 4,
  isAllowedWhenFull: true,
  keys: ['servers_key'],
  arguments: [
    'partitions',
    'retention_ms',
    'server_id',
    'state',
    'staleness_ms',
    'position',
    'max_staleness_ms',
    'epoch',
    'is_first',
  ],
  prelude: basicPrelude,
  lua: `
local base = string.sub(servers_key, 1, -8)
local meta_key, stream_key = base .. 'meta', base .. 'stream'
local now = clock()
local head = redis.call('HMGET', meta_key, 'epoch', 'created_at', 'seq', 'first', 'partitions', 'told_at',
  'retention_ms', 'raised_at', 'retention_before', 'awaited', 'latest')
if head[5] and head[5] ~= partitions then return redis.error_reply('KICKOUTPARTITIONS ' .. head[5]) end
if server_id ~= '' then
  redis.call('HSET', servers_key, server_id,
    table.concat({ int(now), state, staleness_ms, position, max_staleness_ms, epoch }, ':'))
end
local servers = -1
if server_id ~= '' or is_first == '1' then
  -- A user that was given fewer rights goes without the number: each server then looks as often as in a small fleet.
  local may_count = not redis.acl_check_cmd or redis.acl_check_cmd('HLEN', servers_key)
  servers = may_count and redis.call('HLEN', servers_key) or 0
  if tonumber(retention_ms) > tonumber(redis.call('HGET', servers_key, '#retention_ms') or '0') then
    redis.call('HSET', servers_key, '#retention_ms', retention_ms)
  end
end
local newest = redis.call('XREVRANGE', stream_key, '+', '-', 'COUNT', 1)[1]
return { head[1] or '', head[2] or '0', head[3] or '0', head[4] or '1', int(now), redis.call('XLEN', stream_key),
  newest and newest[1] or '0-0', head[6] or '0', head[7] or '0', head[8] or '0', head[9] or '0',
  head[10] or '0', servers, head[11] or '0' }
`,
  parse(reply): HeartbeatReply {
    const [
      epoch, createdAt, seq, first, now, length, newest, toldAt, retention, raised, before, awaited,
      servers, latest,
    ] = reply as [
      string, string, string, string, string, number, string, string, string, string, string, string,
      number, string,
    ] // prettier-ignore
    return {
      epoch,
      createdAt: Number(createdAt),
      toldAt: Number(toldAt),
      seq: Number(seq),
      first: Number(first),
      now: Number(now),
      length,
      newest,
      retentionMs: Number(retention),
      raisedAt: Number(raised),
      retentionBeforeMs: Number(before),
      awaited: Number(awaited),
      latest: Number(latest),
      servers: servers < 0 ? undefined : servers,
    }
  },
})
