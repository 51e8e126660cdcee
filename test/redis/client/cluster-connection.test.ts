import { lookup } from 'node:dns'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Cluster } from 'ioredis'
import { CommandConnection } from '../../../src/redis/client/connection.ts'
import type { RedisClient } from '../../../src/redis/index.ts'
import {
  type ClusterClientOptions,
  type ClusterDeployment,
  startCluster,
} from '../../support/redis-cluster.ts'
import { startProxy, type TcpProxy } from '../../support/tcp-proxy.ts'
import { waitUntil } from '../../support/wait.ts'
import { useCleanup } from '../support/deployment.ts'

const { closing } = useCleanup()
/** One key of each of the three masters. */
const keys = ['{b}', '{c}', '{a}'] as const
let deployment: ClusterDeployment

beforeAll(async () => {
  deployment = await startCluster({ masters: 3 })
}, 60_000)

afterAll(async () => {
  await deployment.stop()
})

interface Links {
  readonly proxies: readonly TcpProxy[]
  readonly connection: CommandConnection
  /** The proxy of the master that holds a key. */
  proxyOf(key: string): Promise<TcpProxy>
}

/** A connection to the Cluster that has a proxy before each node. */
async function connect(options: ClusterClientOptions = {}, host?: string): Promise<Links> {
  const { nodes } = deployment
  const proxies = await Promise.all(
    nodes.map(async ({ host, port }) => closing(await startProxy({ upstream: { host, port } }))),
  )
  const natMap = Object.fromEntries(
    nodes.map((node, index) => {
      const { host, port } = proxies[index]!
      return [`${node.host}:${node.port}`, { host, port }] as const
    }),
  )
  const { Cluster } = await import('ioredis')
  const template = new Cluster(
    proxies.map((proxy) => ({ host: host ?? proxy.host, port: proxy.port })),
    { lazyConnect: true, natMap, ...options },
  )
  const connection = closing(new CommandConnection({ client: template, credentials: undefined }))
  return {
    proxies,
    connection,
    async proxyOf(key) {
      const master = await deployment.findMaster(key)
      return proxies[nodes.indexOf(master)]!
    },
  }
}

const read =
  (key: string) =>
  async (client: RedisClient): Promise<string | null> =>
    client.get(key)

async function untilAnswered({ connection }: Links, key: string): Promise<void> {
  await waitUntil(async () => connection.run(300, read(key)).then(() => true), {
    what: `an answer about ${key}`,
    timeoutMs: 5_000,
  })
}

describe('on a Cluster', () => {
  test('a link that was lost without a word, while the other nodes answer, is replaced', async () => {
    const links = await connect()
    for (const key of keys) await links.connection.run(1_000, read(key))
    const proxy = await links.proxyOf(keys[0])
    proxy.freeze()
    const others = setInterval(() => {
      for (const key of keys.slice(1)) {
        links.connection.run(300, read(key)).catch(() => undefined)
      }
    }, 20)
    closing({ close: () => clearInterval(others) })
    await expect(links.connection.run(150, read(keys[0]))).rejects.toThrow(/took longer/)
    await untilAnswered(links, keys[0])
    // The others keep theirs.
    expect(links.connection.connectionNumber).toBe(1)
  })

  test('the node of a slot is found again after its connection was closed', async () => {
    const links = await connect()
    for (const key of keys) await links.connection.run(1_000, read(key))
    const proxy = await links.proxyOf(keys[0])
    proxy.reset()
    const nodes = async (client: RedisClient) => (client as Cluster).nodes('master').length
    await waitUntil(async () => (await links.connection.run(500, nodes)) === 2, {
      what: 'the end of the connection',
    })
    await waitUntil(
      async () =>
        links.connection.run(500, async (client) => {
          const node = await links.connection.nodeOf(client, keys[0])
          return node.get(keys[0]).then(() => true)
        }),
      { what: 'the node of the slot', timeoutMs: 3_000 },
    )
  })

  test('a reader does not wait for a node that answers nothing to tell it a slot', async () => {
    const links = await connect()
    await links.connection.run(1_000, async (client) => {
      // All nodes are in use, and each may be the one that is asked.
      await Promise.all((client as Cluster).nodes().map(async (node) => node.ping()))
    })
    const proxy = await links.proxyOf(keys[0])
    proxy.freeze()
    for (const index of Array.from({ length: 12 }).keys()) {
      const key = `{c}:${index}`
      await waitUntil(
        async () => {
          const reader = await links.connection.dedicated(key)
          reader.disconnect()
          return true
        },
        { what: `a reader of ${key}`, timeoutMs: 4_000 },
      )
    }
  }, 20_000)

  test('the last end of an old connection, heard while names are looked up, does not keep it closed', async () => {
    const links: Links[] = []
    let lookups = 0
    // The first time at once; then so slowly that a connection that hangs has been closed by then.
    const dnsLookup: ClusterClientOptions['dnsLookup'] = (name, callback) => {
      const delayMs = lookups++ === 0 ? 0 : 150
      setTimeout(() => {
        for (const { proxies } of links) for (const proxy of proxies) proxy.pass()
        lookup(name, 4, (error, address, family) => callback(error, address, family))
      }, delayMs)
    }
    const link = await connect({ dnsLookup }, 'localhost')
    await link.connection.run(1_000, read(keys[0]))
    links.push(link)
    for (const proxy of link.proxies) proxy.blackhole()
    await expect(link.connection.run(150, read(keys[0]))).rejects.toThrow(/took longer/)
    await untilAnswered(link, keys[0])
    expect(link.connection.connectionNumber).toBe(2)
  })

  test('a redirection that arrives while connections are closed does not keep it closing', async () => {
    const links = await connect()
    for (const key of keys) await links.connection.run(1_000, read(key))
    const slot = await deployment.nodes[0]!.client().cluster('KEYSLOT', keys[0])
    const elsewhere = await links.proxyOf(keys[1])
    // The answer comes before the end of any connection, and sooner than one that is being closed is given up.
    for (const proxy of links.proxies) proxy.delay(60, 'toClient')
    let sent!: () => void
    const isSent = new Promise<void>((resolve) => (sent = resolve))
    const redirected = links.connection.run(1_000, async (client) => {
      // This master is none of that slot any more, and the client does not know yet.
      ;(client as Cluster).slots[slot] = [`${elsewhere.host}:${elsewhere.port}`]
      const reply = client.get(keys[0])
      sent()
      return reply
    })
    await isSent
    const demoted = links.connection.run(500, async () => {
      throw new Error('READONLY You can’t write against a read only replica')
    })
    await expect(demoted).rejects.toThrow(/READONLY/)
    await redirected.catch(() => undefined)
    for (const proxy of links.proxies) proxy.pass()
    for (const key of keys) await untilAnswered(links, key)
    expect(links.connection.connectionNumber).toBe(2)
  })

  test('nodes that would wait before they connect again do not keep it closing', async () => {
    const links = await connect({ clusterNodeRetryStrategy: () => 60_000 })
    for (const key of keys) await links.connection.run(1_000, read(key))
    for (const proxy of links.proxies) proxy.reset()
    for (const key of keys) await untilAnswered(links, key)
  })
})
