import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { Redis } from 'ioredis'
import { createIssuer, generateSigningKey } from '../../src/issuer/index.ts'
import { redisKeyStore, redisRevocations, redisStore } from '../../src/redis/index.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait.ts'

/*
 * The users that docs/redis.md recommends, on a real server: they suffice, and the one of a resource server cannot kick
 * out a user.
 */
const page = readFileSync(join(import.meta.dirname, '../../docs/redis.md'), 'utf8')
const [, block = ''] = /```redis\n([^]*?)```/.exec(page) ?? []
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

test('I10 the page names a user for resource servers and one for issuers', () => {
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
  expect((await api.listKickOuts({ limit: 1 })).kickOuts).toHaveLength(1)
  expect(await api.checkNow({ ...claims, iss: 'https://other.example' })).toEqual({
    revoked: false,
  })
})

test('I10 the user of a resource server cannot kick anyone out', async () => {
  const api = opening(
    redisRevocations(as('kickout-api'), { issuer: issuerName, prefix: 'kickout:other' }),
  )
  await api.ready()
  await expect(api.kickOut({ subject: 'u1' })).rejects.toMatchObject({
    status: 503,
    message: expect.stringMatching(/safe to repeat.*NOPERM/),
  })
})

test('I10 the user of a resource server writes nothing but its heartbeat, whatever it tries', async () => {
  const issuer = opening(
    createIssuer({
      issuer: issuerName,
      audience: 'api',
      signingKeys: [await generateSigningKey()],
      refreshTokenSecret: 's'.repeat(32),
      store: redisStore(as('kickout-issuer')),
    }),
  )
  const { session_id: sid } = await issuer.startSession({ subject: 'mallory', scope: 'a' })
  const base = '{kickout:0}:'
  const [user = ''] = await admin.keys(`${base}user*`)
  const before = await snapshot()
  const attacker = as('kickout-api')
  const attempts: [string, ...string[]][] = [
    ['HSET', `${base}session:${sid}`, 'scope', 'sessions:admin', 'subject', 'root'],
    ['HDEL', `${base}session:${sid}`, 'subject'],
    ['HSET', user, 'version', '9000000000000000'],
    ['HSET', `${base}meta`, 'first', '1000000000'],
    ['HDEL', `${base}marks`, 'everyone'],
    ['HSET', `${base}marks`, 'everyone', '1'],
    ['XADD', `${base}stream`, '*', 'd', '1'],
    ['SET', `${base}deny:subject:x`, '1'],
    ['DEL', `${base}stream`],
    ['PEXPIRE', `${base}stream`, '1'],
    ['HGETALL', `${base}session:${sid}`],
    ['FLUSHALL'],
    ['KEYS', '*'],
  ]
  try {
    for (const [command, ...args] of attempts) {
      await expect([command, attacker.call(command, ...args)][1]).rejects.toThrow(/NOPERM/)
      // A script is checked for what it does, whichever key it declares.
      const lua = `return redis.call('${command}', unpack(ARGV))`
      await expect(attacker.eval(lua, 1, `${base}servers`, ...args)).rejects.toThrow(
        /NOPERM|ACL failure|can't run this command|can't access at least one of the keys/,
      )
    }
    expect(await snapshot()).toEqual(before)
  } finally {
    attacker.disconnect()
  }

  async function snapshot(): Promise<unknown> {
    const keys = (await admin.keys('*')).sort()
    return Promise.all(
      keys.map(async (key) => [key, (await admin.dumpBuffer(key)).toString('hex')]),
    )
  }
})

test('the user of a resource server does not open the log: one that stays absent is empty', async () => {
  const prefix = 'kickout:young'
  const api = opening(redisRevocations(as('kickout-api'), { issuer: issuerName, prefix }))
  await api.ready()
  expect(api.check(claims)).toEqual({ revoked: false })
  expect(await admin.exists(`{${prefix}:0}:meta`)).toBe(0)
  const writer = opening(redisRevocations(as('kickout-issuer'), { issuer: issuerName, prefix }))
  const { servers, confirmed } = await writer.kickOut({ subject: 'u1' })
  expect({ servers, confirmed }).toEqual({ servers: 1, confirmed: 1 })
  expect(api.check(claims)).toMatchObject({ revoked: true })
  expect(api.status().state).toBe('live')
})

