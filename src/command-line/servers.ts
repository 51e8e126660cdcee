import { mayAccept, type ServerReport } from '../revocation/confirm.ts'
import type { Invocation } from './commands.ts'
import { durationText, type Output } from './output.ts'
import { withStore } from './store.ts'

/** In the words of `GET /servers` of the admin router. */
function toJson({ serverId, state, stalenessMs, ageMs, seq }: ServerReport): object {
  return {
    server_id: serverId,
    state,
    staleness_ms: Math.round(stalenessMs + ageMs),
    applied: seq,
  }
}

function report(servers: readonly ServerReport[], output: Output): void {
  const live = servers.filter(mayAccept)
  const silent = servers.filter((server) => !mayAccept(server))
  output.json({
    servers: live.map(toJson),
    silent: silent.map(({ serverId, ageMs }) => ({
      server_id: serverId,
      silent_for_ms: Math.round(ageMs),
    })),
  })
  if (servers.length === 0) {
    output.line('no server follows this log')
    return
  }
  const rows = servers.map((server) => [
    server.serverId,
    mayAccept(server) ? server.state : 'silent',
    durationText(server.stalenessMs + server.ageMs),
    String(server.seq),
    `${durationText(server.ageMs)} ago`,
  ])
  output.table([['SERVER', 'STATE', 'STALENESS', 'APPLIED', 'HEARD'], ...rows])
}

/** Lists the resource servers: those that may accept tokens, and those that were heard of in the last minute. */
export async function listServers(invocation: Invocation): Promise<boolean> {
  return withStore(invocation, async (store) => {
    report(await store.readServers(), invocation.output)
    return true
  })
}
