import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { Redis } from 'ioredis'
import { redisRevocations, redisStore } from '../../src/redis/index.ts'
import { Keys } from '../../src/redis/keys.ts'
import type { LayoutSettings } from '../../src/redis/options.ts'
import type { AuditedRevocations } from '../../src/revocation/revocations.ts'
import type { SessionStore } from '../../src/issuer/sessions/session-store.ts'
import { hostileIds } from '../contracts/passing-time.ts'
import { beginSettledLog, claimsOf, failureOf, issuer } from '../redis/support/deployment.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'

/* ATTACKS 1.9: ids from outside on their way into Redis, on a real one. */

const partitions = 4
let server: RedisServer
let admin: Redis
let store: SessionStore
let revocations: AuditedRevocations

beforeAll(async () => {
  server = await startRedis()
  admin = server.client()
  await beginSettledLog(admin, { prefix: 'kickout', partitions })
  store = redisStore(template(), { partitions })
  revocations = store.revocations(issuer)
  await revocations.ready()
})

afterAll(async () => {
  await store.close()
  await server.stop()
})

function template(options: object = {}): Redis {
  return new Redis({ host: server.host, port: server.port, lazyConnect: true, ...options })
}

let sessions = 0

async function startSession(subject: string, clientId?: string): Promise<string> {
  const random = String(sessions++).padStart(22, 'A')
  const sessionId = `${store.partitionOf(issuer, subject)}-${random}`
  await store.start({
    ...{ sessionId, issuer, subject, clientId, scopes: [], device: undefined },
    ...{ authentication: {}, idleTtlMs: 600_000, absoluteTtlMs: 600_000 },
    ...{ maxPerSubject: undefined, whenFull: 'refuse' as const },
  })
  return sessionId
}

async function isOut(claims: Parameters<typeof claimsOf>[0]): Promise<boolean> {
  const { revoked } = await revocations.check(claimsOf(claims))
  expect((await revocations.checkNow(claimsOf(claims))).revoked).toBe(revoked)
  return revoked
}

async function kickOut(target: Parameters<AuditedRevocations['kickOut']>[0]): Promise<void> {
  await revocations.kickOut(target, { confirmTimeoutMs: 0 })
}

test('I01 an id with braces breaks no hash tag: every key has the tag of its partition', async () => {
  for (const subject of hostileIds) await startSession(subject, subject)
  const keys = await admin.keys('*')
  expect(keys.length).toBeGreaterThan(hostileIds.length * 2)
  for (const key of keys) expect(key).toMatch(/^\{kickout:[0-3]\}:[^{}]*$/)
})

test('I02 ids that read the same when joined are different people', async () => {
  await kickOut({ issuer: 'a:b', subject: 'c' })
  expect(await isOut({ iss: 'a:b', sub: 'c' })).toBe(true)
  for (const [iss, sub] of [
    ['a', 'b:c'],
    ['a:', 'b:c'],
    ['a:b:', 'c'],
    ['a:b:c', 'c'],
  ] as const) {
    expect([iss, sub, await isOut({ iss, sub })]).toEqual([iss, sub, false])
  }
})

test('I02 a client and an issuer cannot be shifted into one another', async () => {
  const sessionId = await startSession('shifted', 'x:y')
  await kickOut({ issuer: `${issuer}:x`, client: 'y' })
  await kickOut({ client: 'x' })
  expect(await store.find(sessionId)).toBeDefined()
  await kickOut({ client: 'x:y' })
  expect(await store.find(sessionId)).toBeUndefined()
})

test('I03 glob characters match no other user', async () => {
  for (const id of ['*', '?', '[a-z]*', 'user-?', 'user-[0-9]', 'user-*']) {
    await kickOut({ subject: id })
    expect(await isOut({ sub: id })).toBe(true)
  }
  for (const id of ['user-1', 'user-x', 'a', 'user-']) expect(await isOut({ sub: id })).toBe(false)
})

test('I04 no script is made of data: there are as many as there are, whatever the ids', async () => {
  const before = /number_of_cached_scripts:(\d+)/.exec(await admin.info('memory'))?.[1]
  for (const id of ["'; return redis.call('FLUSHALL') --", ']] .. x', '\\', '"', '${1+1}', '%s']) {
    const sessionId = await startSession(id, id)
    expect(await store.find(sessionId)).toMatchObject({ subject: id, clientId: id })
    await kickOut({ subject: id })
    expect(await isOut({ sub: id })).toBe(true)
  }
  const after = /number_of_cached_scripts:(\d+)/.exec(await admin.info('memory'))?.[1]
  expect(Number(after) - Number(before)).toBeLessThanOrEqual(3)
})

