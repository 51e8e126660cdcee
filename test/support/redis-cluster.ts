import { Cluster } from 'ioredis'
import { askRedis, waitUntilInSync } from './ask-redis.ts'
import { onFreePorts } from './free-port.ts'
import { type RedisServer, startRedis } from './redis-server.ts'
import { waitUntil } from './wait.ts'

const SLOTS = 16_384

export interface StartClusterOptions {
  /** Each gets an equal range of the slots. @defaultValue 3 */
  readonly masters?: number
  /** @defaultValue 0 */
  readonly replicasPerMaster?: 0 | 1
  /** Milliseconds until a silent master counts as failed. @defaultValue 1500 */
  readonly nodeTimeoutMs?: number
  /** More `redis-server` arguments for every node. */
  readonly args?: readonly string[]
  /** Lets the clock of each node be set, see `startRedis`. */
  readonly aheadMs?: number
}

export type ClusterClientOptions = NonNullable<ConstructorParameters<typeof Cluster>[1]>

export interface ClusterDeployment {
  /**
   * Masters first, then their replicas in the same order; places do not change after a failover.
   */
  readonly nodes: readonly RedisServer[]
  /** A cluster client; `stop()` closes it. Its connection errors are swallowed. */
  client(options?: ClusterClientOptions): Cluster
  /** The node that holds a slot (number) or a key (string) right now, as a running node sees it. */
  findMaster(slotOrKey: number | string): Promise<RedisServer>
  /**
   * `kill -9` of the node that {@link findMaster} answers; resolves with it, so that it can be
   * restarted.
   */
  killMaster(slotOrKey: number | string): Promise<RedisServer>
  /** Resolves when running nodes serve all slots and every running node says so. */
  waitUntilOk(timeoutMs?: number): Promise<void>
  stop(): Promise<void>
}

/**
 * Resolves when every node answers `cluster_state:ok` and knows all others, and the replicas are in
 * sync.
 */
export async function startCluster(options: StartClusterOptions = {}): Promise<ClusterDeployment> {
  const { masters = 3, replicasPerMaster = 0, nodeTimeoutMs = 1500 } = options
  const nodes: RedisServer[] = []
  const clients = new Set<Cluster>()
  const stop = async () => {
    for (const client of clients) client.disconnect()
    await Promise.all(nodes.map((node) => node.stop()))
  }
  try {
    for (let i = 0; i < masters * (1 + replicasPerMaster); i++) {
      nodes.push(await startNode(nodeTimeoutMs, options))
    }
    await introduce(nodes)
    await giveOutSlots(nodes.slice(0, masters))
    await attachReplicas(nodes, masters)
    await waitUntilOk(nodes, 20_000)
    await waitUntilReplicasAreKnown(nodes, replicasPerMaster)
  } catch (error) {
    await stop()
    throw error
  }
  const findMaster = async (slotOrKey: number | string) => {
    const port = await findMasterPort(nodes, slotOrKey)
    const master = nodes.find((node) => node.port === port)
    if (!master) throw new Error(`no node holds ${JSON.stringify(slotOrKey)}`)
    return master
  }
  return {
    nodes,
    client(clientOptions = {}) {
      const client = new Cluster(
        nodes.map(({ host, port }) => ({ host, port })),
        clientOptions,
      )
      clients.add(client.on('error', () => undefined))
      return client
    },
    findMaster,
    async killMaster(slotOrKey) {
      const master = await findMaster(slotOrKey)
      await master.kill9()
      return master
    },
    async waitUntilOk(timeoutMs = 20_000) {
      await waitUntilOk(nodes, timeoutMs)
    },
    stop,
  }
}

async function startNode(
  nodeTimeoutMs: number,
  { args = [], aheadMs }: StartClusterOptions,
): Promise<RedisServer> {
  return await onFreePorts(2, async (port, busPort) => {
    const clusterArgs = [
      ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort)],
      ...['--cluster-node-timeout', String(nodeTimeoutMs)],
      ...['--cluster-replica-validity-factor', '0'],
      // CLUSTER SLOTS names a replica only once it has received something, if only this ping.
      ...['--repl-ping-replica-period', '1'],
    ]
    const clock = aheadMs === undefined ? {} : { aheadMs }
    return await startRedis({ port, args: [...clusterArgs, ...args], ...clock })
  })
}

