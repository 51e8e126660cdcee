import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '../support/redis-server.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import type { WorkerMemory } from './support/places.ts'
import { growth, largest, percentile } from './support/statistics.ts'

const maxStalenessMs = 2000
const sampleEveryMs = 3000
/** The first samples are those of a process that warms up. */
const warmUpMs = 9000

/** Q23: Redis is away for minutes, and everybody keeps coming. */
export const outage: Drill = {
  name: 'outage',
  story: 'Redis is down for minutes under load: a prompt 503 each time, and nothing piles up',
  async run(effort) {
    const downMs = pick(effort, { quick: 15_000, usual: 60_000, full: 600_000 })
    const perSecond = pick(effort, { quick: 300, usual: 800, full: 2000 })
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      servers: 2,
      revocations: { maxStalenessMs },
      nodeArgs: ['--expose-gc'],
    })
    const samples: WorkerMemory[] = []
    try {
      await fleet.waitUntilLive()
      const load = fleet.load(perSecond)
      load.start()
      await sleep(2000)
      const healed = fleet.history.beginFault()
      await redis.kill9()
      await sleep(maxStalenessMs + 500)
      const staleSince = performance.now()
      while (performance.now() - staleSince < downMs) {
        await sleep(sampleEveryMs)
        if (performance.now() - staleSince < warmUpMs && !effort.quick) continue
        samples.push(await fleet.servers[0]!.ask<WorkerMemory>('memory'))
      }
      const staleUntil = performance.now()
      await redis.restart()
      const returnedAt = performance.now()
      await fleet.waitUntilLive()
      const liveAfterMs = performance.now() - returnedAt
      await sleep(500)
      healed()
      await sleep(1000)
      await load.stop()
      const calls = fleet.history.calls.filter(
        ({ startedAt, endedAt }) => startedAt >= staleSince && endedAt <= staleUntil,
      )
      const wrong = fleet.history.judge(maxStalenessMs)
      const took = calls.map(({ startedAt, endedAt }) => endedAt - startedAt)
      const slots = (pickOne: (memory: WorkerMemory) => number): number =>
        growth(samples.map(pickOne))
      return [
        { what: 'requests while Redis was down', value: calls.length, atLeast: 1 },
        { what: 'of them skipped by the client, which was too slow', value: load.skipped },
        none('answers other than 503', calls.filter(({ status }) => status !== 503).length),
        none('503 with a challenge or without Retry-After', wrong.badUnavailable.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
        { what: 'time to a 503, p99', value: percentile(took, 0.99), atMost: 250, unit: 'ms' },
        { what: 'time to a 503, longest', value: largest(took), unit: 'ms' },
        { what: 'growth of the heap', value: slots(({ heapMb }) => heapMb), atMost: 3, unit: 'MB' },
        {
          what: 'growth of resident memory',
          value: slots(({ rssMb }) => rssMb),
          atMost: 25,
          unit: 'MB',
        },
        { what: 'growth of timers', value: slots(({ timers }) => timers), atMost: 20 },
        { what: 'growth of sockets', value: slots(({ sockets }) => sockets), atMost: 20 },
        { what: 'live after Redis came back', value: liveAfterMs, atMost: 2000, unit: 'ms' },
        none('503 or no answer outside of the outage', wrong.unavailableWithoutFault.length),
      ]
    } finally {
      await fleet.stop()
      await redis.stop()
    }
  },
}
