import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '../support/redis-server.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import { largest, percentile } from './support/statistics.ts'

const kicksPerSecond = 200
/** The first ones meet code that was never run. */
const warmUpKicks = 100

/** How long after the acknowledgement the last server still lets the user in; 0 where none does. */
async function refusedAfter(fleet: Fleet, subject: string): Promise<number> {
  const acknowledgedAt = fleet.history.acknowledged.get(subject)!
  const each = fleet.servers.map(async (_, server) => {
    while ((await fleet.call(subject, server)) === 200);
    const last = fleet.history.calls.findLast(
      (call) => call.subject === subject && call.server === server && call.status === 200,
    )
    return last ? Math.max(0, last.endedAt - acknowledgedAt) : 0
  })
  return Math.max(...(await Promise.all(each)))
}

/** Q12: from the acknowledgement of a kick-out until the last server refuses. */
export const latency: Drill = {
  name: 'latency',
  story:
    'how long after its acknowledgement a kick-out reaches the last of three servers, under load',
  async run(effort) {
    const kicks = warmUpKicks + pick(effort, { quick: 200, usual: 2000, full: 10_000 })
    const perSecond = pick(effort, { quick: 200, usual: 2000 })
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({ redis: { kind: 'single', host, port } })
    const issuer = fleet.issuers[0]!
    try {
      await fleet.waitUntilLive()
      const load = fleet.load(perSecond)
      load.start()
      const delays: Promise<number>[] = []
      const startedAt = performance.now()
      for (let index = 0; index < kicks; index++) {
        const subject = `quick-${index}`
        fleet.people.add(subject)
        fleet.history.noteAsked(subject, performance.now())
        // Without waiting for the servers' confirmation, which would make the figure nought.
        const kicked = issuer.ask('kickOut', subject).then(async () => {
          fleet.history.noteAcknowledged(subject, performance.now())
          return refusedAfter(fleet, subject)
        })
        if (index >= warmUpKicks) delays.push(kicked)
        await sleep(startedAt + ((index + 1) * 1000) / kicksPerSecond - performance.now())
      }
      const seconds = (performance.now() - startedAt) / 1000
      const values = await Promise.all(delays)
      await load.stop()
      const wrong = fleet.history.judge(5000)
      return [
        { what: 'kick-outs per second', value: kicks / seconds, unit: '/s' },
        { what: 'requests per second', value: fleet.history.calls.length / seconds, unit: '/s' },
        { what: 'last server refuses, p50', value: percentile(values, 0.5), atMost: 5, unit: 'ms' },
        {
          what: 'last server refuses, p99',
          value: percentile(values, 0.99),
          atMost: 50,
          unit: 'ms',
        },
        { what: 'last server refuses, longest', value: largest(values), atMost: 250, unit: 'ms' },
        none('accepted later than the staleness allowed', wrong.acceptedAfterKickOut.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
      ]
    } finally {
      await fleet.stop()
      await redis.stop()
    }
  },
}