test('a resource server whose user may only read leaves writing again to others, and stays live', async () => {
  const prefix = 'kickout:lost'
  const writer = opening(redisRevocations(as('kickout-issuer'), { issuer: issuerName, prefix }))
  const api = opening(redisRevocations(as('kickout-api'), { issuer: issuerName, prefix }))
  await api.ready()
  await writer.kickOut({ subject: 'u1' })
  await admin.del(`{${prefix}:0}:stream`, `{${prefix}:0}:meta`)
  // The process that wrote the kick-out follows the log, and writes it again.
  await waitUntil(async () => (await admin.xlen(`{${prefix}:0}:stream`)) === 1, {
    timeoutMs: 5000,
    what: 'the kick-out to be written again',
  })
  expect(api.check(claims)).toMatchObject({ revoked: true })
  await waitUntil(() => api.status().state === 'live', { what: 'the server to be live' })
})

test('48 a user that may not set a time to live leaves nothing half done, at every level', async () => {
  const prefix = 'kickout:half'
  await admin.call('ACL', 'SETUSER', 'half', 'on', '>secret', `~{${prefix}:*}:*`, '&*', '+@all', '-pexpire') // prettier-ignore
  const full = opening(redisRevocations(as('kickout-issuer'), { issuer: issuerName, prefix }))
  await full.kickOut({ subject: 'earlier' })
  const half = opening(redisRevocations(as('half'), { issuer: issuerName, prefix }))
  const names = async (): Promise<string[]> =>
    (await admin.keys(`{${prefix}*`)).filter((name) => !name.endsWith(':servers')).sort()
  const before = await names()
  const targets = [
    { subject: 'u1' },
    { session: '0-AAAAAAAAAAAAAAAAAAAAAA' },
    { token: { jti: 'j1' } },
    { client: 'c1' },
    { everyone: true },
  ] as const
  for (const target of targets) {
    await expect(half.kickOut(target)).rejects.toMatchObject({
      status: 503,
      message: expect.stringMatching(/NOPERM this Redis user may not run PEXPIRE/),
    })
  }
  expect(await names()).toEqual(before)
  // What it would write again after a loss is left to processes that may.
  await half.ready()
  await admin.del(`{${prefix}:0}:stream`, `{${prefix}:0}:meta`)
  await waitUntil(async () => (await admin.xlen(`{${prefix}:0}:stream`)) === 1, {
    timeoutMs: 5000,
    what: 'the kick-out to be written again by the other process',
  })
  for (const key of await admin.keys(`{${prefix}:0}:user*`))
    expect(await admin.pttl(key)).toBeGreaterThan(0)
})

test('the user of a resource server can neither read nor replace signing keys; that of an issuer can', async () => {
  const issuer = opening(
    createIssuer({
      issuer: issuerName,
      audience: 'api',
      keyStore: redisKeyStore(as('kickout-issuer'), { encryptionKey: 'e'.repeat(32) }),
      refreshTokenSecret: 's'.repeat(32),
      store: redisStore(as('kickout-issuer')),
    }),
  )
  await issuer.ready()
  await issuer.rotateSigningKey()
  const [key = ''] = await admin.keys('{kickout:signing-keys}:*')
  const before = await admin.hgetall(key)
  expect(Object.keys(before).sort()).toEqual(['revision', 'sealed'])
  const attacker = as('kickout-api')
  const attempts: [string, ...string[]][] = [
    ['HGETALL', key],
    ['HMGET', key, 'revision', 'sealed'],
    ['HSET', key, 'sealed', 'v1.a.b.c.d'],
    ['HDEL', key, 'sealed'],
    ['DEL', key],
    ['RENAME', key, 'k'],
    ['PEXPIRE', key, '1'],
    ['DUMP', key],
  ]
  try {
    for (const [command, ...args] of attempts) {
      await expect([command, attacker.call(command, ...args)][1]).rejects.toThrow(/NOPERM/)
      const lua = `return redis.call('${command}', unpack(ARGV))`
      await expect(attacker.eval(lua, 1, '{kickout:0}:servers', ...args)).rejects.toThrow(
        /NOPERM|ACL failure|can't run this command|can't access at least one of the keys/,
      )
    }
  } finally {
    attacker.disconnect()
  }
  expect(await admin.hgetall(key)).toEqual(before)
  const asApi = opening(redisKeyStore(as('kickout-api'), { encryptionKey: 'e'.repeat(32) }))
  await expect(asApi.read(issuerName)).rejects.toMatchObject({ status: 503, reason: 'signing' })
})
