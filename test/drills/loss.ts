import { setTimeout as sleep } from 'node:timers/promises'
import { askRedis, waitUntilInSync } from '../support/ask-redis.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { waitUntil } from '../support/wait.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'

const kicksPerRound = 10
const maxStalenessMs = 2000

interface Pair {
  readonly old: RedisServer
  readonly next: RedisServer
}

/** The replica becomes independent *before* the writes, so that it certainly lacks them; then everybody is sent to it. */
async function loseAndFailOver(
  { old, next }: Pair,
  proxy: TcpProxy,
  fleet: Fleet,
  subjects: readonly string[],
): Promise<{ acknowledged: number; seen: number }> {
  await askRedis(next, (client) => client.replicaof('NO', 'ONE'))
  await sleep(50)
  const answers: boolean[] = []
  const kickOut = async (subject: string): Promise<void> => {
    // A busy machine may refuse one before it is written; each has to get as far as the replica that is not there.
    do answers.push(await fleet.kickOut(subject))
    while ((await fleet.call(subject, 0)) === 200)
  }
  await Promise.all(subjects.map(kickOut))
  await sleep(100)
  const accepted = await fleet.countAccepted(subjects)
  proxy.switchUpstream({ host: next.host, port: next.port })
  await old.kill9()
  proxy.reset()
  return {
    acknowledged: answers.filter(Boolean).length,
    seen: subjects.length * fleet.servers.length - accepted,
  }
}

/** Q15: the promoted replica lacks kick-outs. */
export const loss: Drill = {
  name: 'loss',
  story:
    'a failover loses kick-outs: their callers had a 503, and servers that saw them republish them',
  async run(effort) {
    const rounds = effort.rounds ?? pick(effort, { quick: 2, usual: 20 })
    const servers = [await startRedis(), await startRedis()]
    let [old, next] = servers as [RedisServer, RedisServer]
    const proxy = await startProxy({ upstream: old })
    const fleet = await Fleet.start({
      redis: { kind: 'single', host: proxy.host, port: proxy.port },
      revocations: { minReplicas: 1, maxStalenessMs },
    })
    let acknowledged = 0
    let seen = 0
    let forgotten = 0
    let acceptedByNewcomer = 0
    try {
      for (let round = 0; round < rounds; round++) {
        await askRedis(next, (client) => client.replicaof(old.host, old.port))
        await waitUntilInSync(next)
        await fleet.waitUntilLive()
        const subjects = Array.from({ length: kicksPerRound }, (_, i) => `lost-${round}-${i}`)
        for (const subject of subjects) fleet.people.add(subject)
        const healed = fleet.history.beginFault()
        const lost = await loseAndFailOver({ old, next }, proxy, fleet, subjects)
        acknowledged += lost.acknowledged
        seen += lost.seen
        await fleet.waitUntilLive()
        forgotten += await fleet.countAccepted(subjects)
        const promoted = next
        await waitUntil(
          async () =>
            (await askRedis(promoted, (client) => client.xlen('{kickout:0}:stream'))) >= 1,
          { what: 'the kick-outs to be written again' },
        )
        await sleep(700)
        const newcomer = await fleet.addServer()
        await fleet.waitUntilLive()
        acceptedByNewcomer += await fleet.countAccepted(subjects)
        fleet.servers.pop()
        await newcomer.kill()
        healed()
        await old.restart()
        ;[old, next] = [next, old]
      }
      const wrong = fleet.history.judge(maxStalenessMs)
      const asked = rounds * kicksPerRound
      return [
        none(`of ${asked} kick-outs without their replica acknowledged`, acknowledged),
        { what: 'decisions that had seen them before the failover', value: seen, atLeast: 1 },
        none('let in by a server that had seen the kick-out', forgotten),
        none('let in by a server that booted afterwards', acceptedByNewcomer),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
        none('503 with a challenge or without Retry-After', wrong.badUnavailable.length),
      ]
    } finally {
      await fleet.stop()
      await proxy.close()
      await Promise.all(servers.map(async (server) => server.stop()))
    }
  },
}
