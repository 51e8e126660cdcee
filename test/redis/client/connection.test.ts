import { inspect } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import type { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { CommandConnection } from '../../../src/redis/client/connection.ts'
import { describeFailure, toUnavailable } from '../../../src/redis/client/failure.ts'
import { redisRevocations, redisStore } from '../../../src/redis/index.ts'
import { startProxy } from '../../support/tcp-proxy.ts'
import { waitUntil } from '../../support/wait.ts'
import { beginSettledLog, claimsOf, failureOf, issuer } from '../support/deployment.ts'
import { useServers } from '../support/servers.ts'
import { startReadyNode, untilProvedAgain } from '../support/standing.ts'

const servers = useServers()
const { start, startBehindProxy, closing, template } = servers

function connectionTo(address: { host: string; port: number }, options = {}): CommandConnection {
  return closing(
    new CommandConnection({ client: template(address, options), credentials: undefined }),
  )
}

describe('a command', () => {
  test('has a budget, and what comes later is ignored', async () => {
    const { proxy } = await startBehindProxy()
    const connection = connectionTo(proxy)
    await connection.run(1_000, async (client) => client.get('a'))
    proxy.delay(600)
    const startedAt = performance.now()
    await expect(connection.run(150, async (client) => client.get('a'))).rejects.toThrow(
      /took longer/,
    )
    expect(performance.now() - startedAt).toBeLessThan(400)
    proxy.pass()
    await waitUntil(async () => connection.run(500, async (client) => client.ping()), {
      what: 'the next command',
    })
  })

  test('S11 N07 is not queued while there is no connection: 1 000 fail in time, and none runs later', async () => {
    const { server } = await start()
    const connection = connectionTo(server)
    await connection.run(1_000, async (client) => client.ping())
    await server.kill9()
    const outcomes = await Promise.allSettled(
      Array.from({ length: 1_000 }, async () =>
        connection.run(150, async (client) => client.incr('executed')),
      ),
    )
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
    await server.restart()
    await waitUntil(async () => connection.run(500, async (client) => client.ping()), {
      what: 'the connection',
    })
    expect(await server.client().get('executed')).toBeNull()
  })

  test('of a busy server waits its turn, and does not take the connection down', async () => {
    const { proxy } = await startBehindProxy()
    const connection = connectionTo(proxy)
    await connection.run(1_000, async (client) => client.ping())
    // Others are answered all the time, though each of them late.
    const others: Promise<unknown>[] = []
    const timer = setInterval(() => {
      const other = connection.runPatiently(2_000, async (client) => client.ping())
      others.push(other.catch(String))
    }, 10)
    closing({ close: () => clearInterval(timer) })
    for (const delayMs of [300, 550, 800]) {
      proxy.delay(delayMs, 'toClient')
      const startedAt = performance.now()
      await connection.runPatiently(500, async (client) => client.ping())
      expect(performance.now() - startedAt).toBeGreaterThan(delayMs - 1)
    }
    clearInterval(timer)
    expect(new Set(await Promise.all(others))).toEqual(new Set(['PONG']))
    expect(connection.connectionNumber).toBe(1)
  })

  test('N09 that was answered during a stall of the event loop was answered', async () => {
    const { server } = await start()
    const connection = connectionTo(server)
    await connection.run(1_000, async (client) => client.ping())
    const answer = connection.run(150, async (client) => client.ping())
    setImmediate(() => {
      const untilMs = performance.now() + 400
      while (performance.now() < untilMs);
    })
    await expect(answer).resolves.toBe('PONG')
    expect(connection.connectionNumber).toBe(1)
  })

  test('of a server that hangs takes the connection down, and the next one finds the way', async () => {
    const { server } = await start()
    const connection = connectionTo(server)
    await connection.run(1_000, async (client) => client.ping())
    server.pause()
    await expect(connection.run(150, async (client) => client.ping())).rejects.toThrow()
    server.resume()
    await waitUntil(async () => connection.run(500, async (client) => client.ping()), {
      what: 'the next command',
    })
    expect(connection.connectionNumber).toBe(2)
  })

  test('fails at once on a closed connection', async () => {
    const { server } = await start()
    const connection = connectionTo(server)
    await connection.close()
    await expect(connection.run(1_000, async (client) => client.ping())).rejects.toThrow(/closed/)
  })
})

describe('our connections', () => {
  test('S12 are our own: the client that was handed in is never connected', async () => {
    const { server } = await start()
    const client = template(server)
    const revocations = closing(redisRevocations(client, { issuer }))
    await revocations.ready()
    await revocations.kickOut({ subject: 'a' })
    expect(client.status).toBe('wait')
    expect(client.listenerCount('error')).toBe(1)
  })

  test.each([
    ['a commandTimeout that a blocking read outlasts', { commandTimeout: 40 }],
    ['a socketTimeout that a blocking read outlasts', { socketTimeout: 40 }],
    ['a blockingTimeout, which answers with nothing', { blockingTimeout: 20 }],
    ['auto-pipelining', { enableAutoPipelining: true }],
    ['numbers as strings', { stringNumbers: true }],
    ['no ready check', { enableReadyCheck: false }],
    ['a key prefix', { keyPrefix: 'app:' }],
    ['resending', { autoResendUnfulfilledCommands: true, maxRetriesPerRequest: null }],
    ['reconnecting on errors', { reconnectOnError: () => 2 as const }],
    ['a retry strategy that gives up', { retryStrategy: () => null }],
    ['other replies', { replyMapping: 'resp3' }],
  ])('S10 S11 S12 work for a user whose client has %s', async (_case, options) => {
    const { server, admin } = await start()
    const keyPrefix = 'keyPrefix' in options ? options.keyPrefix : ''
    const client = template(server, options)
    await beginSettledLog(admin, { prefix: `${keyPrefix}own`, partitions: 1, keyPrefix })
    const store = closing(redisStore(client, { prefix: `${keyPrefix}own` }))
    const revocations = closing(
      redisRevocations(client, { issuer, prefix: `${keyPrefix}own`, maxStalenessMs: 1_000 }),
    )
    await revocations.ready()
    const { sessionsEnded } = await store.revocations(issuer).kickOut({ subject: 'u1' })
    expect(sessionsEnded).toBe(0)
    await waitUntil(() => 'revoked' in revocations.check(claimsOf({ sub: 'u1' })), { what: 'it' })
    expect(await revocations.checkNow(claimsOf({ sub: 'u1' }))).toMatchObject({ revoked: true })
    await untilProvedAgain({ revocations } as never)
    expect(revocations.status().state).toBe('live')
  })

  test('D24 are the same with ioredis 5', async () => {
    const { server } = await start()
    const client = new Redis5({ host: server.host, port: server.port, lazyConnect: true })
    const revocations = closing(redisRevocations(client as unknown as Redis, { issuer }))
    await revocations.ready()
    expect(await revocations.kickOut({ subject: 'u1' })).toMatchObject({ servers: 1, confirmed: 1 })
  })

  test('are as many as there are partitions, and one for commands; none is left after close', async () => {
    const { server, admin } = await start()
    const count = async () =>
      ((await admin.call('CLIENT', 'LIST')) as string).trim().split('\n').length
    const node = await startReadyNode(servers, server, { partitions: 4, prefix: 'four' })
    await node.kickOut('a')
    expect(await count()).toBe(1 + 4 + 1)
    await node.revocations.close()
    await node.revocations.close()
    await waitUntil(async () => (await count()) === 1, { what: 'all to be closed' })
    expect(await admin.hlen('{four:0}:nodes')).toBe(0)
  })

  test('close while Redis hangs is over soon', async () => {
    const { server } = await start()
    const node = await startReadyNode(servers, server)
    server.pause()
    const startedAt = performance.now()
    await node.revocations.close()
    expect(performance.now() - startedAt).toBeLessThan(1_000)
    server.resume()
  })
})

describe('errors', () => {
  test('carry no arguments of commands, which hold ids and would end up in logs', async () => {
    const { server, admin } = await start()
    const canary = 'canary-7f3a'
    const node = await startReadyNode(servers, server)
    const store = closing(redisStore(template(server)))
    await store.find('0-warm')
    await admin.config('SET', 'maxmemory', '1mb')
    const errors = [
      await failureOf(async () => node.kickOut(canary)),
      await failureOf(async () =>
        store.start({
          ...{ sessionId: `0-${canary}`, issuer, subject: canary, clientId: canary },
          ...{ scopes: [canary], device: { name: canary }, authentication: {} },
          ...{
            idleTtlMs: 1,
            absoluteTtlMs: 1,
            maxPerSubject: undefined,
            whenFull: 'refuse' as const,
          },
        }),
      ),
    ]
    await admin.config('SET', 'maxmemory', '0')
    server.pause()
    errors.push(await failureOf(async () => node.kickOut(canary)))
    errors.push(await failureOf(async () => node.revocations.checkNow(claimsOf({ sub: canary }))))
    server.resume()
    for (const error of errors) {
      expect(error).toMatchObject({ status: 503 })
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(canary)
      expect(error).not.toHaveProperty('command')
    }
  })

  test('of Redis are cut down to what says what is wrong', () => {
    expect(
      describeFailure(new Error("ERR unknown command 'EVALSHA', with args beginning with: 'u1'")),
    ).toBe("ERR unknown command 'EVALSHA'")
    expect(describeFailure(new Error('KICKOUTPARTITIONS 16 script: abc'))).toMatch(
      /holds data of 16 partitions: set "partitions"/,
    )
    expect(describeFailure(new Error(`${'x'.repeat(500)}\nsecond line`))).toHaveLength(160)
    expect(describeFailure('thrown text')).toBe('unknown')
    expect(toUnavailable('revocations', 'It failed', new Error('why'))).toMatchObject({
      message: 'It failed: why',
      status: 503,
    })
  })

  test('of a password that is wrong say so, and not the password', async () => {
    const { server, admin } = await start()
    await admin.config('SET', 'requirepass', 'the right one')
    const client = template(server, { password: 'canary-secret' })
    const revocations = closing(redisRevocations(client, { issuer }))
    const error = await failureOf(async () => revocations.kickOut({ subject: 'a' }))
    expect(error.message).toMatch(/WRONGPASS|NOAUTH|invalid password/i)
    expect(error.message).not.toContain('canary-secret')
  })
})

test('a reconnect storm leaves nothing behind: 30 resets, no listener and no socket more', async () => {
  const { server } = await start()
  const proxy = closing(await startProxy({ upstream: server }))
  const node = await startReadyNode(servers, proxy)
  await node.kickOut('first')
  const before = proxy.connections()
  for (let turn = 0; turn < 30; turn++) {
    proxy.reset()
    await node.kickOut(`u${turn}`).catch(() => undefined)
  }
  await untilProvedAgain(node)
  await waitUntil(() => proxy.connections() <= before, { what: 'as many sockets as before' })
})
