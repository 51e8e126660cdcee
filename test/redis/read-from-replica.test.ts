import { describe, expect, test } from '@jest/globals'
import { redisRevocations } from '../../src/redis/index.ts'
import { Keys } from '../../src/redis/keys.ts'
import { waitUntilInSync } from '../support/ask-redis.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { waitUntil } from '../support/wait.ts'
import { claimsOf, issuer, useCleanup } from './support/deployment.ts'
import { useServers } from './support/servers.ts'
import { expectUnavailable, startNode, startReadyNode, untilState } from './support/standing.ts'

/* The stream is followed on a replica of Redis; what the primary's head names has to have come from there. */

const servers = useServers()
const { start, closing } = servers
const cleanup = useCleanup()
const fromReplica = { readFrom: 'replica', whenStale: 'reject' } as const

/** How many connections of a server wait for entries. */
async function readers(server: RedisServer): Promise<number> {
  const admin = server.client()
  try {
    return String(await admin.client('LIST')).match(/ cmd=xread /g)?.length ?? 0
  } finally {
    admin.disconnect()
  }
}

async function startWithReplica() {
  const { server, admin } = await start()
  const link = closing(await startProxy({ upstream: server }))
  const args = ['--replicaof', '127.0.0.1', String(link.port), '--replica-read-only', 'no']
  const replica = closing(await startRedis({ args: [...args, '--replica-announce-ip', '127.0.0.1'] })) // prettier-ignore
  await waitUntilInSync(replica)
  // The primary names it with its first acknowledgement, which may be a second later.
  await waitUntil(async () => (await admin.info('replication')).includes('state=online'), {
    what: 'the primary to name the replica',
  })
  return { server, admin, replica, link }
}

test('entries come from the replica, kick-outs are in force and confirmed', async () => {
  const { server, replica } = await startWithReplica()
  const node = await startReadyNode(servers, server, fromReplica)
  const writer = startNode(servers, server)
  expect(await writer.revocations.kickOut({ subject: 'u1' })).toMatchObject({
    servers: 1,
    confirmed: 1,
  })
  expect(await node.ask('u1')).toMatchObject({ status: 401 })
  expect(await node.ask('u2')).toMatchObject({ status: 200 })
  await waitUntil(async () => (await readers(replica)) === 1, { what: 'a reader on the replica' })
  // The writer follows the log on the primary, so that it can write its kick-out again.
  expect(await readers(server)).toBeLessThanOrEqual(1)
})

test('a replica that lags proves nothing: no token is accepted by what it does not have yet', async () => {
  const { server, link } = await startWithReplica()
  const node = await startReadyNode(servers, server, fromReplica)
  const writer = await startReadyNode(servers, server)
  link.blackhole()
  const kickedOutAt = performance.now()
  await writer.kickOut('u1')
  await untilState(node, 'stale')
  // Its proof ends with the moment of the kick-out, not with what the replica answers.
  expect(performance.now() - kickedOutAt).toBeLessThan(1_000 + 500)
  expectUnavailable(await node.ask('u1'))
  expectUnavailable(await node.ask('u2'))
  link.pass()
  link.reset()
  await untilState(node, 'live', 20_000)
  expect(await node.ask('u1')).toMatchObject({ status: 401 })
  expect(node.events).not.toContainEqual(expect.objectContaining({ type: 'revocations.gap' }))
}, 40_000)

test('a server that boots from a replica that lags is not ready before it has caught up', async () => {
  const { server, link } = await startWithReplica()
  const writer = await startReadyNode(servers, server)
  link.blackhole()
  await writer.kickOut('u1')
  const node = startNode(servers, server, fromReplica)
  const isReady = node.revocations.ready()
  expectUnavailable(await node.ask('u1'), 600)
  link.pass()
  link.reset()
  await isReady
  expect(await node.ask('u1')).toMatchObject({ status: 401 })
}, 40_000)

test('a replica that was emptied makes no token valid, and begins no new epoch', async () => {
  const { server, admin, replica } = await startWithReplica()
  const writer = await startReadyNode(servers, server)
  await writer.kickOut('u1')
  const epoch = await admin.hget('{kickout:0}:meta', 'epoch')
  const known = await startReadyNode(servers, server, fromReplica)
  const direct = replica.client()
  await direct.flushall()
  direct.disconnect()
  const booting = startNode(servers, server, fromReplica)
  expectUnavailable(await booting.ask('u1'), 600)
  expect(await known.ask('u1')).toMatchObject({ status: 401 })
  await writer.kickOut('u2')
  await waitUntil(async () => (await known.ask('u3')).status === 503 || (await known.ask('u2')).status === 401, { what: 'the second kick-out, or doubt' }) // prettier-ignore
  expect(await admin.hget('{kickout:0}:meta', 'epoch')).toBe(epoch)
})