async function introduce(nodes: readonly RedisServer[]): Promise<void> {
  const [first, ...others] = await Promise.all(
    nodes.map(async (node, index) => {
      await askRedis(node, (client) =>
        client.call('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1)),
      )
      const address = await askRedis(node, (client) => client.call('CLUSTER', 'NODES'))
      const busPort = /@(\d+)/.exec(String(address))?.[1] ?? ''
      return { node, busPort }
    }),
  )
  if (!first) return
  for (const { node, busPort } of others) {
    const address = [node.host, String(node.port), busPort]
    await askRedis(first.node, (client) => client.call('CLUSTER', 'MEET', ...address))
  }
  await waitUntil(
    async () => {
      const known = await Promise.all(nodes.map((node) => readClusterInfo(node)))
      return known.every((info) => info.get('cluster_known_nodes') === String(nodes.length))
    },
    { what: 'the cluster nodes to know each other', timeoutMs: 20_000, everyMs: 25 },
  )
}

async function giveOutSlots(masters: readonly RedisServer[]): Promise<void> {
  await Promise.all(
    masters.map(async (master, index) => {
      const from = Math.floor((index * SLOTS) / masters.length)
      const to = Math.floor(((index + 1) * SLOTS) / masters.length) - 1
      const range = [String(from), String(to)]
      await askRedis(master, (client) => client.call('CLUSTER', 'ADDSLOTSRANGE', ...range))
    }),
  )
}

async function attachReplicas(nodes: readonly RedisServer[], masters: number): Promise<void> {
  const replicas = nodes.slice(masters)
  await Promise.all(
    replicas.map(async (replica, index) => {
      const master = nodes[index % masters]
      if (!master) return
      const id = String(await askRedis(master, (client) => client.call('CLUSTER', 'MYID')))
      await askRedis(replica, (client) => client.call('CLUSTER', 'REPLICATE', id))
      await waitUntilInSync(replica)
    }),
  )
}

async function waitUntilReplicasAreKnown(nodes: readonly RedisServer[], perMaster: number) {
  await waitUntil(
    async () => {
      const views = await Promise.all(
        nodes.map((node) => askRedis(node, (client) => client.cluster('SLOTS'))),
      )
      return views.flat().every(([, , ...servers]) => servers.length === 1 + perMaster)
    },
    { what: 'all cluster nodes to know the replicas', timeoutMs: 20_000, everyMs: 25 },
  )
}

/**
 * A node that was killed just now still counts as fine in the others' eyes, hence the look at who
 * is master.
 */
async function waitUntilOk(nodes: readonly RedisServer[], timeoutMs: number): Promise<void> {
  await waitUntil(
    async () => {
      const running = nodes.filter((node) => node.running)
      const runningPorts = new Set(running.map(({ port }) => port))
      const views = await Promise.all(
        running.map(async (node) => {
          const info = await readClusterInfo(node)
          const ranges = await askRedis(node, (client) => client.cluster('SLOTS'))
          return (
            info.get('cluster_state') === 'ok' &&
            info.get('cluster_slots_ok') === '16384' &&
            ranges.every(([, , master]) => runningPorts.has(Number(master?.[1])))
          )
        }),
      )
      return running.length > 0 && views.every(Boolean)
    },
    { what: 'cluster_state:ok on all nodes', timeoutMs, everyMs: 25 },
  )
}

async function findMasterPort(nodes: readonly RedisServer[], slotOrKey: number | string) {
  const node = nodes.find(({ running }) => running)
  if (!node) throw new Error('no cluster node is running')
  return await askRedis(node, async (client) => {
    const slot =
      typeof slotOrKey === 'number' ? slotOrKey : await client.cluster('KEYSLOT', slotOrKey)
    const ranges = await client.cluster('SLOTS')
    const range = ranges.find(([from, to]) => from <= slot && slot <= to)
    return range?.[2]?.[1]
  })
}

async function readClusterInfo(node: RedisServer): Promise<Map<string, string>> {
  const text = String(await askRedis(node, (client) => client.call('CLUSTER', 'INFO')))
  return new Map(
    text.split('\r\n').map((line) => {
      const [name = '', value = ''] = line.split(':')
      return [name, value] as const
    }),
  )
}
