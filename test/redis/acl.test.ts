import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { Redis } from 'ioredis'
import { createIssuer, generateSigningKey } from '../../src/issuer/index.ts'
import { redisRevocations, redisStore } from '../../src/redis/index.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait.ts'

/*
 * The users that the README recommends, on a real server: they suffice, and the one of a resource server cannot kick
 * anybody out.
 */
const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
const [, block = ''] = /```redis\n([^]*?)```/.exec(readme) ?? []
const issuerName = 'https://login.example.com'
/** Closed after each test, failed ones included. */
const opened: { close(): Promise<void> }[] = []

let server: RedisServer
let admin: Redis

beforeAll(async () => {
  server = await startRedis()
  admin = server.client()
  for (const line of block.trim().split('\n')) {
    const [command = '', ...args] = line.split(' ')
    await admin.call(command, ...args)
  }
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (closable) => closable.close()))
})

afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

function opening<Closable extends { close(): Promise<void> }>(closable: Closable): Closable {
  opened.push(closable)
  return closable
}

function as(username: string): Redis {
  return server.client({ username, password: 'secret', lazyConnect: true })
}

const claims = { iss: issuerName, aud: 'api', exp: Date.now() / 1000 + 600, iat: 1, sub: 'u1' }

test('I10 the README names a user for resource servers and one for issuers', () => {
  expect(block.trim().split('\n')).toHaveLength(2)
})

test('I10 the users suffice for a resource server and an issuer, at every level', async () => {
  const api = opening(redisRevocations(as('kickout-api'), { issuer: issuerName }))
  const issuer = opening(
    createIssuer({
      issuer: issuerName,
      audience: 'api',
      signingKeys: [await generateSigningKey()],
      refreshTokenSecret: 's'.repeat(32),
      store: redisStore(as('kickout-issuer')),
      session: { maxPerSubject: 1 },
    }),
  )
  await api.ready()
  await issuer.startSession({ subject: 'u1', scope: 'a' })
  const second = await issuer.startSession({ subject: 'u1', scope: 'a' })
  expect(await issuer.listSessions('u1')).toHaveLength(1)
  expect(await issuer.endSession(second.session_id)).toBe(true)
  const targets = [
    { subject: 'u1' },
    { session: 's' },
    { token: { jti: 'j' } },
    { client: 'c' },
    { everyone: true },
  ] as const
  for (const target of targets) {
    const { servers, confirmed } = await issuer.kickOut(target)
    expect({ servers, confirmed }).toEqual({ servers: 1, confirmed: 1 })
  }
  expect(await api.check(claims)).toMatchObject({ revoked: true })
  expect(await api.listServers()).toHaveLength(1)
  expect(await api.listKickOuts(1)).toHaveLength(1)
  expect(await api.checkNow({ ...claims, iss: 'https://other.example' })).toEqual({
    revoked: false,
  })
})

test('I10 the user of a resource server cannot kick anybody out', async () => {
  const api = opening(
    redisRevocations(as('kickout-api'), { issuer: issuerName, prefix: 'kickout:other' }),
  )
  await api.ready()
  await expect(api.kickOut({ subject: 'u1' })).rejects.toMatchObject({
    status: 503,
    message: expect.stringMatching(/safe to repeat.*can't run this command/),
  })
})

test('a resource server whose user may only read leaves writing again to others, and stays live', async () => {
  const prefix = 'kickout:lost'
  const writer = opening(redisRevocations(as('kickout-issuer'), { issuer: issuerName, prefix }))
  const api = opening(redisRevocations(as('kickout-api'), { issuer: issuerName, prefix }))
  await api.ready()
  await writer.kickOut({ subject: 'u1' })
  await admin.del(`{${prefix}:0}:stream`, `{${prefix}:0}:meta`)
  await waitUntil(async () => (await admin.exists(`{${prefix}:0}:meta`)) === 1, {
    timeoutMs: 3000,
    what: 'the log to be begun anew',
  })
  expect(api.check(claims)).toMatchObject({ revoked: true })
  expect(api.status().state).toBe('live')
})
