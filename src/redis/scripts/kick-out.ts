import { expiryMarginMs } from '../../revocation/revocation.ts'
import { defineScript } from './define-script.ts'
import { prelude } from './prelude.ts'

export interface KickOutReply {
  readonly seq: number
  readonly at: number
  readonly keptUntil: number
  readonly version: number | undefined
  readonly sessionsEnded: number
}

/**
 * Kicks out at one level: raises the user's version or ends the session, and appends the revocation. Atomic, since a refresh
 * in between would mint a survivor. Safe to repeat: a later repetition only moves the moment forward.
 *
 * Touches meta, stream, one look-up key, and of the user or session concerned: version, session list, sessions.
 */
export const kickOutScript = defineScript({
  name: 'kick-out',
  version: 1,
  keys: [
    'meta_key',
    'stream_key',
    'deny_key',
    'user_key',
    'sessions_key',
    'session_key',
    'horizons_key',
  ],
  arguments: [
    'new_epoch',
    'partitions',
    'issuer',
    'level',
    'id',
    'base',
    'horizon',
    'revocation',
    'reason',
    'retention_ms',
    'window_ms',
    'expires_at',
    'user_ttl_ms',
  ],
  prelude,
  lua: `
local now = clock()
local problem = open_log(new_epoch, partitions, now)
if problem then return problem end
local version, ended = nil, 0
if level == 'subject' then
  local known = tonumber(redis.call('HGET', user_key, 'version') or '0')
  version = math.max(known + 1, now)
  redis.call('HSET', user_key, 'version', int(version))
  redis.call('PEXPIRE', user_key, int(math.max(redis.call('PTTL', user_key), tonumber(user_ttl_ms))))
  for _, sid in ipairs(redis.call('ZRANGE', sessions_key, 0, -1)) do
    local idle_until = tonumber(redis.call('HGET', base .. 'session:' .. sid, 'idle_until') or '0')
    if idle_until > now then ended = ended + 1 end
    redis.call('DEL', base .. 'session:' .. sid)
  end
  redis.call('DEL', sessions_key)
elseif level == 'session' then
  local held = redis.call('HMGET', session_key, 'issuer', 'owner')
  -- Another issuer's session of that name is somebody else's.
  if held[1] == issuer then
    redis.call('ZREM', base .. 'user-sessions:' .. held[2], id)
    ended = redis.call('DEL', session_key)
  end
elseif horizon ~= '' then
  redis.call('HSET', horizons_key, horizon, int(now))
end
local kept_until = now + retention_ms
if tonumber(expires_at) > now then kept_until = math.min(kept_until, expires_at + ${expiryMarginMs}) end
local seq = publish(deny_key, revocation, now, kept_until, version, reason, tonumber(window_ms), now)
return { int(seq), int(now), int(kept_until), version and int(version) or '', ended }
`,
  parse(reply): KickOutReply {
    const [seq, at, keptUntil, version, ended] = reply as [string, string, string, string, number]
    return {
      seq: Number(seq),
      at: Number(at),
      keptUntil: Number(keptUntil),
      version: version === '' ? undefined : Number(version),
      sessionsEnded: ended,
    }
  },
})