test('a replica that was promoted is left for one that follows the primary', async () => {
  const { server, replica } = await startWithReplica()
  const node = await startReadyNode(servers, server, fromReplica)
  const writer = await startReadyNode(servers, server)
  const direct = replica.client()
  await direct.call('REPLICAOF', 'NO', 'ONE')
  await writer.kickOut('u1')
  await waitUntil(async () => (await node.ask('u1')).status !== 200, { what: 'doubt', timeoutMs: 1_500 }) // prettier-ignore
  // There is none left, so that the primary is followed.
  await untilState(node, 'live', 10_000)
  expect(await node.ask('u1')).toMatchObject({ status: 401 })
  expect(await readers(replica)).toBe(0)
  direct.disconnect()
}, 30_000)

test('without a replica the primary is followed, until there is one', async () => {
  const { server } = await start()
  const node = await startReadyNode(servers, server, fromReplica)
  await node.kickOut('u1')
  expect(await node.ask('u1')).toMatchObject({ status: 401 })
  await waitUntil(async () => (await readers(server)) === 1, { what: 'a reader on the primary' })
  const args = ['--replicaof', server.host, String(server.port)]
  const replica = closing(await startRedis({ args }))
  await waitUntil(async () => (await readers(replica)) === 1, {
    what: 'the reader to go to the replica',
    timeoutMs: 10_000,
  })
  await node.kickOut('u2')
  await waitUntil(async () => (await node.ask('u2')).status === 401, { what: 'the kick-out' })
  expect(await node.ask('u3')).toMatchObject({ status: 200 })
}, 30_000)

describe('who names the replicas', () => {
  test('Sentinel: entries come from the replica, and after a failover from what is left', async () => {
    const deployment = cleanup.closing(await startSentinel())
    const template = deployment.client({ lazyConnect: true })
    const options = { issuer, maxStalenessMs: 1_000, ...fromReplica }
    const node = cleanup.closing(redisRevocations(template, options))
    await node.ready()
    const writer = cleanup.closing(redisRevocations(template, { issuer, minReplicas: 1 }))
    await writer.kickOut({ subject: 'u1' })
    const [replica] = deployment.replicas
    if (!replica) throw new Error('There is no replica')
    await waitUntil(async () => (await readers(replica)) === 1, { what: 'a reader on the replica' })
    expect(node.check(claimsOf({ sub: 'u1' }))).toMatchObject({ revoked: true })
    await deployment.primary.kill9()
    await deployment.waitForPromotion()
    await waitUntil(() => node.status().state === 'live', { what: 'live', timeoutMs: 10_000 })
    expect(node.check(claimsOf({ sub: 'u1' }))).toMatchObject({ revoked: true })
    expect(node.check(claimsOf({ sub: 'u2' }))).toEqual({ revoked: false })
  }, 60_000)

  test('Cluster: each partition is followed on a replica of its own primary', async () => {
    const partitions = 6
    const cluster = cleanup.closing(await startCluster({ replicasPerMaster: 1 }))
    const template = cluster.client({ lazyConnect: true })
    const options = { issuer, partitions, maxStalenessMs: 2_000 }
    const node = cleanup.closing(redisRevocations(template, { ...options, ...fromReplica }))
    const writer = cleanup.closing(redisRevocations(template, options))
    await node.ready()
    for (let index = 0; index < 12; index++) {
      expect(await writer.kickOut({ subject: `u${index}` })).toMatchObject({ confirmed: 1 })
      expect(node.check(claimsOf({ sub: `u${index}` }))).toMatchObject({ revoked: true })
    }
    const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions } as never)
    const primary = await cluster.findMaster(keys.meta(0))
    const onReplicas = await Promise.all(cluster.nodes.slice(3).map(readers))
    expect(onReplicas.reduce((sum, count) => sum + count, 0)).toBe(partitions)
    expect(await readers(primary)).toBeLessThanOrEqual(partitions)
  }, 60_000)
})
