import { defineScript } from './define-script.ts'
import { openingArguments, prelude } from './prelude.ts'

/**
 * Writes a revocation that Redis has lost and this process still holds, with the moment and version that it had. Safe to
 * repeat and in any order: versions and moments only rise. What another process has written to this epoch already is not
 * written a second time. While this goes on, an empty read of the log proves nothing.
 *
 * Touches what `kick-out` touches.
 */
export const republishScript = defineScript({
  name: 'republish',
  version: 2,
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
    'kick_out_id',
    'base',
    'mark_field',
    'revocation',
    'reason',
    'given_at',
    'remaining_ms',
    'given_version',
  ],
  prelude,
  lua: `
local now = clock()
local refused = forbidden({ { 'HSET', meta_key, 'a', '0' }, { 'HINCRBY', meta_key, 'a', '1' }, { 'SET', deny_key, '' },
  { 'XADD', stream_key, '*', 'a', '' }, { 'HSET', marks_key, 'a', '0' }, { 'HSET', user_key, 'a', '0' },
  { 'PEXPIRE', user_key, '1' }, { 'DEL', session_key } })
if refused then return refused end
local problem, retention = open_log(new_epoch, partitions, retention_ms, now)
if problem then return problem end
local at, version = tonumber(given_at), tonumber(given_version)
local held = read_fact(redis.call('GET', deny_key))
if held and held.epoch == redis.call('HGET', meta_key, 'epoch') and held.at >= at
  and (held.version or 0) >= (version or 0) and redis.call('PTTL', deny_key) + 2000 >= tonumber(remaining_ms) then
  return 'HELD'
end
redis.call('HSET', meta_key, 'created_at', int(now), 'told_at', int(now))
if level == 'subject' then
  version = math.max(version or at, tonumber(redis.call('HGET', user_key, 'version') or '0'))
  redis.call('HSET', user_key, 'version', int(version))
  redis.call('PEXPIRE', user_key, int(math.max(redis.call('PTTL', user_key), retention * 9 / 8 + margin_ms)))
elseif level == 'session' then
  if redis.call('HGET', session_key, 'issuer') == issuer then redis.call('DEL', session_key) end
elseif mark_field ~= '' then
  local mark = tonumber(redis.call('HGET', marks_key, mark_field) or '0')
  redis.call('HSET', marks_key, mark_field, int(math.max(mark, at)))
end
publish(deny_key, kick_out_id, revocation, at, now + remaining_ms, version, reason, retention, now)
return 'WRITTEN'
`,
  parse: (reply) => reply as 'HELD' | 'WRITTEN',
})
