import { setTimeout as sleep } from 'node:timers/promises'
import { askRedis, waitUntilInSync } from '../support/ask-redis.ts'
import { type SentinelDeployment, startSentinel } from '../support/redis-sentinel.ts'
import type { RedisServer } from '../support/redis-server.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import { largest, percentile } from './support/statistics.ts'

const maxStalenessMs = 2000
/** Sentinel does not fail over again within twice its failover-timeout. */
const sentinelRestMs = 10_500
const kickEveryMs = 20

interface Round {
  readonly confirmed: string[]
  readonly outagesMs: number[]
  readonly liveAfterRedirectMs: number
}

/** The one that is not the primary comes back empty, and follows the one that is. */
async function rejoin(returning: RedisServer, primary: RedisServer): Promise<void> {
  await returning.restart()
  const { host, port } = primary
  await askRedis(returning, (client) => client.replicaof(host, port))
  await waitUntilInSync(returning)
}

async function playRound(
  deployment: SentinelDeployment,
  primary: RedisServer,
  fleet: Fleet,
  round: number,
): Promise<Round & { promoted: RedisServer }> {
  const confirmed: string[] = []
  const suspects: string[] = []
  const load = fleet.load(300, () => suspects[Math.floor(Math.random() * suspects.length)])
  load.start()
  const kicking = { on: true }
  const kicks: Promise<void>[] = []
  const kickAll = (async () => {
    for (let index = 0; kicking.on; index++) {
      const subject = `round-${round}-${index}`
      suspects.push(subject)
      fleet.people.add(subject)
      kicks.push(
        fleet.kickOut(subject, 5000).then((isConfirmed) => {
          if (isConfirmed) confirmed.push(subject)
        }),
      )
      await sleep(kickEveryMs)
    }
  })()
  await fleet.waitForCalls(200)
  const healed = fleet.history.beginFault()
  const killedAt = performance.now()
  await primary.kill9()
  const promoted = await deployment.waitForPromotion({ from: primary })
  const liveAfterRedirectMs = await fleet.waitUntilLive()
  await fleet.waitForCalls(150)
  const outagesMs = fleet.servers.map((_, index) => fleet.history.longestOutage(killedAt, index))
  await rejoin(primary, promoted)
  await fleet.waitForCalls(450)
  healed()
  kicking.on = false
  await kickAll
  await Promise.all(kicks)
  await load.stop()
  return { confirmed, outagesMs, liveAfterRedirectMs, promoted }
}

/** Q14: the primary is killed under load, again and again. */
export const failover: Drill = {
  name: 'failover',
  story: 'kill -9 of the primary under Sentinel: what was confirmed stays kicked out',
  async run(effort) {
    const rounds = effort.rounds ?? pick(effort, { quick: 2, usual: 10, full: 50 })
    const deployment = await startSentinel()
    const { sentinels, name } = deployment
    const addresses = sentinels.map(({ host, port }) => ({ host, port }))
    const fleet = await Fleet.start({
      redis: { kind: 'sentinel', sentinels: addresses, name },
      revocations: { minReplicas: 1, maxStalenessMs },
    })
    try {
      await fleet.waitUntilLive()
      let primary = deployment.primary
      const played: Round[] = []
      let acceptedAgain = 0
      for (let round = 0; round < rounds; round++) {
        const startedAt = performance.now()
        const { promoted, ...figures } = await playRound(deployment, primary, fleet, round)
        played.push(figures)
        primary = promoted
        acceptedAgain += await fleet.countAccepted(figures.confirmed.slice(-400))
        if (round + 1 < rounds) await sleep(sentinelRestMs - (performance.now() - startedAt))
      }
      // A server that boots now knows nothing but what Redis holds.
      await fleet.addServer()
      await fleet.waitUntilLive()
      const confirmed = played.flatMap((round) => round.confirmed)
      const acceptedByNewcomer = await fleet.countAccepted(confirmed.slice(-3000))
      const wrong = fleet.history.judge(maxStalenessMs)
      const outages = played.flatMap(({ outagesMs }) => outagesMs)
      return [
        { what: `kick-outs confirmed in ${rounds} failovers`, value: confirmed.length, atLeast: 1 },
        none('confirmed kick-outs accepted again', acceptedAgain + acceptedByNewcomer),
        none('accepted later than the staleness allowed', wrong.acceptedAfterKickOut.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
        none('503 with a challenge or without Retry-After', wrong.badUnavailable.length),
        none('503 or no answer outside of the failover', wrong.unavailableWithoutFault.length),
        {
          what: 'window without a 200, p95',
          value: percentile(outages, 0.95),
          atMost: 4000,
          unit: 'ms',
        },
        {
          what: 'all live after Sentinel redirects, longest',
          value: largest(played.map(({ liveAfterRedirectMs }) => liveAfterRedirectMs)),
          atMost: 3000,
          unit: 'ms',
        },
      ]
    } finally {
      await fleet.stop()
      await deployment.stop()
    }
  },
}
