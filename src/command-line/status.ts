import { mayAccept } from '../revocation/confirm.ts'
import type { Invocation } from './commands.ts'
import { countText, durationText, momentText } from './output.ts'
import { withStore } from './store.ts'

/** Says in a few lines what the store holds and who follows it. */
export async function showStatus(invocation: Invocation): Promise<boolean> {
  const { output } = invocation
  return withStore(invocation, async (store) => {
    const [log, reports, { kickOuts }] = await Promise.all([
      store.readLog(),
      store.readServers(),
      store.revocations.listKickOuts({ limit: 1 }),
    ])
    const live = reports.filter(mayAccept)
    const silent = reports.length - live.length
    const notLive = live.filter(({ state }) => state !== 'live').length
    const stalenessMs = Math.max(0, ...live.map((report) => report.stalenessMs + report.ageMs))
    const [last] = kickOuts
    output.json({
      store: store.kind,
      place: store.place,
      opened: log.isOpened,
      epoch: log.epoch ?? null,
      created_at: log.createdAt ?? null,
      partitions: log.partitions,
      retention_seconds: log.retentionMs === undefined ? null : log.retentionMs / 1000,
      kick_outs: { kept: log.entries, last_at: last?.at ?? null },
      servers: {
        live: live.length,
        stale: notLive,
        silent,
        max_staleness_ms: Math.round(stalenessMs),
      },
    })
    const kept =
      log.retentionMs === undefined ? '' : `, kick-outs kept for ${durationText(log.retentionMs)}`
    output.table([
      ['store', store.place],
      [
        'log',
        log.isOpened
          ? `epoch ${log.epoch ?? '?'} since ${momentText(log.createdAt ?? Number.NaN)}, ${countText(log.partitions, 'partition')}${kept}`
          : 'never opened: no kick-out and no sign-in has happened here',
      ],
      [
        'kick-outs',
        last
          ? `${log.entries} kept, the last of ${last.level} ${last.target} at ${momentText(last.at)}`
          : 'none',
      ],
      [
        'servers',
        `${live.length} live (${notLive} of them not fresh), ${silent} silent, the stalest proof is ${durationText(stalenessMs)} old`,
      ],
    ])
    return true
  })
}
