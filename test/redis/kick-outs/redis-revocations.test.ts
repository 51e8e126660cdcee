import { describe, expect, test } from '@jest/globals'
import { createIssuer, generateSigningKey } from '../../../src/issuer/index.ts'
import { redisRevocations, redisStore } from '../../../src/redis/index.ts'
import { redisRevocationsFromUrl } from '../../../src/redis/client/from-url.ts'
import { waitUntil } from '../../support/wait.ts'
import { beginSettledLog, claimsOf, createLog, failureOf, issuer } from '../support/deployment.ts'
import { useServers } from '../support/servers.ts'
import {
  expectUnavailable,
  startNode,
  startReadyNode,
  untilProvedAgain,
  untilState,
} from '../support/standing.ts'

const servers = useServers()
const { start, startBehindProxy, closing, template } = servers

describe('whenStale', () => {
  test.each([
    ['lookup', 200],
    ['reject', 503],
    ['accept', 200],
  ] as const)(
    '%s: a copy that is too old answers %i about an unknown user',
    async (whenStale, status) => {
      const { server, admin } = await start()
      const node = await startReadyNode(servers, server, { whenStale, maxStalenessMs: 300 })
      await node.kickOut('out')
      await admin.call('ACL', 'SETUSER', 'default', '-xread')
      await untilState(node, 'stale')
      if (whenStale === 'lookup') {
        await waitUntil(async () => (await node.ask('u1')).status === 200, { what: 'a connection' })
      }
      const standing = await node.ask('u1')
      expect(standing.status).toBe(status)
      if (status === 503) expectUnavailable(standing, 50)
      expect(await node.ask('out')).toMatchObject({ status: 401 })
    },
  )

  test('lookup: finds what the copy has not read yet', async () => {
    const { server, admin } = await start()
    const node = await startReadyNode(servers, server, { maxStalenessMs: 300 })
    const writer = startNode(servers, server)
    await node.revocations.checkNow(claimsOf({ sub: 'u1' }))
    // The reader may not read, look-ups may.
    await admin.call('ACL', 'SETUSER', 'default', '-xread')
    await untilState(node, 'stale')
    await writer.kickOut('u1')
    expect(await node.ask('u1')).toMatchObject({ status: 401 })
    expect(await node.ask('u2')).toMatchObject({ status: 200 })
    await admin.call('ACL', 'SETUSER', 'default', '+xread')
    await untilState(node, 'live')
  })

  test('accept: lets requests through, but for those who are known to be out', async () => {
    const { server } = await start()
    const node = await startReadyNode(servers, server, { whenStale: 'accept' })
    await node.kickOut('out')
    await server.kill9()
    await untilState(node, 'stale')
    expect(await node.ask('out')).toMatchObject({ status: 401 })
    expect(await node.ask('u1')).toMatchObject({ status: 200 })
  })

  test('accept: is no answer before the first load', async () => {
    const { server } = await start()
    await server.kill9()
    const node = startNode(servers, server, { whenStale: 'accept' })
    // A request that comes early waits for the copy for 250 ms.
    expectUnavailable(await node.ask('u1'), 500)
  })
})

