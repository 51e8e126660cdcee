import { expiryMarginMs } from '../../revocation/revocation.ts'
import { defineScript } from './define-script.ts'
import { openingArguments, prelude } from './prelude.ts'

export interface KickOutReply {
  /** The id of the kick-out: an earlier one's where the token or session was out already. */
  readonly id: string
  readonly isNew: boolean
  readonly seq: number
  readonly epoch: string
  readonly at: number
  readonly remainingMs: number
  readonly keptUntil: number
  readonly version: number | undefined
  readonly sessionsEnded: number
}

/**
 * Kicks out at one level: raises the user's version or ends the session, and appends the revocation. Atomic, since a refresh
 * in between would mint a survivor. Safe to repeat: versions and moments only rise. A token or session that is out for as
 * long as it has to be is not written again, so that repeated kick-outs cost no memory.
 *
 * Touches meta, stream, servers, one look-up key, and of the user or session concerned: version, session list, sessions.
 */
export const kickOutScript = defineScript({
  name: 'kick-out',
  version: 4,
  keys: [
    'meta_key',
    'stream_key',
    'deny_key',
    'user_key',
    'sessions_key',
    'session_key',
    'marks_key',
  ],
  arguments: [
    ...openingArguments,
    'issuer',
    'level',
    'id',
    'kick_out_id',
    'base',
    'mark_field',
    'revocation',
    'reason',
    'given_at',
    'expires_at',
    'waits',
    'is_awaited',
  ],
  prelude,
  lua: `
local now = clock()
local refused = forbidden({ { 'HSET', meta_key, 'a', '0' }, { 'HINCRBY', meta_key, 'a', '1' }, { 'SET', deny_key, '' },
  { 'XADD', stream_key, '*', 'a', '' }, { 'HSET', marks_key, 'a', '0' }, { 'HSET', user_key, 'a', '0' },
  { 'PEXPIRE', user_key, '1' }, { 'DEL', session_key }, { 'ZREM', sessions_key, 'a' } })
if refused then return refused end
local problem, retention = open_log(new_epoch, partitions, retention_ms, now)
if problem then return problem end
local at = given_at == '' and moment(now) or math.min(tonumber(given_at), now)
local version, ended = nil, 0
if level == 'subject' then
  local known = tonumber(redis.call('HGET', user_key, 'version') or '0')
  version = given_at == '' and math.max(known, at) + 1 or math.max(known, at + 1)
  redis.call('HSET', user_key, 'version', int(version))
  redis.call('PEXPIRE', user_key, int(math.max(redis.call('PTTL', user_key), retention * 9 / 8 + margin_ms)))
  for _, sid in ipairs(redis.call('ZRANGE', sessions_key, 0, -1)) do
    local session = redis.call('HMGET', base .. 'session:' .. sid, 'idle_until', 'version')
    if not session[2] or tonumber(session[2]) < version then
      if tonumber(session[1] or '0') > now then ended = ended + 1 end
      redis.call('DEL', base .. 'session:' .. sid)
      redis.call('ZREM', sessions_key, sid)
    end
  end
elseif level == 'session' then
  local held = redis.call('HMGET', session_key, 'issuer', 'owner')
  -- A session of that name that another issuer has is another session.
  if held[1] == issuer then
    redis.call('ZREM', base .. 'user-sessions:' .. held[2], id)
    ended = redis.call('DEL', session_key)
  end
elseif mark_field ~= '' then
  local held = tonumber(redis.call('HGET', marks_key, mark_field) or '0')
  redis.call('HSET', marks_key, mark_field, int(math.max(held, at)))
end
local needed = now + retention
if tonumber(expires_at) > now then needed = math.min(needed, expires_at + ${expiryMarginMs}) end
local kept_until = needed
if level == 'session' or level == 'token' then
  local held, ttl = read_fact(redis.call('GET', deny_key)), redis.call('PTTL', deny_key)
  local head = redis.call('HMGET', meta_key, 'seq', 'epoch')
  if held and held.epoch == head[2] and ttl + 1000 >= needed - now then
    -- WAIT answers for what its connection has written, so something has to be.
    if waits == '1' then redis.call('HSET', meta_key, 'waited_at', int(now)) end
    if is_awaited == '1' then redis.call('HSET', meta_key, 'awaited', head[1]) end
    return { held.id, 0, head[1], head[2], int(held.at), int(ttl), int(now + ttl), '', ended }
  end
  -- Kept for longer than it has to be, so that one that is repeated for a while need not be written again.
  if needed == now + retention then kept_until = now + retention * 9 / 8 end
end
local seq, epoch = publish(deny_key, kick_out_id, revocation, at, kept_until, version, reason, retention, now, is_awaited == '1')
return { kick_out_id, 1, int(seq), epoch, int(at), int(kept_until - now), int(kept_until), version and int(version) or '', ended }
`,
  parse(reply): KickOutReply {
    const [id, isNew, seq, epoch, at, remaining, keptUntil, version, ended] = reply as [
      string, number, string, string, string, string, string, string, number,
    ] // prettier-ignore
    return {
      id,
      isNew: isNew === 1,
      seq: Number(seq),
      epoch,
      at: Number(at),
      remainingMs: Number(remaining),
      keptUntil: Number(keptUntil),
      version: version === '' ? undefined : Number(version),
      sessionsEnded: ended,
    }
  },
})
