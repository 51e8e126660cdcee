import { beatEveryMs, type ServerReport } from '../../revocation/confirm.ts'
import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

/** Servers that were silent for so long are forgotten. */
const forgottenAfterMs = 60_000

/**
 * Reads which servers follow the log, and forgets those that were silent for long. A report from the future, written by
 * a primary whose clock was ahead, is dated now: it would make a dead server look alive until then.
 *
 * Touches servers.
 */
export const readServersScript = defineScript({
  name: 'read-servers',
  version: 2,
  isAllowedWhenFull: true,
  keys: ['servers_key'],
  arguments: [],
  prelude: basicPrelude,
  lua: `
local now, servers = clock(), {}
local flat = redis.call('HGETALL', servers_key)
for index = 1, #flat, 2 do
  local id, report = flat[index], flat[index + 1]
  local said_at, rest = string.match(report, '^(%d+)(:.*)$')
  if said_at then
    local age, kept_for = now - tonumber(said_at), math.max(${forgottenAfterMs}, tonumber(string.match(rest, '^:[^:]*:[^:]*:[^:]*:(%d+)') or '0'))
    if age < 0 then redis.call('HSET', servers_key, id, int(now) .. rest) end
    if age > kept_for then
      redis.call('HDEL', servers_key, id)
    else
      table.insert(servers, { id, int(math.max(age, 0)), report })
    end
  end
end
return servers
`,
  parse: (reply): ServerReport[] =>
    (reply as [string, string, string][]).map(([serverId, age, report]) => {
      const [, state = '', stalenessMs, seq, maxStalenessMs, epoch = ''] = report.split(':')
      return {
        serverId,
        ageMs: Number(age),
        state,
        stalenessMs: Number(stalenessMs),
        seq: Number(seq),
        maxStalenessMs: Number(maxStalenessMs),
        betweenReportsMs: beatEveryMs(Number(maxStalenessMs)),
        epoch,
      }
    }),
})