describe('ready', () => {
  test('waits until the whole window is there, and not a moment less', async () => {
    const { server } = await start()
    const { log, close } = createLog(template(server), { issuer })
    const publish = async (id: string) =>
      log.publish(
        { issuer, level: 'subject', id },
        { reason: undefined, by: undefined, at: undefined, isAwaited: false },
      )
    for (let batch = 0; batch < 6; batch++) {
      await Promise.all(
        Array.from({ length: 500 }, async (_, index) => publish(`${batch} ${index}`)),
      )
    }
    const node = startNode(servers, server)
    // 49: a request that comes early is answered by the copy or by a look-up, and is no 503.
    expect(await node.ask('0 0')).toMatchObject({ status: 401 })
    await node.revocations.ready()
    expect(node.revocations.status()).toMatchObject({ state: 'live', entries: 3_000 })
    expect(await node.ask('0 0')).toMatchObject({ status: 401 })
    expect(await node.ask('5 499')).toMatchObject({ status: 401 })
    await close()
  })

  test('stays pending while Redis is away, and is rejected by close', async () => {
    const { server } = await start()
    await server.kill9()
    const node = startNode(servers, server)
    const ready = node.revocations.ready()
    const settled = await Promise.race([
      ready.then(() => 'settled'),
      untilFailures(1_000).then(() => 'pending'),
    ])
    expect(settled).toBe('pending')
    await node.revocations.close()
    await expect(ready).rejects.toMatchObject({ status: 503 })
  })

  test.each(['replica', 'lookup'] as const)(
    'is rejected when Redis holds another number of partitions (%s)',
    async (mode) => {
      const { server } = await start()
      const node = startNode(servers, server, { mode, partitions: 4 })
      const error = await failureOf(async () => node.revocations.ready())
      expect(error.message).toMatch(/holds data of 1 partitions: set "partitions" to that/)
      expectUnavailable(await node.ask('u1'))
      await expect(node.kickOut('u1')).rejects.toMatchObject({ status: 503 })
    },
  )

  test('of a new deployment comes within two seconds, in both modes', async () => {
    const { server } = await start()
    for (const mode of ['replica', 'lookup'] as const) {
      const node = startNode(servers, server, { mode, prefix: `new-${mode}`, partitions: 4 })
      const startedAt = performance.now()
      await node.revocations.ready()
      expect(performance.now() - startedAt).toBeLessThan(2_000)
      expect(await node.ask('u1')).toMatchObject({ status: 200 })
    }
  })

  async function untilFailures(ms: number): Promise<void> {
    const startedAt = performance.now()
    await waitUntil(() => performance.now() - startedAt > ms, { what: 'attempts' })
  }
})

describe('lookup mode', () => {
  test('asks for each token, keeps no copy, follows no stream', async () => {
    const { server, admin } = await start()
    const node = await startReadyNode(servers, server, { mode: 'lookup' })
    const writer = startNode(servers, server)
    expect(await node.ask('u1')).toMatchObject({ status: 200 })
    await writer.kickOut('u1')
    expect(await node.ask('u1')).toMatchObject({ status: 401 })
    expect(node.revocations.status()).toEqual({ state: 'live', stalenessMs: 0, entries: 0 })
    expect(await admin.hlen('{kickout:0}:nodes')).toBe(0)
    expect(await admin.info('commandstats')).not.toContain('xread')
  })

  test('has a budget: past it 503, in time', async () => {
    const { proxy } = await startBehindProxy()
    const node = await startReadyNode(servers, proxy, { mode: 'lookup', lookupTimeoutMs: 100 })
    expect(await node.ask('u1')).toMatchObject({ status: 200 })
    proxy.delay(400)
    expectUnavailable(await node.ask('u1'), 250)
    proxy.pass()
    await waitUntil(async () => (await node.ask('u1')).status === 200, { what: 'an answer' })
  })

  test('S14 a replica of Redis is no answer', async () => {
    const primary = await start()
    const replica = await start()
    const node = await startReadyNode(servers, replica.server, { mode: 'lookup' })
    expect(await node.ask('u1')).toMatchObject({ status: 200 })
    await replica.admin.replicaof(primary.server.host, primary.server.port)
    expectUnavailable(await node.ask('u1'))
    await expect(
      startNode(servers, replica.server, { mode: 'lookup' }).revocations.ready(),
    ).rejects.toThrow(/READONLY/)
  })

  test('does not take junk under a look-up key for "not revoked"', async () => {
    const { server, admin } = await start()
    const node = await startReadyNode(servers, server, { mode: 'lookup' })
    const { log, close } = createLog(template(server), { issuer })
    await admin.set(log.keys.deny('subject', issuer, 'u1'), 'junk')
    expectUnavailable(await node.ask('u1'))
    await close()
  })

  test('asks the one or two partitions that can know a token, in one round trip each', async () => {
    const { server, admin } = await start()
    await beginSettledLog(admin, { prefix: 'many', partitions: 16 })
    const node = await startReadyNode(servers, server, {
      mode: 'lookup',
      partitions: 16,
      prefix: 'many',
    })
    await node.ask('u1')
    await admin.config('RESETSTAT')
    for (let user = 0; user < 10; user++) await node.ask(`user ${user}`)
    const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1])
    expect(calls).toBeGreaterThan(10)
    expect(calls).toBeLessThanOrEqual(20)
  })
})

