import { defineScript } from './define-script.ts'
import { prelude } from './prelude.ts'

/**
 * Writes a revocation again that Redis has lost but this process still holds, with the moment and version that it had. Safe
 * to repeat and in any order: versions and moments only rise. While this goes on, the log's silence proves nothing.
 *
 * Touches what `kick-out` touches.
 */
export const reassertScript = defineScript({
  name: 'reassert',
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
    'base',
    'horizon',
    'revocation',
    'reason',
    'at',
    'remaining_ms',
    'given_version',
    'window_ms',
    'user_ttl_ms',
  ],
  prelude,
  lua: `
local now = clock()
local problem = open_log(new_epoch, partitions, now)
if problem then return problem end
redis.call('HSET', meta_key, 'created_at', int(now), 'told_at', int(now))
local version = tonumber(given_version)
if level == 'subject' then
  version = math.max(version or tonumber(at), tonumber(redis.call('HGET', user_key, 'version') or '0'))
  redis.call('HSET', user_key, 'version', int(version))
  redis.call('PEXPIRE', user_key, int(math.max(redis.call('PTTL', user_key), tonumber(user_ttl_ms))))
elseif level == 'session' then
  if redis.call('HGET', session_key, 'issuer') == issuer then redis.call('DEL', session_key) end
elseif horizon ~= '' then
  local held = tonumber(redis.call('HGET', horizons_key, horizon) or '0')
  redis.call('HSET', horizons_key, horizon, int(math.max(held, tonumber(at))))
end
publish(deny_key, revocation, tonumber(at), now + remaining_ms, version, reason, tonumber(window_ms), now)
return 'OK'
`,
  parse: () => undefined,
})
