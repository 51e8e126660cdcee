import { expect, test } from '@jest/globals'
import { isUnavailableError } from '../../../src/errors.ts'
import { redisRevocations, redisStore } from '../../../src/redis/index.ts'
import { startRedis } from '../../support/redis-server.ts'
import { waitUntilInSync } from '../../support/ask-redis.ts'
import { waitUntil } from '../../support/wait.ts'
import { issuer } from '../support/deployment.ts'
import { useServers } from '../support/servers.ts'

/* U11: what ends a session is a kick-out, and waits for the replicas as every kick-out does. */

const servers = useServers()
const { start, closing, template } = servers
const sessionId = '0-AAAAAAAAAAAAAAAAAAAAAA'

const session = {
  ...{ sessionId, issuer, subject: 'u1', clientId: 'web', scopes: [], device: undefined },
  ...{ authentication: {}, idleTtlMs: 600_000, absoluteTtlMs: 600_000 },
  ...{ maxPerSubject: undefined, whenFull: 'refuse' as const },
}

const rotation = (counter: number) => ({
  ...{ sessionId, counter, clientId: undefined, scopes: undefined },
  ...{ graceMs: 0, lostAnswerMs: 0, idleTtlMs: 600_000 },
})

test('U11 a reused refresh token is answered once the replicas have the end of its session', async () => {
  const { server } = await start()
  const replica = closing(
    await startRedis({ args: ['--replicaof', server.host, String(server.port)] }),
  )
  await waitUntilInSync(replica)
  const store = closing(redisStore(template(server), { minReplicas: 1 }))
  await store.start(session)
  await store.rotate(rotation(0))
  replica.pause()
  await expect(store.rotate(rotation(0))).rejects.toMatchObject({
    status: 503,
    message: expect.stringContaining('0 of 1 Redis replicas have it'),
  })
  // The session is over all the same, and repeating is safe.
  expect(await store.rotate(rotation(1))).toEqual({ outcome: 'ended' })
  replica.resume()
})

test('U11 a kick-out that is repeated because a replica did not have it waits for the replica again', async () => {
  const { server } = await start()
  const replica = closing(
    await startRedis({ args: ['--replicaof', server.host, String(server.port)] }),
  )
  await waitUntilInSync(replica)
  const writer = closing(redisRevocations(template(server), { issuer, minReplicas: 1 }))
  await waitUntil(async () => writer.kickOut({ session: 'warm up' }), { what: 'the replica' })
  replica.pause()
  for (let attempt = 0; attempt < 2; attempt++)
    await expect(writer.kickOut({ session: sessionId })).rejects.toThrow(/0 of 1 Redis replicas/)
  replica.resume()
  await waitUntilInSync(replica)
  const repeated = await waitUntil(async () => writer.kickOut({ session: sessionId }), {
    what: 'the replica to have it',
  })
  expect(repeated).toMatchObject({ sessionsEnded: 0 })
})

test('U11 a process that only writes refuses a Redis that may evict kick-outs', async () => {
  const { server, admin } = await start()
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  const store = closing(redisStore(template(server)))
  const failure: unknown = await store.start(session).catch((error: unknown) => error)
  expect(isUnavailableError(failure)).toBe(true)
  expect(String(failure)).toContain('maxmemory-policy allkeys-lru')
  const writer = closing(redisRevocations(template(server), { issuer }))
  await expect(writer.kickOut({ subject: 'u1' })).rejects.toThrow(/maxmemory-policy allkeys-lru/)
  await admin.config('SET', 'maxmemory-policy', 'noeviction')
  await expect(writer.kickOut({ subject: 'u1' })).resolves.toMatchObject({ servers: 0 })
})
