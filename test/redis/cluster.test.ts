import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Cluster } from 'ioredis'
import { Keys } from '../../src/redis/keys.ts'
import type { AuditedRevocations } from '../../src/revocation/revocations.ts'
import type { SessionStore } from '../../src/issuer/sessions/session-store.ts'
import { isUnavailableError } from '../../src/errors.ts'
import { redisRevocations, redisStore } from '../../src/redis/index.ts'
import { hostileIds } from '../contracts/passing-time.ts'
import { type ClusterDeployment, startCluster } from '../support/redis-cluster.ts'
import { waitUntil } from '../support/wait.ts'
import { claimsOf, issuer } from './support/deployment.ts'

/* I01: users with ids such as `}x` could not be kicked out on a Cluster, where keys of one user lay in two slots. */

const partitions = 16
let cluster: ClusterDeployment
let template: Cluster
let store: SessionStore
let writer: AuditedRevocations
let reader: AuditedRevocations

beforeAll(async () => {
  cluster = await startCluster({ replicasPerMaster: 1, nodeTimeoutMs: 1_000 })
  template = cluster.client({ lazyConnect: true })
  store = redisStore(template, { partitions })
  writer = store.revocations(issuer)
  reader = redisRevocations(template, {
    partitions,
    issuer,
    maxStalenessMs: 1_000,
    whenStale: 'reject',
  })
  await Promise.all([writer.ready(), reader.ready()])
}, 60_000)

afterAll(async () => {
  await Promise.all([reader.close(), store.close()])
  await cluster.stop()
})

async function startSession(subject: string): Promise<string> {
  const sessionId = `${store.partitionOf(issuer, subject)}-${Buffer.from(subject).toString('hex').padEnd(22, '0').slice(0, 22)}`
  const started = await store.start({
    ...{ sessionId, issuer, subject, clientId: 'web', scopes: [], device: undefined },
    ...{ authentication: {}, idleTtlMs: 600_000, absoluteTtlMs: 600_000 },
    ...{ maxPerSubject: undefined, whenFull: 'refuse' as const },
  })
  expect(started.outcome).toBe('started')
  return sessionId
}

test('the partitions lie on every master', async () => {
  const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions } as never)
  const masters = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) =>
      cluster.findMaster(keys.meta(partition)),
    ),
  )
  expect(new Set(masters).size).toBe(3)
})

test('I01 every user with a hostile id has sessions and can be kicked out', async () => {
  for (const subject of hostileIds) {
    const sessionId = await startSession(subject)
    expect(await store.find(sessionId)).toMatchObject({ subject })
    expect(reader.check(claimsOf({ sub: subject }))).toEqual({ revoked: false })
    const result = await writer.kickOut({ subject })
    expect(result).toMatchObject({ servers: 2, confirmed: 2, sessionsEnded: 1 })
    expect(reader.check(claimsOf({ sub: subject }))).toMatchObject({ revoked: true })
    expect(await reader.checkNow(claimsOf({ sub: subject }))).toMatchObject({ revoked: true })
    expect(await store.find(sessionId)).toBeUndefined()
  }
}, 30_000)

test.each([
  ['session', { session: '7-AAAAAAAAAAAAAAAAAAAAAA' }, { sid: '7-AAAAAAAAAAAAAAAAAAAAAA' }],
  ['session of others', { session: 'a-foreign-sid' }, { sid: 'a-foreign-sid' }],
  ['token', { token: { jti: '9-AAAAAAAAAAAAAAAAAAAAAA' } }, { jti: '9-AAAAAAAAAAAAAAAAAAAAAA' }],
  ['token of others', { token: { jti: 'foreign', subject: 'u' } }, { jti: 'foreign', sub: 'u' }],
  ['client', { client: 'leaked' }, { client_id: 'leaked', sub: 'anybody' }],
  [
    'everyone',
    { everyone: true, issuer: 'https://other.example' },
    { iss: 'https://other.example' },
  ],
] as const)(
  'a kick-out of a %s reaches every server and every look-up',
  async (_level, target, claims) => {
    expect(await writer.kickOut(target)).toMatchObject({ servers: 2, confirmed: 2 })
    expect(reader.check(claimsOf(claims))).toMatchObject({ revoked: true })
    expect(await reader.checkNow(claimsOf(claims))).toMatchObject({ revoked: true })
  },
)

test('a client that is kicked out loses its sessions in every partition', async () => {
  const sessions = await Promise.all(
    Array.from({ length: 32 }, async (_, index) => startSession(`spread ${index}`)),
  )
  await writer.kickOut({ client: 'web' })
  for (const sessionId of sessions) expect(await store.find(sessionId)).toBeUndefined()
})

test('A2 a user without CLUSTER INFO is enough, and one without CLUSTER SLOTS is told which command it lacks', async () => {
  for (const node of cluster.nodes) {
    const admin = node.client()
    await admin.acl('SETUSER', 'few', 'on', '>secret', '~*', '&*', '+@all', '-cluster|info')
    await admin.acl('SETUSER', 'fewer', 'on', '>secret', '~*', '&*', '+@all', '-cluster')
    admin.disconnect()
  }
  const as = (username: string) =>
    redisRevocations(
      cluster.client({ lazyConnect: true, redisOptions: { username, password: 'secret' } }),
      { partitions, issuer, mode: 'lookup' },
    )
  const [few, fewer] = [as('few'), as('fewer')]
  try {
    await few.ready()
    await expect(fewer.ready()).rejects.toThrow(/NOPERM.*cluster\|slots/)
  } finally {
    await Promise.all([few.close(), fewer.close()])
  }
})