describe('status and events', () => {
  test('tell each change, from what to what, and why', async () => {
    const { server } = await start()
    const node = startNode(servers, server)
    expect(node.revocations.status()).toEqual({
      state: 'starting',
      stalenessMs: Number.POSITIVE_INFINITY,
      entries: 0,
    })
    await node.revocations.ready()
    await server.kill9()
    await untilState(node, 'stale')
    await server.restart()
    await untilState(node, 'live')
    await node.revocations.close()
    const changes = node.events.flatMap((event) =>
      event.type === 'revocations.state' ? [event] : [],
    )
    expect(changes.map(({ from, to }) => `${from} > ${to}`)).toEqual([
      'starting > live',
      'live > stale',
      'stale > live',
      'live > closed',
    ])
    for (const { at, stalenessMs } of changes) {
      expect(Math.abs(Date.now() - at)).toBeLessThan(60_000)
      expect(Number.isFinite(stalenessMs)).toBe(true)
    }
    expect(changes[1]?.message).toMatch(/ECONNREFUSED|closed/)
    expect(changes[1]?.stalenessMs).toBeGreaterThan(1_000)
  })

  test('tell of each kick-out how far it has come; a listener that throws changes nothing', async () => {
    const { server } = await start()
    const events: unknown[] = []
    const revocations = closing(
      redisRevocations(template(server), {
        issuer,
        onEvent: (event) => {
          events.push(event)
          throw new Error('of the listener')
        },
      }),
    )
    await startReadyNode(servers, server)
    const { id } = await revocations.kickOut({ subject: 'u1' })
    expect(events).toContainEqual(
      expect.objectContaining({
        ...{ type: 'kickout.published', id, level: 'subject', servers: 1, confirmed: 1 },
      }),
    )
    expect(JSON.stringify(events)).not.toContain('u1')
  })
})

describe('confirmation', () => {
  test('counts the live servers, and those that have it', async () => {
    const { server } = await start()
    const nodes = await Promise.all([1, 2, 3].map(async () => startReadyNode(servers, server)))
    const writer = startNode(servers, server)
    const results = await Promise.all(
      Array.from({ length: 50 }, async (_, index) =>
        writer.revocations.kickOut({ subject: `u${index}` }),
      ),
    )
    for (const { servers: live, confirmed, elapsedMs } of results) {
      expect({ live, confirmed }).toEqual({ live: 3, confirmed: 3 })
      expect(elapsedMs).toBeLessThan(1_000)
    }
    for (const node of nodes) expect(await node.ask('u49')).toMatchObject({ status: 401 })
  })

  test('does not wait longer than it is told for a server that is cut off', async () => {
    const { server, proxy } = await startBehindProxy()
    await startReadyNode(servers, server)
    await startReadyNode(servers, proxy)
    const writer = startNode(servers, server)
    await writer.kickOut('warm up')
    proxy.blackhole()
    const {
      servers: live,
      confirmed,
      elapsedMs,
    } = await writer.revocations.kickOut({ subject: 'u1' }, { confirmTimeoutMs: 200 })
    expect({ live, confirmed }).toEqual({ live: 2, confirmed: 1 })
    expect(elapsedMs).toBeGreaterThanOrEqual(199)
    expect(elapsedMs).toBeLessThan(700)
    proxy.pass()
  })

  test('a server with nothing new to say reads the head without writing, and reports every two seconds', async () => {
    const { server, admin } = await start()
    const node = await startReadyNode(servers, server, { maxStalenessMs: 5_000 })
    const calls = async (name: string): Promise<number> =>
      Number(
        new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(await admin.info('commandstats'))?.[1] ?? 0,
      )
    const [reads, writes] = [await calls('evalsha'), await calls('hset')]
    await waitUntil(async () => (await calls('evalsha')) >= reads + 6, {
      what: 'six rounds',
      timeoutMs: 5_000,
    })
    expect((await calls('hset')) - writes).toBeLessThanOrEqual(2)
    // A logout waits for no server, so none reports it.
    const before = await calls('hset')
    for (let count = 0; count < 20; count++) {
      const session = `session ${count}`
      await node.revocations.kickOut({ session }, { confirmTimeoutMs: 0 })
    }
    expect((await calls('hset')) - before).toBeLessThanOrEqual(25)
    expect(await node.revocations.kickOut({ session: 'session 3' })).toMatchObject({
      servers: 1,
      confirmed: 1,
    })
  })

  test('forgets servers that are gone, and those that said goodbye at once', async () => {
    const { server } = await start()
    const leaving = await startReadyNode(servers, server)
    const writer = await startReadyNode(servers, server)
    expect(await writer.revocations.listServers()).toHaveLength(2)
    await leaving.revocations.close()
    expect(await writer.revocations.listServers()).toHaveLength(1)
    expect(await writer.revocations.kickOut({ subject: 'a' })).toMatchObject({ servers: 1 })
  })
})