test('I04 the text of scripts holds nothing but constants', () => {
  const folder = join(import.meta.dirname, '../../src/redis/scripts')
  const allowed = /^(expiryMarginMs|forgottenAfterMs|scannedPerCall|reuseReason|surplusReason)$/
  for (const file of readdirSync(folder).filter((name) => name !== 'define-script.ts')) {
    const text = readFileSync(join(folder, file), 'utf8')
    for (const [, name = ''] of text.matchAll(/\$\{([^}]+)\}/g)) expect(name).toMatch(allowed)
  }
})

test('I05 a prefix or key prefix with braces is refused at construction', () => {
  for (const prefix of ['{a}', 'a}', '{']) {
    expect(() => redisRevocations(template(), { prefix })).toThrow(/"prefix"/)
    expect(() => redisStore(template({ keyPrefix: prefix }))).toThrow(/"keyPrefix"/)
  }
})

test('I06 text in an id, a reason or a device cannot become a field of an entry', async () => {
  const injected = '","t":"victim","l":"everyone","x":"\r\nd\r\n1:e:1:2:'
  await revocations.kickOut(
    { subject: injected },
    { reason: injected, by: injected, confirmTimeoutMs: 0 },
  )
  expect((await revocations.listKickOuts({ limit: 1 })).kickOuts[0]).toMatchObject({
    ...{ level: 'subject', target: injected, reason: injected, by: injected },
  })
  expect(await isOut({ sub: injected })).toBe(true)
  expect(await isOut({ sub: 'victim' })).toBe(false)
  expect(revocations.status().state).toBe('live')
})

test('I06 a reason with colons and line breaks comes back from a look-up as it was', async () => {
  const reason = '1:2:3\r\nnull:0:'
  await revocations.kickOut({ session: 'colons' }, { reason, confirmTimeoutMs: 0 })
  expect(await revocations.checkNow(claimsOf({ sid: 'colons' }))).toMatchObject({ reason })
})

test('I07 NUL, CR LF and 255 characters of four bytes are ids like others; longer ones are refused', async () => {
  for (const id of ['a\0b', 'a\0c', '\r\n', '🙂'.repeat(127), 'x'.repeat(255)]) {
    await kickOut({ subject: id })
    expect(await isOut({ sub: id })).toBe(true)
  }
  expect(await isOut({ sub: 'a' })).toBe(false)
  await expect(kickOut({ subject: 'x'.repeat(500_000) })).rejects.toThrow(TypeError)
  // A token is refused for such an id long before; a look-up of it is harmless all the same.
  expect(await isOut({ sub: 'x'.repeat(500_000) })).toBe(false)
})

test('I08 numeric-looking ids stay texts, and versions keep every digit', async () => {
  await kickOut({ subject: '1' })
  for (const id of ['01', '1.0', '1e0', '0x1', '１']) expect(await isOut({ sub: id })).toBe(false)
  expect(await isOut({ sub: '1' })).toBe(true)
  const subject = 'of the far future'
  await startSession(subject)
  // Past the largest safe integer a version would lose its last digit on its way through Lua.
  const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions } as LayoutSettings)
  await admin.hset(keys.user(issuer, subject), 'version', String(Number.MAX_SAFE_INTEGER - 5))
  const versions: (number | undefined)[] = []
  revocations.onKickOut(({ version }) => versions.push(version))
  for (let round = 0; round < 3; round++) await kickOut({ subject })
  expect(versions).toEqual([4, 3, 2].map((less) => Number.MAX_SAFE_INTEGER - less))
})

test('I09 errors never hold the credentials of the connection', async () => {
  await admin.config('SET', 'requirepass', 'right')
  const url = `redis://someone:canary-secret@${server.host}:${server.port}`
  const wrong = redisRevocations(new Redis(url, { lazyConnect: true }), { issuer, partitions })
  const error = await failureOf(async () => wrong.kickOut({ subject: 'u1' }))
  expect(error).toMatchObject({ status: 503 })
  expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toContain('canary')
  await admin.config('SET', 'requirepass', '')
  await wrong.close()
})

test('I10 a user that may read and report cannot write kick-outs, and is told why', async () => {
  // Which commands suffice is tested with the lines of docs/redis.md in test/redis/acl.test.ts.
  await admin.call(
    'ACL',
    'SETUSER',
    'api',
    'on',
    '>secret',
    '~*',
    '+@all',
    '-xadd',
    '-set',
    '-hincrby',
  )
  const api = redisRevocations(template({ username: 'api', password: 'secret' }), {
    ...{ issuer, partitions },
  })
  await api.ready()
  const length = await admin.xlen('{kickout:0}:stream')
  await expect(api.kickOut({ everyone: true })).rejects.toMatchObject({ status: 503 })
  expect(await admin.xlen('{kickout:0}:stream')).toBe(length)
  expect(await isOut({ sub: 'u1' })).toBe(false)
  await api.close()
})
