import { setTimeout as sleep } from 'node:timers/promises'
import { askRedis } from '../support/ask-redis.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait.ts'
import { type Drill, type Figure, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'

const maxStalenessMs = 2000
const stream = '{kickout:0}:stream'

type Loss = readonly [name: string, how: (redis: RedisServer) => Promise<unknown>]

const losses: readonly Loss[] = [
  ['FLUSHALL', async (redis) => askRedis(redis, (client) => client.flushall())],
  ['DEL of the stream', async (redis) => askRedis(redis, (client) => client.del(stream))],
  ['DEL of the meta', async (redis) => askRedis(redis, (client) => client.del('{kickout:0}:meta'))],
  ['foreign trim', async (redis) => askRedis(redis, (client) => client.xtrim(stream, 'MAXLEN', 3))],
  ['restart as an empty primary', async (redis) => redis.restart()],
  [
    'RENAME of the stream',
    async (redis) => askRedis(redis, (client) => client.rename(stream, 'elsewhere')),
  ],
]

async function play(
  [name, how]: Loss,
  redis: RedisServer,
  fleet: Fleet,
  kicks: number,
): Promise<Figure[]> {
  const subjects = Array.from({ length: kicks }, (_, index) => `${name}-${index}`)
  for (const subject of subjects) fleet.people.add(subject)
  await fleet.kickOutAll(subjects)
  const healed = fleet.history.beginFault()
  await how(redis)
  const lostAt = performance.now()
  const acceptedAtOnce = await fleet.countAccepted(subjects)
  await waitUntil(async () => (await askRedis(redis, (client) => client.xlen(stream))) >= kicks, {
    what: 'the kick-outs to be written again',
    timeoutMs: 10_000,
  })
  const restoredMs = performance.now() - lostAt
  const newcomer = await fleet.addServer()
  await fleet.waitUntilLive()
  const accepted = await fleet.countAccepted(subjects)
  fleet.servers.pop()
  await newcomer.kill()
  await sleep(200)
  healed()
  return [
    none(`${name}: let in, by those who run or by who booted`, acceptedAtOnce + accepted),
    { what: `${name}: written again after`, value: restoredMs, atMost: 3000, unit: 'ms' },
  ]
}

/** A server must not start to rely on a Redis that may evict. */
async function refusesEviction(fleet: Fleet, redis: RedisServer): Promise<Figure> {
  await askRedis(redis, (client) => client.config('SET', 'maxmemory-policy', 'volatile-lru'))
  const newcomer = await fleet.addServer()
  await sleep(1500)
  const status = await fleet.call('innocent-0', fleet.servers.length - 1)
  fleet.servers.pop()
  await newcomer.kill()
  await askRedis(redis, (client) => client.config('SET', 'maxmemory-policy', 'noeviction'))
  return {
    what: 'eviction allowed: answer of a server that boots',
    value: status,
    atLeast: 503,
    atMost: 503,
  }
}

/** Q19: Redis loses its state, or a part of it. */
export const stateLoss: Drill = {
  name: 'state-loss',
  story: 'FLUSHALL, DEL, a foreign trim, an empty primary: no one who was kicked out gets in again',
  async run(effort) {
    const kicks = pick(effort, { quick: 20, usual: 200 })
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      revocations: { maxStalenessMs },
    })
    try {
      await fleet.waitUntilLive()
      const figures: Figure[] = []
      for (const one of losses) figures.push(...(await play(one, redis, fleet, kicks)))
      const healed = fleet.history.beginFault()
      figures.push(await refusesEviction(fleet, redis))
      healed()
      const wrong = fleet.history.judge(maxStalenessMs)
      return [
        ...figures,
        none('accepted later than the staleness allowed', wrong.acceptedAfterKickOut.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
        none('503 with a challenge or without Retry-After', wrong.badUnavailable.length),
      ]
    } finally {
      await fleet.stop()
      await redis.stop()
    }
  },
}
