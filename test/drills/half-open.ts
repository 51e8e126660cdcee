import { startRedis } from '../support/redis-server.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { waitUntil } from '../support/wait.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import { largest } from './support/statistics.ts'

const maxStalenessMs = 2000

/** Q17: the link to Redis dies without a word, again and again. */
export const halfOpen: Drill = {
  name: 'half-open',
  story:
    'the link to Redis dies without a word: no server trusts it for long, and it heals by itself',
  async run(effort) {
    const rounds = effort.rounds ?? pick(effort, { quick: 2, usual: 10, full: 20 })
    const redis = await startRedis()
    const { host, port } = redis
    // Only the resource servers are behind it, so that kick-outs go on meanwhile.
    const proxy = await startProxy({ upstream: redis })
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      servers: 0,
      revocations: { maxStalenessMs },
    })
    const leftLive: number[] = []
    const healedAfter: number[] = []
    const connections: number[] = []
    try {
      for (let index = 0; index < 2; index++) {
        await fleet.addServer({ kind: 'single', host: proxy.host, port: proxy.port })
      }
      await fleet.waitUntilLive()
      const load = fleet.load(100)
      load.start()
      for (let round = 0; round < rounds; round++) {
        await fleet.waitForCalls(30)
        const healed = fleet.history.beginFault()
        const brokenAt = performance.now()
        // Both directions, or only the replies.
        proxy.blackhole(round % 2 === 0 ? undefined : 'toClient')
        const subject = `cut-off-${round}`
        fleet.people.add(subject)
        await fleet.call(subject, 0)
        await fleet.kickOutAll([subject])
        await waitUntil(
          async () => (await fleet.statuses()).every(({ state }) => state === 'stale'),
          {
            what: 'every server to distrust its copy',
          },
        )
        leftLive.push(performance.now() - brokenAt)
        await fleet.waitForCalls(100)
        await fleet.countAccepted([subject])
        proxy.pass()
        healedAfter.push(await fleet.waitUntilLive())
        await fleet.waitForCalls(20)
        await fleet.countAccepted([subject])
        healed()
        // A connection that was dropped while its link was silent closes behind the proxy only now.
        await fleet.waitForCalls(30)
        connections.push(proxy.connections())
      }
      await load.stop()
      const wrong = fleet.history.judge(maxStalenessMs)
      return [
        {
          what: 'distrusted after, longest',
          value: largest(leftLive),
          atMost: maxStalenessMs + 300,
          unit: 'ms',
        },
        { what: 'healed after, longest', value: largest(healedAfter), atMost: 2500, unit: 'ms' },
        {
          what: 'connections to Redis more than after the first round',
          value: largest(connections) - (connections[0] ?? 0),
          atMost: 2,
        },
        none('accepted later than the staleness allowed', wrong.acceptedAfterKickOut.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
        none('503 with a challenge or without Retry-After', wrong.badUnavailable.length),
        none('503 or no answer outside of the fault', wrong.unavailableWithoutFault.length),
      ]
    } finally {
      await fleet.stop()
      await proxy.close()
      await redis.stop()
    }
  },
}