test('F18 a master that dies: others go on, no one is let in, and live again within 3 s of the promotion', async () => {
  const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions } as never)
  const subjects = Array.from({ length: 40 }, (_, index) => `user ${index}`)
  for (const subject of subjects.slice(0, 20)) await writer.kickOut({ subject })
  const masters = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) =>
      cluster.findMaster(keys.meta(partition)),
    ),
  )
  const lost = masters.findIndex((master) => master !== masters[0])
  const killed = await cluster.killMaster(keys.meta(lost))
  await waitUntil(() => reader.status().state === 'stale', { what: 'the reader to notice' })
  const served: string[] = []
  for (const sub of subjects) {
    const isKickedOut = subjects.indexOf(sub) < 20
    const isAway = masters[store.partitionOf(issuer, sub)] === killed
    const check = async () => reader.check(claimsOf({ sub }))
    if (isKickedOut) expect(await check()).toMatchObject({ revoked: true })
    else if (isAway)
      await waitUntil(async () => check().then(() => false, isUnavailableError), { what: sub })
    else {
      expect(await check()).toEqual({ revoked: false })
      served.push(sub)
    }
  }
  // Freshness is judged for each token: by the partition of its user and by partition 0.
  expect(served.length).toBeGreaterThan(3)
  await cluster.waitUntilOk()
  await waitUntil(() => reader.status().state === 'live', {
    what: 'the reader to be live',
    timeoutMs: 3_000,
  })
  for (const subject of subjects.slice(20)) {
    await waitUntil(async () => writer.kickOut({ subject }, { confirmTimeoutMs: 0 }), {
      what: `${subject} to be kicked out`,
      timeoutMs: 3_000,
    })
  }
  for (const sub of subjects) {
    await waitUntil(async () => (await reader.check(claimsOf({ sub }))).revoked, { what: sub })
  }
  await killed.restart()
}, 60_000)

test('A3 a slot that is moving: look-ups find every kick-out, no kick-out is lost, no server believes an empty log', async () => {
  const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions } as never)
  await writer.kickOut({ client: 'leaked while moving' })
  const out = claimsOf({ sub: 'somebody', client_id: 'leaked while moving' })
  const source = await cluster.findMaster(keys.meta(0))
  const masters = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) =>
      cluster.findMaster(keys.meta(partition)),
    ),
  )
  const target = masters.find((node) => node !== source)
  if (!target) throw new Error('There is no other master')
  const [from, to] = [source.client(), target.client()]
  const slot = await from.cluster('KEYSLOT', keys.meta(0))
  const [fromId, toId] = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')]
  const setSlot = async (node: typeof from, ...args: unknown[]): Promise<unknown> =>
    node.call('CLUSTER', 'SETSLOT', String(slot), ...args.map(String))
  const move = async (names: readonly string[]): Promise<unknown> =>
    from.call('MIGRATE', '127.0.0.1', String(target.port), '', '0', '5000', 'KEYS', ...names)
  const inSlot = async (): Promise<string[]> => from.cluster('GETKEYSINSLOT', slot, 100_000)

  await setSlot(to, 'IMPORTING', fromId)
  await setSlot(from, 'MIGRATING', toId)
  // All but the reports of the servers have moved.
  await move((await inSlot()).filter((name) => name !== keys.servers(0)))
  const booting = redisRevocations(template, { partitions, issuer, whenStale: 'lookup' })
  const looking = redisRevocations(template, { partitions, issuer, mode: 'lookup' })
  try {
    const isReady = booting.ready().then(
      () => true,
      () => false,
    )
    await looking.ready()
    for (const server of [reader, looking, booting]) {
      expect(await server.checkNow(out)).toMatchObject({ revoked: true, level: 'client' })
    }
    await expect(
      writer.kickOut({ client: 'kicked out while moving' }, { confirmTimeoutMs: 0 }),
    ).rejects.toMatchObject({ status: 503, message: expect.stringContaining('safe to repeat') })
    // Longer than a log has to be absent before it counts as one that was never opened.
    const state = async () => Promise.race([isReady, pause(1_500).then(() => false)])
    expect(await state()).toBe(false)
    expect(await booting.check(out)).toMatchObject({ revoked: true })

    await move(await inSlot())
    for (const node of [to, from]) await setSlot(node, 'NODE', toId)
    for (const node of cluster.nodes.filter(({ running }) => running)) {
      const admin = node.client()
      await setSlot(admin, 'NODE', toId).catch(() => undefined)
      admin.disconnect()
    }
    expect(await isReady).toBe(true)
    await waitUntil(async () => writer.kickOut({ client: 'kicked out while moving' }), {
      what: 'the kick-out to be accepted where the slot is now',
      timeoutMs: 5_000,
    })
    const later = claimsOf({ sub: 'somebody', client_id: 'kicked out while moving' })
    for (const server of [reader, booting]) {
      await waitUntil(async () => (await server.check(later)).revoked, { what: 'the kick-out' })
    }
  } finally {
    await Promise.all([booting.close(), looking.close()])
    from.disconnect()
    to.disconnect()
  }
}, 60_000)
