import { mayAccept, type ServerReport } from '../../revocation/confirm.ts'
import { countText, durationText } from '../output.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Several heartbeats, even slow ones. */
const silentAfterMs = 2000

function findingOf(server: ServerReport): Finding | undefined {
  const { serverId, ageMs, state, stalenessMs } = server
  if (ageMs > silentAfterMs) {
    const stillAccepts = mayAccept(server)
      ? 'It may still accept tokens by what it knew, so kick-outs wait for it'
      : 'Kick-outs do not wait for it any more'
    return warn(
      'servers',
      `${serverId} has been silent for ${durationText(ageMs)}. ${stillAccepts}`,
      'if it was stopped, nothing: it is forgotten after a minute. If it runs, look at its log: it cannot reach the store, ' +
        'it hangs, or it was made with another number of partitions',
    )
  }
  if (state !== 'live') {
    return fail(
      'servers',
      `${serverId} says that it is ${state}: its last proof is ${durationText(stalenessMs)} old`,
      'look at its events revocations.state and revocations.gap: they say what it waits for',
    )
  }
  return undefined
}

/** What the servers report of themselves. */
export function serverFindings(servers: readonly ServerReport[]): Finding[] {
  const wrong = servers.flatMap((server) => findingOf(server) ?? [])
  const right = servers.length - wrong.length
  if (servers.length === 0) {
    return [
      warn(
        'servers',
        'no server follows this log',
        'if servers run, they use another address, database, prefix, schema or key prefix: a kick-out made here does not reach them',
      ),
    ]
  }
  return [
    ...(right > 0 ? [ok('servers', `${countText(right, 'server')} live and fresh`)] : []),
    ...wrong,
  ]
}
