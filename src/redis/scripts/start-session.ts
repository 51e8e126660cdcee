import { defineScript } from './define-script.ts'
import { openingArguments, openingPrelude } from './prelude.ts'

export type StartReply =
  | {
      readonly outcome: 'started'
      readonly now: number
      readonly startedAt: number
      readonly version: number
      readonly ended: string[]
    }
  | { readonly outcome: 'full' }

/**
 * Begins a session with the user's version or a higher one, and names the ones that have to go for it. Atomic: a kick-out comes before it or
 * after it. Not safe to repeat under another session id. The caller ends the sessions named in the reply; until it has,
 * the next login counts them again.
 *
 * Touches meta, reads the stream, and the user's version, session list and sessions.
 */
export const startSessionScript = defineScript({
  name: 'start-session',
  version: 3,
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
  ],
  prelude: openingPrelude,
  lua: `
local now = clock()
local problem, retention = open_log(new_epoch, partitions, retention_ms, now)
if problem then return problem end
local live = {}
for _, other in ipairs(redis.call('ZREVRANGE', sessions_key, 0, -1)) do
  local times = redis.call('HMGET', base .. 'session:' .. other, 'idle_until', 'ends_at')
  if not times[1] then
    redis.call('ZREM', sessions_key, other)
  elseif math.min(tonumber(times[1]), tonumber(times[2])) > now then
    table.insert(live, other)
  end
end
local ended, surplus = {}, #live + 1 - tonumber(max_sessions)
if tonumber(max_sessions) > 0 and surplus > 0 then
  if when_full == 'refuse' then return { 'full' } end
  for index = #live - surplus + 1, #live do table.insert(ended, live[index]) end
end
-- Later than every kick-out of before, which a primary whose clock was ahead may have dated.
local horizons = redis.call('HMGET', base .. 'horizons', 'everyone:' .. #issuer .. ':' .. issuer .. ':',
  'client:' .. #issuer .. ':' .. issuer .. ':' .. client)
local began = math.max(now, tonumber(horizons[1] or '-1') + 1, tonumber(horizons[2] or '-1') + 1)
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
return { 'started', int(now), int(began), version, ended }
`,
  parse(reply): StartReply {
    const [outcome, now, startedAt, version, ended] = reply as [
      'started' | 'full', string, string, string, string[],
    ] // prettier-ignore
    if (outcome === 'full') return { outcome }
    const times = { now: Number(now), startedAt: Number(startedAt) }
    return { outcome, ...times, version: Number(version), ended }
  },
})