describe('minReplicas', () => {
  test('a kick-out that too few replicas have is not confirmed, and safe to repeat', async () => {
    const primary = await start()
    const replica = await start()
    const node = await startReadyNode(servers, primary.server, { minReplicas: 1 })
    await expect(node.kickOut('u1')).rejects.toMatchObject({
      status: 503,
      message: expect.stringMatching(/safe to repeat: 0 of 1 Redis replicas/),
    })
    await replica.admin.replicaof(primary.server.host, primary.server.port)
    await waitUntil(async () => node.kickOut('u1'), { what: 'a replica', timeoutMs: 10_000 })
    expect(await node.ask('u1')).toMatchObject({ status: 401 })
  })
})

describe('from a URL', () => {
  test('makes a client of its own', async () => {
    const { server } = await start()
    const revocations = closing(await redisRevocationsFromUrl(server.url, { issuer }))
    await revocations.ready()
    await revocations.kickOut({ subject: 'u1' })
    expect(revocations.check(claimsOf({ sub: 'u1' }))).toMatchObject({ revoked: true })
  })

  test('I09 never tells the password that the URL holds', async () => {
    const { server, admin } = await start()
    await admin.config('SET', 'requirepass', 'right')
    const url = `redis://:canary-secret@${server.host}:${server.port}`
    const revocations = closing(await redisRevocationsFromUrl(url, { issuer }))
    const error = await failureOf(async () => revocations.kickOut({ subject: 'a' }))
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain('canary')
  })
})

test('a store and its revocations are one: reuse is in force here before the answer', async () => {
  const { server } = await start()
  const store = redisStore(template(server))
  const own = createIssuer({
    ...{ issuer, audience: 'a', refreshTokenSecret: 's'.repeat(32), store },
    signingKeys: [await generateSigningKey()],
  })
  closing(own)
  await own.revocations.ready()
  const { session_id: sessionId } = await own.startSession({ subject: 'u1' })
  const rotate = async (counter: number) =>
    store.rotate({
      ...{ sessionId, counter, clientId: undefined, scopes: undefined },
      ...{ graceMs: 10_000, lostAnswerMs: 0, idleTtlMs: 600_000 },
    })
  await rotate(0)
  await rotate(1)
  expect(await rotate(0)).toMatchObject({ outcome: 'reused' })
  expect(own.revocations.check(claimsOf({ sid: sessionId }))).toMatchObject({ revoked: true })
  await untilProvedAgain({ revocations: own.revocations } as never)
})
