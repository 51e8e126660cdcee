import { connect } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { Redis } from 'ioredis'
import { askRedis } from '../support/ask-redis.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { useRedis } from '../support/redis-for-tests.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import { startRedis } from '../support/redis-server.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { waitUntil } from '../support/wait.ts'

const cleanups: (() => unknown)[] = []
const closing = <T extends { stop(): unknown } | { close(): unknown }>(thing: T): T => {
  cleanups.push(() => ('stop' in thing ? thing.stop() : thing.close()))
  return thing
}

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const hangs = async (promise: Promise<unknown>) =>
  await Promise.race([
    promise.then(
      () => false,
      () => false,
    ),
    new Promise((resolve) => setTimeout(resolve, 150, true)),
  ])

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('waitUntil', () => {
  test('answers what the predicate answers in the end', async () => {
    let looks = 0
    const answer = await waitUntil(() => (++looks < 3 ? undefined : looks), { what: 'three looks' })
    expect(answer).toBe(3)
  })

  test('says what it waited for, and why the last look failed', async () => {
    const waiting = waitUntil(() => Promise.reject(new Error('closed')), {
      what: 'the shop to open',
      timeoutMs: 50,
    })
    await expect(waiting).rejects.toMatchObject({
      message: expect.stringContaining('still waiting for the shop to open after'),
      cause: expect.objectContaining({ message: 'closed' }),
    })
  })

  test('gives up while a look is hanging', async () => {
    const never = new Promise<undefined>(() => undefined)
    const waiting = waitUntil(() => never, { what: 'nothing', timeoutMs: 50 })
    await expect(waiting).rejects.toThrow('still waiting for nothing')
  })
})

describe('startRedis', () => {
  test('answers at once, and leaves no process behind', async () => {
    const server = closing(await startRedis())
    await expect(server.client().ping()).resolves.toBe('PONG')
    expect(isAlive(server.pid)).toBe(true)
    await server.stop()
    expect(isAlive(server.pid)).toBe(false)
  })

  test('keeps servers that start together apart', async () => {
    const servers = await Promise.all([1, 2, 3, 4].map(async () => closing(await startRedis())))
    const pids = await Promise.all(
      servers.map(async (server) => /process_id:(\d+)/.exec(await server.client().info())?.[1]),
    )
    expect(pids).toEqual(servers.map(({ pid }) => String(pid)))
    expect(new Set(servers.map(({ port }) => port)).size).toBe(4)
  })

  test('pauses without closing connections, and resumes', async () => {
    const server = closing(await startRedis())
    const client = server.client()
    await client.ping()
    server.pause()
    const ping = client.ping()
    await expect(hangs(ping)).resolves.toBe(true)
    server.resume()
    await expect(ping).resolves.toBe('PONG')
  })

  test('restarts on its port, empty or with its data', async () => {
    const server = closing(await startRedis())
    const { pid } = server
    const client = server.client()
    await client.set('key', 'value')
    await server.restart({ keepData: true })
    expect(server.pid).not.toBe(pid)
    await expect(client.get('key')).resolves.toBe('value')
    await server.restart({ keepData: false })
    await expect(client.get('key')).resolves.toBeNull()
  })

  test('is dead after kill9, and comes back', async () => {
    const server = closing(await startRedis())
    await server.kill9()
    expect(server.running).toBe(false)
    await expect(askRedis(server, (client) => client.ping())).rejects.toThrow()
    await server.restart()
    await expect(askRedis(server, (client) => client.ping())).resolves.toBe('PONG')
  })

  test('says why it does not start', async () => {
    const { port } = closing(await startRedis())
    await expect(startRedis({ port })).rejects.toThrow(/Address already in use/)
    await expect(startRedis({ args: ['--no-such-option', 'x'] })).rejects.toThrow(/ended at once/)
  })
})

