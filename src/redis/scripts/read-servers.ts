import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

/** A resource server as it last reported itself. */
export interface NodeReport {
  readonly serverId: string
  /** How long ago, milliseconds by the store's clock. */
  readonly ageMs: number
  readonly state: string
  readonly stalenessMs: number
  readonly seq: number
}

/** Servers that were silent for so long are forgotten. */
const forgottenAfterMs = 60_000

/**
 * Reads who follows the log, and forgets who has been silent for long.
 *
 * Touches servers.
 */
export const readServersScript = defineScript({
  name: 'read-servers',
  version: 1,
  isAllowedWhenFull: true,
  keys: ['servers_key'],
  arguments: [],
  prelude: basicPrelude,
  lua: `
local now, servers = clock(), {}
local flat = redis.call('HGETALL', servers_key)
for index = 1, #flat, 2 do
  local age = now - tonumber(string.match(flat[index + 1], '^%d+') or 0)
  if age > ${forgottenAfterMs} then
    redis.call('HDEL', servers_key, flat[index])
  else
    table.insert(servers, { flat[index], int(age), flat[index + 1] })
  end
end
return servers
`,
  parse: (reply): NodeReport[] =>
    (reply as [string, string, string][]).map(([serverId, age, report]) => {
      const [, state = '', stalenessMs, seq] = report.split(':')
      return {
        serverId,
        ageMs: Number(age),
        state,
        stalenessMs: Number(stalenessMs),
        seq: Number(seq),
      }
    }),
})
