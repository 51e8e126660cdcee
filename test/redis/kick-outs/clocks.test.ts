import { expect, test } from '@jest/globals'
import { createIssuer, generateSigningKey } from '../../../src/issuer/index.ts'
import { redisStore } from '../../../src/redis/index.ts'
import { Keys } from '../../../src/redis/keys.ts'
import { claimsOf, issuer } from '../support/deployment.ts'
import { useServers } from '../support/servers.ts'
import { startNode, startReadyNode } from '../support/standing.ts'

/*
 * 47: a failover to a primary whose clock is behind. What the earlier primary wrote lies in the future of the later one; here
 * the values are dated ahead instead of stopping clocks.
 */

const servers = useServers()
const { start, closing, template } = servers
const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions: 1 } as never)
const minute = 60_000

test('47 a mark of a client kick-out is not lowered by a primary whose clock is behind', async () => {
  const { server, admin } = await start()
  const writer = startNode(servers, server)
  await writer.revocations.kickOut({ client: 'leaked' }, { confirmTimeoutMs: 0 })
  const field = keys.markField('client', issuer, 'leaked')
  const ahead = String(Date.now() + minute)
  await admin.hset(keys.marks(0), field, ahead)
  await writer.revocations.kickOut({ client: 'leaked' }, { confirmTimeoutMs: 0 })
  expect(await admin.hget(keys.marks(0), field)).toBe(ahead)
})

test('47 sessions that a primary with a clock ahead has begun end with their client', async () => {
  const { server, admin } = await start()
  const store = redisStore(template(server))
  const login = closing(
    createIssuer({
      issuer,
      audience: 'api',
      signingKeys: [await generateSigningKey('ES256')],
      refreshTokenSecret: ['s'.repeat(32)],
      store,
    }),
  )
  const { session_id: sid } = await login.startSession({ subject: 'u1', clientId: 'web' })
  const ahead = String(Date.now() + minute)
  await admin.hset(keys.session(sid), { started_at: ahead })
  await admin.hset(keys.meta(0), { latest: ahead })
  await login.kickOut({ client: 'web' })
  expect(await store.find(sid)).toBeUndefined()
})

test('47 A5 a mark from the future does not keep look-ups at 503 for the length of the step', async () => {
  const { server, admin } = await start()
  await admin.hset(keys.meta(0), { told_at: String(Date.now() + minute) })
  const looking = startNode(servers, server, { mode: 'lookup' })
  const startedAt = performance.now()
  await looking.revocations.ready()
  expect(await looking.ask('u1')).toMatchObject({ status: 200 })
  expect(performance.now() - startedAt).toBeLessThan(2_000)
  // The next write brings the mark down to now.
  await startNode(servers, server).kickOut('u2')
  expect(Number(await admin.hget(keys.meta(0), 'told_at'))).toBeLessThanOrEqual(Date.now())
})

test('47 A5 a report from the future does not keep a dead server alive', async () => {
  const { server, admin } = await start()
  await startReadyNode(servers, server)
  const report = `${Date.now() + 600_000}:live:0:0:1000:a-minute-ago`
  await admin.hset(keys.servers(0), 'dead', report)
  const writer = startNode(servers, server)
  await writer.revocations.kickOut({ subject: 'u1' }, { confirmTimeoutMs: 50 })
  const said = Number((await admin.hget(keys.servers(0), 'dead'))?.split(':')[0])
  expect(said).toBeLessThanOrEqual(Date.now())
})

test('47 a kick-out dated by a primary that is behind still ends tokens of a primary that was ahead', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(servers, server)
  const ahead = Date.now() + minute
  await admin.hset(keys.meta(0), { latest: String(ahead) })
  const { at } = await node.revocations.kickOut({ client: 'web' })
  expect(at).toBeGreaterThanOrEqual(ahead)
  const iat = Math.floor(ahead / 1000)
  const token = claimsOf({ sub: 'u1', client_id: 'web', iat, exp: iat + 600 })
  expect(node.revocations.check(token)).toMatchObject({ revoked: true, level: 'client' })
})
