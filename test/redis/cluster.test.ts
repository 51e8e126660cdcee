import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Cluster } from 'ioredis'
import { Keys } from '../../src/redis/keys.ts'
import type { AuditedRevocations } from '../../src/revocation/revocations.ts'
import type { SessionStore } from '../../src/issuer/sessions/session-store.ts'
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

test('F18 a master that dies: others go on, nobody is let in, and live again within 3 s of the promotion', async () => {
  const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions } as never)
  const subjects = Array.from({ length: 40 }, (_, index) => `user ${index}`)
  for (const subject of subjects.slice(0, 20)) await writer.kickOut({ subject })
  const killed = await cluster.killMaster(keys.meta(5))
  await waitUntil(() => reader.status().state === 'stale', { what: 'the reader to notice' })
  for (const sub of subjects) {
    const isKickedOut = subjects.indexOf(sub) < 20
    const check = async () => reader.check(claimsOf({ sub }))
    if (isKickedOut) expect(await check()).toMatchObject({ revoked: true })
    else await expect(check()).rejects.toMatchObject({ status: 503 })
  }
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