describe('startProxy', () => {
  const startBehindProxy = async () => {
    const server = closing(await startRedis())
    const proxy = closing(await startProxy({ upstream: server }))
    const client = server.client({ port: proxy.port, retryStrategy: () => 20 })
    await client.ping()
    return { server, proxy, client }
  }
  const countPings = async (client: Redis) =>
    Number(/cmdstat_ping:calls=(\d+)/.exec(await client.info('commandstats'))?.[1])

  test.each([undefined, 'toUpstream', 'toClient'] as const)(
    'makes a PING hang in a blackhole (%s) and heals',
    async (direction) => {
      const { proxy, client } = await startBehindProxy()
      proxy.blackhole(direction)
      const ping = client.ping()
      await expect(hangs(ping)).resolves.toBe(true)
      proxy.pass()
      await expect(ping).resolves.toBe('PONG')
    },
  )

  test('lets a request through whose reply is lost', async () => {
    const { server, proxy, client } = await startBehindProxy()
    const direct = server.client()
    const before = await countPings(direct)
    proxy.blackhole('toClient')
    const lost = client.ping()
    await waitUntil(async () => (await countPings(direct)) === before + 1, { what: 'the PING' })
    await expect(hangs(lost)).resolves.toBe(true)
    proxy.pass()
    await lost
  })

  test('hides the end of a connection in a blackhole', async () => {
    const { server, proxy } = await startBehindProxy()
    const socket = connect({ host: proxy.host, port: proxy.port })
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => undefined)
    await waitUntil(() => proxy.connections() === 2, { what: 'the connection' })
    proxy.blackhole()
    await server.kill9()
    await expect(hangs(closed)).resolves.toBe(true)
    proxy.pass()
    await closed
  })

  test('keeps the order under a delay', async () => {
    const { proxy, client } = await startBehindProxy()
    proxy.delay(100)
    const startedAt = performance.now()
    const numbers = Array.from({ length: 20 }, async (_, index) => {
      if (index === 10) proxy.delay(20)
      return await client.echo(`${index}`)
    })
    const settled: string[] = []
    for (const number of numbers) void number.then((text) => settled.push(text))
    await Promise.all(numbers)
    expect(settled).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`))
    expect(performance.now() - startedAt).toBeGreaterThan(39)
  })

  test('resets all connections, and the client comes back', async () => {
    const { proxy, client } = await startBehindProxy()
    const errors: string[] = []
    client.on('error', (error: Error & { code?: string }) => errors.push(error.code ?? ''))
    const reconnected = new Promise((resolve) => client.once('reconnecting', resolve))
    proxy.reset()
    await reconnected
    expect(errors).toEqual(['ECONNRESET'])
    await expect(client.ping()).resolves.toBe('PONG')
  })

  test('cuts a reply after so many bytes, once', async () => {
    const { proxy } = await startBehindProxy()
    const receive = async () => {
      const socket = connect({ host: proxy.host, port: proxy.port })
      socket.write('PING\r\nQUIT\r\n')
      let received = ''
      for await (const chunk of socket) received += String(chunk)
      return received
    }
    proxy.cutAfter(3)
    await expect(receive()).resolves.toBe('+PO')
    await expect(receive()).resolves.toBe('+PONG\r\n+OK\r\n')
  })

  test('corrupts one reply', async () => {
    const { proxy, client } = await startBehindProxy()
    proxy.corrupt()
    await expect(client.ping()).rejects.toThrow()
    await expect(client.ping()).resolves.toBe('PONG')
  })

  test('closes one direction only', async () => {
    const { proxy } = await startBehindProxy()
    const socket = connect({ host: proxy.host, port: proxy.port, allowHalfOpen: true })
    cleanups.push(() => socket.destroy())
    await waitUntil(() => proxy.connections() === 2, { what: 'the connection' })
    const ended = new Promise((resolve) => socket.once('end', resolve))
    socket.resume()
    proxy.halfClose('toClient')
    await ended
    expect(socket.writable).toBe(true)
  })

  test('switches new connections to another server', async () => {
    const { server, proxy, client } = await startBehindProxy()
    const other = closing(await startRedis())
    const readPid = async () => Number(/process_id:(\d+)/.exec(await client.info())?.[1])
    proxy.switchUpstream(other)
    await expect(readPid()).resolves.toBe(server.pid)
    proxy.reset()
    await waitUntil(async () => (await readPid()) === other.pid, { what: 'the other server' })
  })

  test('closes with connections in every state', async () => {
    const { proxy, client } = await startBehindProxy()
    proxy.delay(60_000)
    client.ping().catch(() => undefined)
    proxy.blackhole('toClient')
    await proxy.close()
    await proxy.close()
    expect(proxy.connections()).toBe(0)
  })
})

describe('startSentinel', () => {
  test('promotes the replica within seconds of kill9', async () => {
    const deployment = closing(await startSentinel())
    const client = deployment.client()
    await client.set('key', 'value')
    await expect(client.wait(1, 1000)).resolves.toBe(1)
    await deployment.primary.kill9()
    const promoted = await deployment.waitForPromotion({ timeoutMs: 10_000 })
    expect(promoted).toBe(deployment.replicas[0])
    await expect(client.get('key')).resolves.toBe('value')
  }, 40_000)
})

describe('startCluster', () => {
  test('answers on keys of all slots', async () => {
    const cluster = closing(await startCluster())
    const client = cluster.client()
    const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`)
    await Promise.all(keys.map((key) => client.set(key, key)))
    await expect(Promise.all(keys.map((key) => client.get(key)))).resolves.toEqual(keys)
    const masters = await Promise.all(
      [0, 5461, 10_923, 16_383].map((slot) => cluster.findMaster(slot)),
    )
    expect(new Set(masters)).toEqual(new Set(cluster.nodes))
    expect(await cluster.findMaster('key-1')).toBe(await cluster.findMaster('{key-1}x'))
  }, 30_000)

  test('gives the slots of a killed master to its replica', async () => {
    const cluster = closing(await startCluster({ replicasPerMaster: 1 }))
    const client = cluster.client()
    await client.set('key', 'value')
    const replica = client.nodes('slave').length
    expect(replica).toBe(3)
    const killed = await cluster.killMaster('key')
    await cluster.waitUntilOk()
    expect(await cluster.findMaster('key')).not.toBe(killed)
    await client.set('key', 'again')
    await killed.restart()
    await cluster.waitUntilOk()
  }, 60_000)
})

describe('useRedis', () => {
  const redis = useRedis()

  test('gives a server, clients and prefixes', async () => {
    await expect(redis.client().ping()).resolves.toBe('PONG')
    expect(redis.url).toBe(redis.server.url)
    expect(redis.uniquePrefix()).not.toBe(redis.uniquePrefix())
  })

  test('closes what is deferred before it looks for leaks', async () => {
    const forgotten = redis.client().duplicate()
    redis.defer(() => {
      forgotten.disconnect()
    })
    await forgotten.ping()
  })
})
