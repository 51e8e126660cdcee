import { setTimeout as sleep } from 'node:timers/promises'
import { askRedis } from '../support/ask-redis.ts'
import { type ClusterDeployment, startCluster } from '../support/redis-cluster.ts'
import type { RedisServer } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait.ts'
import { type Drill, type Figure, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import { hostileIds } from './support/hostile-ids.ts'
import { largest } from './support/statistics.ts'

const partitions = 16
const maxStalenessMs = 4000
const streamOf = (partition: number): string => `{kickout:${partition}}:stream`

interface Trouble {
  readonly name: string
  readonly cause: () => Promise<unknown>
}

async function idOf(node: RedisServer): Promise<string> {
  return String(await askRedis(node, (client) => client.call('CLUSTER', 'MYID')))
}

/** Moves one slot with its keys to another master, as `redis-cli --cluster reshard` does. */
async function reshard(cluster: ClusterDeployment, key: string): Promise<void> {
  const from = await cluster.findMaster(key)
  const slot = await askRedis(from, (client) => client.cluster('KEYSLOT', key))
  const masters = await Promise.all([0, 6000, 12_000].map(async (each) => cluster.findMaster(each)))
  const to = masters.find((node) => node !== from)!
  const [fromId, toId] = await Promise.all([idOf(from), idOf(to)])
  const setSlot = async (node: RedisServer, ...args: string[]): Promise<unknown> =>
    askRedis(node, (client) => client.call('CLUSTER', 'SETSLOT', String(slot), ...args))
  await setSlot(to, 'IMPORTING', fromId)
  await setSlot(from, 'MIGRATING', toId)
  for (;;) {
    const keys = await askRedis(from, (client) =>
      client.call('CLUSTER', 'GETKEYSINSLOT', String(slot), '20'),
    )
    if (!Array.isArray(keys) || keys.length === 0) break
    const names = keys.map(String)
    await askRedis(from, (client) =>
      client.call('MIGRATE', to.host, String(to.port), '', '0', '2000', 'KEYS', ...names),
    )
    // Slowly, so that reads and kick-outs meet a slot that is half here and half there.
    await sleep(20)
  }
  for (const node of [to, from, ...masters.filter((one) => one !== to && one !== from)]) {
    await setSlot(node, 'NODE', toId)
  }
}

async function play(fleet: Fleet, { name, cause }: Trouble): Promise<Figure[]> {
  const confirmed: string[] = []
  const kicks: Promise<void>[] = []
  const kicking = { on: true }
  const load = fleet.load(100, () => confirmed[Math.floor(Math.random() * confirmed.length)])
  load.start()
  const kickAll = (async () => {
    for (let index = 0; kicking.on; index++) {
      const subject = `${name}-${index}`
      fleet.people.add(subject)
      kicks.push(
        fleet.kickOut(subject, 6000).then((isConfirmed) => {
          if (isConfirmed) confirmed.push(subject)
        }),
      )
      await sleep(50)
    }
  })()
  const enough = 10
  const confirmMore = async (what: string) => {
    const before = confirmed.length
    await waitUntil(() => confirmed.length >= before + enough, { what, timeoutMs: 10_000 })
  }
  await confirmMore('kick-outs before the trouble')
  const healed = fleet.history.beginFault()
  const startedAt = performance.now()
  await cause()
  await fleet.waitUntilLive()
  await sleep(maxStalenessMs)
  const liveAfterMs = await fleet.waitUntilLive()
  const outages = fleet.servers.map((_, index) => fleet.history.longestOutage(startedAt, index))
  healed()
  const before = confirmed.length
  await confirmMore('kick-outs after the trouble')
  kicking.on = false
  await kickAll
  await Promise.all(kicks)
  await load.stop()
  return [
    {
      what: `${name}: kick-outs confirmed, some of them afterwards`,
      value: confirmed.length - before,
      atLeast: 5,
    },
    none(`${name}: confirmed kick-outs let in`, await fleet.countAccepted(confirmed.slice(-200))),
    { what: `${name}: window without a 200`, value: largest(outages), atMost: 4000, unit: 'ms' },
    { what: `${name}: live again`, value: liveAfterMs, atMost: 2000, unit: 'ms' },
  ]
}

/** No user's id can leave its slot, meet another, or be lost on the way. */
async function playHostileIds(fleet: Fleet, count: number): Promise<Figure[]> {
  const ids = hostileIds(count)
  for (const id of ids) fleet.people.add(id)
  await fleet.kickOutAll(ids)
  await fleet.waitUntilProved()
  const witness = fleet.people.add('witness')
  const { status } = await fleet.client.send(fleet.servers[0]!.port, { token: witness })
  return [
    {
      what: 'hostile ids kicked out',
      value: ids.filter((id) => fleet.history.acknowledged.has(id)).length,
      atLeast: ids.length,
    },
    none('hostile ids let in', await fleet.countAccepted(ids)),
    { what: 'answer to a bystander', value: status, atLeast: 200, atMost: 200 },
  ]
}

/** Q21: a Cluster of three masters and three replicas. */
export const cluster: Drill = {
  name: 'cluster',
  story: 'Redis Cluster: a master is killed, a slot moves, ids are hostile',
  async run(effort) {
    const deployment = await startCluster({ masters: 3, replicasPerMaster: 1 })
    const hosts = deployment.nodes.map(({ host, port }) => ({ host, port }))
    const fleet = await Fleet.start({
      redis: { kind: 'cluster', servers: hosts },
      servers: 2,
      revocations: { partitions, minReplicas: 1, maxStalenessMs },
    })
    try {
      await fleet.waitUntilLive()
      const figures = await playHostileIds(fleet, pick(effort, { quick: 200, usual: 10_000 }))
      const moved = { name: 'slot moved', cause: async () => reshard(deployment, streamOf(3)) }
      figures.push(...(await play(fleet, moved)))
      const killed = {
        name: 'master killed',
        async cause() {
          const master = await deployment.killMaster(streamOf(0))
          await deployment.waitUntilOk()
          // It comes back as the replica of its successor, so that a replica can be waited for again.
          await master.restart()
          await deployment.waitUntilOk()
        },
      }
      figures.push(...(await play(fleet, killed)))
      const wrong = fleet.history.judge(maxStalenessMs)
      return [
        ...figures,
        none('accepted later than the staleness allowed', wrong.acceptedAfterKickOut.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
        none('503 with a challenge or without Retry-After', wrong.badUnavailable.length),
        none('503 or no answer outside of the faults', wrong.unavailableWithoutFault.length),
      ]
    } finally {
      await fleet.stop()
      await deployment.stop()
    }
  },
}
