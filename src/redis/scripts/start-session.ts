import { surplusReason } from '../../revocation/reasons.ts'
import { defineScript } from './define-script.ts'
import { openingArguments, publishingSessionPrelude } from './prelude.ts'

export type StartReply =
  | {
      readonly outcome: 'started'
      readonly now: number
      readonly startedAt: number
      readonly version: number
      /** The sessions that were kicked out, and the ids of these kick-outs. */
      readonly ended: readonly { readonly sessionId: string; readonly kickOutId: string }[]
      /** Until when these kick-outs are kept, milliseconds by this clock; their moment is `now`. */
      readonly keptUntil: number
    }
  | { readonly outcome: 'full' }

/**
 * Begins a session with the user's version or a higher one, and kicks out the sessions that have to go for it. Atomic: a
 * kick-out comes before it or after it, and no login leaves more sessions than the user may have. Not safe to repeat under
 * another session id.
 *
 * Touches meta, marks, and the user's version, session list and sessions; where a session has to go also stream, servers
 * and a look-up key.
 */
export const startSessionScript = defineScript({
  name: 'start-session',
  version: 4,
  keys: ['meta_key', 'stream_key', 'user_key', 'sessions_key', 'session_key'],
  arguments: [
    ...openingArguments,
    'base',
    'sid',
    'owner',
    'issuer',
    'subject',
    'client',
    'scope',
    'details',
    'idle_ms',
    'absolute_ms',
    'max_sessions',
    'when_full',
    'deny_name',
    'kick_out_id',
  ],
  prelude: publishingSessionPrelude,
  lua: `
local now = clock()
local problem, retention = open_log(new_epoch, partitions, retention_ms, now)
if problem then return problem end
local limit, live = tonumber(max_sessions), {}
-- Without a maximum only the least recently used are looked at, so that a login costs the same for every user.
local others = limit > 0 and redis.call('ZREVRANGE', sessions_key, 0, -1) or redis.call('ZRANGE', sessions_key, 0, 9)
for _, other in ipairs(others) do
  local key = base .. 'session:' .. other
  if redis.call('HLEN', key) == 0 then
    redis.call('ZREM', sessions_key, other)
  elseif limit > 0 then
    local session = read_session(key)
    if expiry_of(session) > now and not is_over(session) then table.insert(live, { sid = other, session = session }) end
  end
end
local ended, kept_until, surplus = {}, now, #live + 1 - limit
if limit > 0 and surplus > 0 then
  if when_full == 'refuse' then return { 'full' } end
  for index = #live - surplus + 1, #live do
    local id, sid = kick_out_id .. (#ended > 0 and '-' .. #ended or ''), live[index].sid
    kept_until = kick_out_session(live[index].session, sid, id, '${surplusReason}', retention, now)
    table.insert(ended, { sid, id })
  end
end
-- Later than every kick-out of before, which a primary whose clock was ahead may have dated.
local marks = redis.call('HMGET', base .. 'marks', 'everyone:' .. #issuer .. ':' .. issuer .. ':',
  'client:' .. #issuer .. ':' .. issuer .. ':' .. client)
local began = math.max(now, tonumber(marks[1] or '-1') + 1, tonumber(marks[2] or '-1') + 1)
local version = int(math.max(now, tonumber(redis.call('HGET', user_key, 'version') or '0')))
if began > tonumber(redis.call('HGET', meta_key, 'latest') or '0') then redis.call('HSET', meta_key, 'latest', int(began)) end
local idle_until, ends_at = now + idle_ms, now + absolute_ms
redis.call('HSET', session_key, 'owner', owner, 'deny', deny_name, 'issuer', issuer, 'subject', subject, 'client', client,
  'scope', scope, 'details', details, 'counter', string.format('%015d', 0), 'rotated_at', int(now),
  'started_at', int(began), 'seen_at', int(now), 'idle_until', int(idle_until), 'ends_at', int(ends_at),
  'version', version)
redis.call('ZADD', sessions_key, int(now), sid)
redis.call('PEXPIRE', sessions_key, int(math.max(redis.call('PTTL', sessions_key), ends_at - now + retention)))
redis.call('PEXPIRE', session_key, int(math.min(idle_until, ends_at) - now + 86400000))
return { 'started', int(now), int(began), version, ended, int(kept_until) }
`,
  parse(reply): StartReply {
    const [outcome, now, startedAt, version, ended, keptUntil] = reply as [
      'started' | 'full', string, string, string, [string, string][], string,
    ] // prettier-ignore
    if (outcome === 'full') return { outcome }
    const times = { now: Number(now), startedAt: Number(startedAt), keptUntil: Number(keptUntil) }
    const kickOuts = ended.map(([sessionId, kickOutId]) => ({ sessionId, kickOutId }))
    return { outcome, ...times, version: Number(version), ended: kickOuts }
  },
})
