import { schemaSql } from '../../src/postgres/index.ts'
import { askRedis, waitUntilInSync } from '../support/ask-redis.ts'
import { findFaketime } from '../support/movable-clock.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import type { Random } from '../support/random.ts'
import type { Loss } from './history.ts'
import type { Place } from './places.ts'

export type StoreKind = 'sentinel' | 'single' | 'cluster' | 'postgres'

/** A way to break the store. Resolves when it is broken; the result mends it. */
export interface StoreFault {
  readonly what: string
  readonly loss?: Loss
  readonly isClock?: true
  /** Not more often than this, milliseconds: Sentinel rests after a failover. */
  readonly restMs?: number
  cause(): Promise<() => Promise<unknown>>
}

export interface Store {
  readonly place: Place
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  readonly minReplicas: number
  readonly partitions: number
  readonly faults: readonly StoreFault[]
  stop(): Promise<void>
}

const nothing = async (): Promise<void> => {}
const hourMs = 3_600_000

/** What lets the clock of a Redis be set, where the library for it is installed. */
const settable = findFaketime() === undefined ? {} : { aheadMs: 0 }

/** A clock of Redis that jumps by an hour, and jumps back. */
function clockFaults(pick: () => Promise<RedisServer>): StoreFault[] {
  if (settable.aheadMs === undefined) return []
  return (
    [
      ['ahead', hourMs],
      ['behind', -hourMs],
    ] as const
  ).map(([where, aheadMs]) => ({
    what: `clock of Redis an hour ${where}`,
    isClock: true,
    async cause() {
      const server = await pick()
      server.setClock(aheadMs)
      return async () => server.setClock(0)
    },
  }))
}

/**
 * What the docs forbid. What is evicted is lost as in a failover: servers that saw it write it again once Redis may be used
 * again, which takes longer than claim C6 allows where thousands of kick-outs live.
 */
function eviction(pick: () => Promise<RedisServer>): StoreFault {
  return settingFault(
    pick,
    'eviction, in a full Redis',
    { 'maxmemory-policy': 'allkeys-random', maxmemory: '1mb' },
    'suffix',
  )
}

/** A setting that an operator changes, and changes back. */
function settingFault(
  pick: () => Promise<RedisServer>,
  what: string,
  changes: Readonly<Record<string, string>>,
  loss?: Loss,
): StoreFault {
  return {
    what,
    ...(loss && { loss }),
    async cause() {
      const server = await pick()
      const set = async (name: string, value: string): Promise<unknown> =>
        askRedis(server, async (client) => client.config('SET', name, value))
      const before = await askRedis(server, async (client) =>
        Promise.all(
          Object.keys(changes).map(async (name) => {
            const [, value] = await client.config('GET', name)
            return [name, value ?? ''] as const
          }),
        ),
      )
      for (const [name, value] of Object.entries(changes)) await set(name, value)
      return async () => {
        for (const [name, value] of before) await set(name, value)
      }
    },
  }
}

