import { setTimeout as sleep } from 'node:timers/promises'
import { startSentinel } from '../support/redis-sentinel.ts'
import { type Drill, type Figure, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import { largest } from './support/statistics.ts'

const maxStalenessMs = 2000
const lookupBudgetMs = 250

/** Milliseconds until a kick-out is confirmed again. */
async function kickOutAgain(fleet: Fleet, subject: string): Promise<number> {
  fleet.people.add(subject)
  const startedAt = performance.now()
  while (!(await fleet.kickOut(subject))) {
    if (performance.now() - startedAt > 15_000) return Number.POSITIVE_INFINITY
    await sleep(20)
  }
  return performance.now() - startedAt
}

async function play(withSentinel: boolean): Promise<Figure[]> {
  const name = withSentinel ? 'primary and first Sentinel hang' : 'primary hangs'
  const deployment = await startSentinel()
  const { primary, sentinels } = deployment
  const addresses = sentinels.map(({ host, port }) => ({ host, port }))
  const fleet = await Fleet.start({
    redis: { kind: 'sentinel', sentinels: addresses, name: deployment.name },
    revocations: { maxStalenessMs },
  })
  try {
    await fleet.waitUntilLive()
    const load = fleet.load(200)
    load.start()
    fleet.people.add('before')
    await fleet.kickOutAll(['before'])
    await fleet.waitForCalls(100)
    const healed = fleet.history.beginFault()
    const hungAt = performance.now()
    primary.pause()
    if (withSentinel) sentinels[0]!.pause()
    // A client tries all the time, so that connections are made while nothing answers.
    const trying = kickOutAgain(fleet, 'first-after')
    // The Sentinel that hangs cannot name a primary.
    await sleep(withSentinel ? 4000 : 1)
    if (!withSentinel) await deployment.waitForPromotion()
    const redirectedAt = performance.now()
    const kickedAfterMs = await trying
    await fleet.waitUntilLive(30_000)
    const liveAfterMs = performance.now() - redirectedAt
    await fleet.waitForCalls(100)
    const accepted = await fleet.countAccepted(['before', 'first-after'])
    const outages = fleet.servers.map((_, index) => fleet.history.longestOutage(hungAt, index))
    // The old one comes back and still believes that it is the primary.
    primary.resume()
    await fleet.waitForCalls(300)
    const acceptedAfterReturn = await fleet.countAccepted(['before', 'first-after'])
    await load.stop()
    healed()
    const wrong = fleet.history.judge(maxStalenessMs)
    const slow = fleet.history.calls.filter(
      ({ status, startedAt, endedAt }) => status === 503 && endedAt - startedAt > lookupBudgetMs,
    )
    return [
      {
        what: `${name}: a kick-out is confirmed again after`,
        value: kickedAfterMs,
        atMost: 6000,
        unit: 'ms',
      },
      {
        what: `${name}: all live after Sentinel redirects`,
        value: liveAfterMs,
        atMost: 3000,
        unit: 'ms',
      },
      { what: `${name}: window without a 200`, value: largest(outages), atMost: 4500, unit: 'ms' },
      none(`${name}: kicked out and let in`, accepted + acceptedAfterReturn),
      none(`${name}: accepted later than allowed`, wrong.acceptedAfterKickOut.length),
      none(`${name}: 401 for a user who was never kicked out`, wrong.refusedInnocent.length),
      { what: `${name}: 503s slower than ${lookupBudgetMs} ms`, value: slow.length },
    ]
  } finally {
    await fleet.stop()
    await deployment.stop()
  }
}

/** F12 and F13: the primary hangs, with its connections open, and comes back when another one has taken over. */
export const hungPrimary: Drill = {
  name: 'hung-primary',
  story: 'the primary stands still with open connections, and comes back after it was replaced',
  async run(effort) {
    const rounds = effort.rounds ?? pick(effort, { quick: 1, usual: 2, full: 10 })
    const figures: Figure[] = []
    for (let round = 0; round < rounds; round++) {
      figures.push(...(await play(false)), ...(await play(true)))
    }
    return figures
  },
}