/** What a cluster node, a primary or a server on its own can suffer; `pick` names the one that is concerned now. */
function redisFaults(
  pick: () => Promise<RedisServer>,
  streamOf: () => string,
  metaOf: () => string,
): StoreFault[] {
  const ask = async (question: Parameters<typeof askRedis>[1]): Promise<void> => {
    await askRedis(await pick(), question)
  }
  const once = (what: string, loss: Loss, act: () => Promise<void>): StoreFault => ({
    what,
    loss,
    async cause() {
      await act()
      return nothing
    },
  })
  return [
    once('FLUSHALL', 'wipe', async () => ask(async (client) => client.flushall())),
    once('DEL of a stream', 'wipe', async () => ask(async (client) => client.del(streamOf()))),
    once('DEL of a head', 'wipe', async () => ask(async (client) => client.del(metaOf()))),
    once('XTRIM', 'wipe', async () => ask(async (client) => client.xtrim(streamOf(), 'MAXLEN', 3))),
    {
      what: 'a full Redis',
      async cause() {
        const server = await pick()
        await askRedis(server, async (client) => client.config('SET', 'maxmemory', '1mb'))
        return async () =>
          askRedis(server, async (client) => client.config('SET', 'maxmemory', '0'))
      },
    },
    settingFault(pick, 'more replicas demanded than there are', { 'min-replicas-to-write': '9' }),
    settingFault(pick, 'appendonly turned on', { appendonly: 'yes' }),
    {
      what: 'Redis stands still',
      // Sentinel and Cluster may promote a replica meanwhile.
      loss: 'suffix',
      restMs: 12_000,
      async cause() {
        const server = await pick()
        server.pause()
        return async () => {
          server.resume()
        }
      },
    },
    {
      what: 'connections of Redis are killed',
      async cause() {
        await ask(async (client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal'))
        return nothing
      },
    },
  ]
}

async function startSingle({ clocks, evictions }: StoreOptions): Promise<Store> {
  const server = await startRedis(settable)
  const { host, port } = server
  const pick = async (): Promise<RedisServer> => server
  const faults = redisFaults(
    pick,
    () => '{kickout:0}:stream',
    () => '{kickout:0}:meta',
  )
  return {
    place: { kind: 'single', host, port },
    addresses: [{ host, port }],
    minReplicas: 0,
    partitions: 1,
    faults: [
      ...(clocks ? clockFaults(pick) : []),
      ...(evictions ? [eviction(pick)] : []),
      ...faults.map((fault) => (fault.what === 'Redis stands still' ? withoutLoss(fault) : fault)),
      {
        what: 'kill -9 of Redis, which comes back empty',
        loss: 'wipe',
        async cause() {
          await server.kill9()
          return async () => server.restart()
        },
      },
    ],
    stop: async () => server.stop(),
  }
}

function withoutLoss({ what, cause }: StoreFault): StoreFault {
  return { what, cause }
}

/** As the README says: a primary that was cut off from its replicas takes no writes. */
const replicated = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '1']
const often = ['--repl-ping-replica-period', '1']

async function startWithSentinels({ clocks, evictions }: StoreOptions): Promise<Store> {
  const args = [...replicated, ...often]
  const deployment = await startSentinel({
    ...{ replicas: 2, primaryArgs: args, replicaArgs: args },
    ...settable,
  })
  const servers = [deployment.primary, ...deployment.replicas]
  const { name, sentinels } = deployment
  const primary = async (): Promise<RedisServer> => {
    for (const server of servers) {
      const role = await askRedis(server, async (client) => client.role()).catch(() => undefined)
      if (role?.[0] === 'master') return server
    }
    throw new Error('there is no primary')
  }
  const failOver = async (from: RedisServer): Promise<RedisServer> =>
    deployment.waitForPromotion({ from, timeoutMs: 20_000 })
  return {
    place: {
      kind: 'sentinel',
      sentinels: sentinels.map(({ host, port }) => ({ host, port })),
      name,
    },
    addresses: servers.map(({ host, port }) => ({ host, port })),
    minReplicas: 1,
    partitions: 1,
    faults: [
      ...(clocks ? clockFaults(primary) : []),
      ...(evictions ? [eviction(primary)] : []),
      ...redisFaults(
        primary,
        () => '{kickout:0}:stream',
        () => '{kickout:0}:meta',
      ),
      {
        what: 'kill -9 of the primary, and a failover',
        loss: 'suffix',
        restMs: 12_000,
        async cause() {
          const from = await primary()
          await from.kill9()
          return async () => {
            const { host, port } = await failOver(from)
            // It comes back empty, and follows the one that was promoted.
            await from.restart()
            await askRedis(from, async (client) => client.replicaof(host, port))
            await waitUntilInSync(from)
          }
        },
      },
      {
        what: 'SENTINEL FAILOVER',
        loss: 'suffix',
        restMs: 12_000,
        async cause() {
          const from = await primary()
          await askRedis(sentinels[0]!, async (client) =>
            client.call('SENTINEL', 'FAILOVER', name),
          ).catch(() => undefined)
          return async () => failOver(from).catch(() => undefined)
        },
      },
    ],
    stop: async () => deployment.stop(),
  }
}

async function startOnCluster({ clocks, evictions }: StoreOptions, random: Random): Promise<Store> {
  const cluster = await startCluster({ masters: 3, replicasPerMaster: 1, ...settable })
  const partitions = 16
  let partition = 0
  const pick = async (): Promise<RedisServer> => {
    partition = random.below(partitions)
    return cluster.findMaster(`{kickout:${partition}}:stream`)
  }
  return {
    place: { kind: 'cluster', servers: cluster.nodes.map(({ host, port }) => ({ host, port })) },
    addresses: cluster.nodes.map(({ host, port }) => ({ host, port })),
    minReplicas: 1,
    partitions,
    faults: [
      ...(evictions ? [eviction(pick)] : []),
      // A node tells by its clock which of the others are silent, and may call for a failover.
      ...(clocks ? clockFaults(pick) : []).map((fault): StoreFault => ({
        ...fault,
        loss: 'suffix',
        restMs: 8000,
      })),
      ...redisFaults(
        pick,
        () => `{kickout:${partition}}:stream`,
        () => `{kickout:${partition}}:meta`,
      ),
      {
        what: 'kill -9 of a master, and a failover',
        loss: 'suffix',
        restMs: 8000,
        async cause() {
          const master = await pick()
          await master.kill9()
          return async () => {
            await cluster.waitUntilOk(30_000)
            await master.restart()
            await cluster.waitUntilOk(30_000)
            await waitUntilInSync(master)
          }
        },
      },
    ],
    stop: async () => cluster.stop(),
  }
}

async function startOnPostgres(): Promise<Store> {
  const server = await PostgresServer.start()
  await server.ask(schemaSql())
  const once = (what: string, sql: string): StoreFault => ({
    what,
    loss: 'wipe',
    async cause() {
      await server.ask(sql)
      return nothing
    },
  })
  return {
    place: { kind: 'postgres', host: '127.0.0.1', port: server.port },
    addresses: [{ host: '127.0.0.1', port: server.port }],
    minReplicas: 0,
    partitions: 1,
    faults: [
      once('TRUNCATE of the log', 'TRUNCATE kickout.log'),
      once(
        'DELETE of the newest entries',
        'DELETE FROM kickout.log WHERE seq > (SELECT max(seq) - 3 FROM kickout.log)',
      ),
      once('the head is lost', 'DELETE FROM kickout.meta'),
      {
        what: 'connections of PostgreSQL are terminated',
        async cause() {
          await server.ask(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
          )
          return nothing
        },
      },
      {
        // The tests' server does not sync its files, and a process that is killed loses none of what it wrote.
        what: 'kill -9 of PostgreSQL',
        async cause() {
          await server.kill()
          return async () => server.restart()
        },
      },
    ],
    stop: async () => server.stop(),
  }
}

export interface StoreOptions {
  /** Whether the clocks of Redis jump too. */
  readonly clocks: boolean
  /** Whether Redis evicts too. */
  readonly evictions: boolean
}

export async function startStore(
  kind: StoreKind,
  options: StoreOptions,
  random: Random,
): Promise<Store> {
  switch (kind) {
    case 'single':
      return startSingle(options)
    case 'sentinel':
      return startWithSentinels(options)
    case 'cluster':
      return startOnCluster(options, random)
    case 'postgres':
      return startOnPostgres()
  }
}
