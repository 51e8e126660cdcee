import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import express from 'express'
import type { Redis } from 'ioredis'
import { decodeProtectedHeader, exportJWK, generateKeyPair } from 'jose'
import request from 'supertest'
import {
  createIssuer,
  type Issuer,
  type IssuerEvent,
  memoryStore,
} from '../../../src/issuer/index.ts'
import { redisKeyStore, type RedisKeyStoreOptions } from '../../../src/redis/index.ts'
import { keyStoreContract } from '../../contracts/key-store.contract.ts'
import { startCluster } from '../../support/redis-cluster.ts'
import { useRedis } from '../../support/redis-for-tests.ts'
import { type RedisServer, startRedis } from '../../support/redis-server.ts'
import { waitUntil } from '../../support/wait.ts'
import { useCleanup } from '../support/deployment.ts'

const { closing, template } = useCleanup()
const redis = useRedis()
const encryptionKey = 'a secret of thirty-two bytes, for tests'
/** Poll every 250 ms. */
const rotation = { everyDays: false, publishAheadSeconds: 1 } as const
const issuerUrl = 'https://login.example.com'

interface Process {
  readonly issuer: Issuer
  readonly events: IssuerEvent[]
  kids(): Promise<string[]>
  /** The `kid` of a new token. */
  signs(): Promise<string>
}

interface Place {
  readonly client: () => Parameters<typeof redisKeyStore>[0]
  readonly prefix: string
}

function start(place: Place, options: Partial<RedisKeyStoreOptions> = {}): Process {
  const events: IssuerEvent[] = []
  const issuer = closing(
    createIssuer({
      issuer: issuerUrl,
      audience: 'https://api.example.com',
      keyStore: redisKeyStore(place.client(), {
        encryptionKey,
        rotation,
        prefix: place.prefix,
        ...options,
      }),
      refreshTokenSecret: 's'.repeat(32),
      store: memoryStore(),
      onEvent: (event) => events.push(event),
    }),
  )
  const tokenKid = async (): Promise<string> => {
    const { access_token: token } = await issuer.startSession({ subject: 'u1' })
    return decodeProtectedHeader(token).kid ?? ''
  }
  return { issuer, events, kids: async () => publishedBy(issuer), signs: tokenKid }
}

/** What the router answers on `/.well-known/jwks.json`. */
async function publishedBy({ router }: Issuer): Promise<string[]> {
  const answer = await request(express().use(router)).get('/.well-known/jwks.json')
  if (answer.status !== 200) throw Object.assign(new Error(answer.text), { status: answer.status })
  return (answer.body as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
}

function newPlace(server: RedisServer = redis.server): Place {
  return { client: () => template(server), prefix: `p${Math.random().toString(36).slice(2)}` }
}

const createdBy = (...processes: Process[]): string[] =>
  processes.flatMap(({ events }) =>
    events.flatMap((event) => (event.type === 'signing_key.created' ? [event.kid] : [])),
  )

async function recordOf(
  admin: Redis,
  { prefix }: Place,
): Promise<{ key: string; record: Record<string, string> }> {
  const [key = ''] = await admin.keys(`{${prefix}:signing-keys}:*`)
  return { key, record: await admin.hgetall(key) }
}

describe('what every key store promises', () => {
  keyStoreContract(() => {
    const place = newPlace()
    return {
      open: () => closing(redisKeyStore(place.client(), { encryptionKey, prefix: place.prefix })),
    }
  })
})

describe('several issuers', () => {
  test('that start at once have one key, which one of them has made', async () => {
    const place = newPlace()
    const all = Array.from({ length: 5 }, () => start(place))
    await Promise.all(all.map(async ({ issuer }) => issuer.ready()))
    const sets = await Promise.all(all.map(async ({ kids }) => kids()))
    expect(new Set(sets.flat()).size).toBe(1)
    const signing = await Promise.all(all.map(async ({ signs }) => signs()))
    expect(new Set(signing)).toEqual(new Set(sets.flat()))
    expect(createdBy(...all)).toHaveLength(1)
  })

  test('publish a rotated key within 10 s, and sign with it at the same moment', async () => {
    const place = newPlace()
    const all = [start(place), start(place), start(place)]
    await Promise.all(all.map(async ({ issuer }) => issuer.ready()))
    const before = await all[0]!.signs()
    const { kid, signsAt } = await all[1]!.issuer.rotateSigningKey()
    await Promise.all(
      all.map(async ({ kids }) =>
        waitUntil(async () => (await kids())[0] === kid, {
          what: 'the new key',
          timeoutMs: 10_000,
        }),
      ),
    )
    expect(Date.now()).toBeLessThan(signsAt)
    for (const { signs } of all) expect(await signs()).toBe(before)
    await waitUntil(() => Date.now() > signsAt + 50, { what: 'the time of the new key' })
    for (const { signs } of all) expect(await signs()).toBe(kid)
    expect(await all[2]!.kids()).toEqual([kid, before])
  })

  test('rotate by themselves, one of them each time', async () => {
    const place = newPlace()
    const fast = { rotation: { everyDays: 1 / 86_400, publishAheadSeconds: 0.5 } }
    const all = [start(place, fast), start(place, fast), start(place, fast)]
    await Promise.all(all.map(async ({ issuer }) => issuer.ready()))
    await waitUntil(() => createdBy(...all).length >= 4, { what: 'rotations', timeoutMs: 10_000 })
    const sets = await Promise.all(all.map(async ({ kids }) => kids()))
    // Each key that was made is published once: no process has made one beside another.
    for (const kids of sets) expect(new Set(kids).size).toBe(kids.length)
    const created = createdBy(...all)
    expect(new Set(created).size).toBe(created.length)
    const [signing, ...others] = await Promise.all(all.map(async ({ signs }) => signs()))
    expect(new Set([signing, ...others]).size).toBeLessThanOrEqual(2)
  })
})

describe('Redis', () => {
  test('holds no private key: not in a key, not in its RDB file', async () => {
    const server = closing(await startRedis())
    const place = newPlace(server)
    const one = start(place, { algorithm: 'RS256' })
    await one.issuer.ready()
    const own = await one.issuer.rotateSigningKey()
    const { privateKey } = await generateKeyPair('ES256', { extractable: true })
    const given = await exportJWK(privateKey)
    await one.issuer.rotateSigningKey(given)
    const admin = server.client()
    const { record } = await recordOf(admin, place)
    expect(Object.keys(record).sort()).toEqual(['revision', 'sealed'])
    await admin.config('SET', 'rdbcompression', 'no')
    await admin.save()
    const file = readFileSync(join(server.dir, 'dump.rdb'))
    const everything = [file, ...(await dumpOf(admin))].map((bytes) => bytes.toString('latin1'))
    for (const text of everything) {
      expect(text).not.toContain(given.d)
      expect(text).not.toContain(Buffer.from(given.d ?? '', 'base64url').toString('latin1'))
      expect(text).not.toContain(encryptionKey)
      expect(text).not.toMatch(/"d"|"p"|"qi"|PRIVATE KEY/)
      expect(text).not.toContain(own.kid)
    }
    // The file has the record: what is looked for there could be found.
    expect(file.includes(record['sealed']!)).toBe(true)
  })

  test('with another encryptionKey: ready() rejects, tokens are 503, and nothing is written', async () => {
    const place = newPlace()
    const one = start(place)
    await one.issuer.ready()
    const admin = redis.client()
    const before = await recordOf(admin, place)
    const wrong = start(place, { encryptionKey: 'another secret of thirty-two bytes or so' })
    await expect(wrong.issuer.ready()).rejects.toThrow(/option "encryptionKey"/)
    await expect(wrong.signs()).rejects.toMatchObject({ status: 503, reason: 'signing' })
    await expect(wrong.kids()).rejects.toMatchObject({ status: 503 })
    expect(await recordOf(admin, place)).toEqual(before)
  })

  test('keys of an old encryptionKey open beside a new one, and are sealed again at the next rotation', async () => {
    const place = newPlace()
    const [older, newer] = ['o'.repeat(40), 'n'.repeat(40)]
    const first = start(place, { encryptionKey: older })
    await first.issuer.ready()
    const moved = start(place, { encryptionKey: [newer, older] })
    expect(await moved.signs()).toBe(await first.signs())
    await moved.issuer.rotateSigningKey()
    const last = start(place, { encryptionKey: newer })
    expect(await last.kids()).toEqual(await moved.kids())
  })

  test('a record that is changed: known keys go on, processes that start refuse, and it is told', async () => {
    const place = newPlace()
    const one = start(place)
    await one.issuer.ready()
    const kid = await one.signs()
    const admin = redis.client()
    const { key, record } = await recordOf(admin, place)
    const changed = record['sealed']!.replace(/.{6}$/, 'AAAAAA')
    await admin.hset(key, 'sealed', changed)
    await waitUntil(() => one.events.some(({ type }) => type === 'signing_keys.failed'), {
      what: 'the event',
    })
    expect(await one.signs()).toBe(kid)
    await expect(start(place).issuer.ready()).rejects.toThrow(/were changed/)
    expect(await admin.hget(key, 'sealed')).toBe(changed)
    // What was true is true again when it is put back.
    await admin.hset(key, 'sealed', record['sealed']!)
    expect(await start(place).signs()).toBe(kid)
  })

  test('the record of another issuer, put in its place, is refused', async () => {
    const [mine, foreign] = [newPlace(), newPlace()]
    await start(mine).issuer.ready()
    const other = closing(
      redisKeyStore(foreign.client(), { encryptionKey, prefix: foreign.prefix }),
    )
    const jwk = { kty: 'EC', kid: 'k' }
    await other.replace('https://other.example', '', [{ jwk, publishedAt: 1, signsFrom: 1 }])
    const admin = redis.client()
    const { key } = await recordOf(admin, mine)
    await admin.hset(key, (await recordOf(admin, foreign)).record)
    await expect(start(mine).issuer.ready()).rejects.toThrow(/were changed/)
  })

  test('FLUSHALL: a process that is there writes the keys back, and none is made', async () => {
    const server = closing(await startRedis())
    const place = newPlace(server)
    const one = start(place)
    await one.issuer.ready()
    const kid = await one.signs()
    const admin = server.client()
    await admin.flushall()
    await waitUntil(async () => (await admin.keys('*')).length > 0, { what: 'the record' })
    expect(await start(place).signs()).toBe(kid)
    expect(createdBy(one)).toEqual([kid])
  })

  test('away at boot: ready() is 503 in time, and begins when Redis is there', async () => {
    const server = closing(await startRedis())
    const place = newPlace(server)
    await server.kill9()
    const one = start(place)
    const startedAt = performance.now()
    await expect(one.issuer.ready()).rejects.toMatchObject({ status: 503, reason: 'signing' })
    await expect(one.signs()).rejects.toMatchObject({ status: 503 })
    expect(performance.now() - startedAt).toBeLessThan(5000)
    await server.restart()
    await waitUntil(async () => one.signs().catch(() => undefined), {
      what: 'a token',
      timeoutMs: 5000,
    })
  })

  test.each(['killed', 'paused'])('%s later: known keys go on at once', async (how) => {
    const server = closing(await startRedis())
    const place = newPlace(server)
    const one = start(place)
    await one.issuer.ready()
    const kid = await one.signs()
    if (how === 'killed') await server.kill9()
    else server.pause()
    await waitUntil(() => one.events.some(({ type }) => type === 'signing_keys.failed'), {
      what: 'the event',
      timeoutMs: 5000,
    })
    const startedAt = performance.now()
    for (let round = 0; round < 20; round++) {
      expect(await one.signs()).toBe(kid)
      expect(await one.kids()).toEqual([kid])
    }
    expect(performance.now() - startedAt).toBeLessThan(500)
    if (how === 'paused') server.resume()
  })

  test('that may evict keys is refused', async () => {
    const server = closing(await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] }))
    await expect(start(newPlace(server)).issuer.ready()).rejects.toThrow(/noeviction/)
  })

  test('as a Cluster: each operation is in one slot', async () => {
    const cluster = closing(await startCluster())
    const place: Place = { client: () => cluster.client(), prefix: 'kickout' }
    const [one, two] = [start(place), start(place)]
    await Promise.all([one.issuer.ready(), two.issuer.ready()])
    expect(await one.signs()).toBe(await two.signs())
    const { kid } = await one.issuer.rotateSigningKey()
    await waitUntil(async () => (await two.kids()).includes(kid), { what: 'the new key' })
  })
})

async function dumpOf(admin: Redis): Promise<Buffer[]> {
  const keys = await admin.keys('*')
  return Promise.all(keys.map(async (key) => Buffer.from(JSON.stringify(await admin.hgetall(key)))))
}

test.each<[string, object | undefined, RegExp]>([
  ['no options', undefined, /redisKeyStore/],
  ['no encryptionKey', {}, /"encryptionKey"/],
  ['a short one', { encryptionKey: 'short' }, /32 bytes/],
  ['a misspelt option', { encryptionKey, rotate: {} }, /did you mean "rotation"/],
  ['a bad prefix', { encryptionKey, prefix: '{x}' }, /"prefix"/],
])('%s: a TypeError', (_name, options, message) => {
  const client = template({ host: '127.0.0.1', port: 1 })
  const make = () => redisKeyStore(client, options as RedisKeyStoreOptions)
  expect(make).toThrow(message)
  expect(make).toThrow(TypeError)
})

describe('createIssuer', () => {
  const options = {
    issuer: issuerUrl,
    audience: 'https://api.example.com',
    refreshTokenSecret: 's'.repeat(32),
    store: memoryStore(),
  }
  const keyStore = () => redisKeyStore(template({ host: '127.0.0.1', port: 1 }), { encryptionKey })

  test.each<[string, () => object, RegExp]>([
    ['both', () => ({ keyStore: keyStore(), signingKeys: [] }), /"keyStore" must not stand beside/],
    ['neither', () => ({}), /"signingKeys"/],
    ['another object', () => ({ keyStore: {} }), /redisKeyStore\(redis, options\)/],
    ['rotation alone', () => ({ signingKeys: [], rotation: {} }), /needs the option "keyStore"/],
    [
      'keys that go too soon',
      () => ({ keyStore: keyStore(), rotation: { keepSeconds: 599 } }),
      /keepSeconds.*600/,
    ],
  ])('refuses %s', (_name, given, message) => {
    expect(() => createIssuer({ ...options, ...given() })).toThrow(message)
    expect(() => createIssuer({ ...options, ...given() })).toThrow(TypeError)
  })

  test('takes the rotation beside the key store too', async () => {
    const place = newPlace()
    const issuer = closing(
      createIssuer({
        ...options,
        keyStore: redisKeyStore(place.client(), { encryptionKey, prefix: place.prefix }),
        rotation: { everyDays: false, publishAheadSeconds: 60 },
      }),
    )
    const { signsAt } = await issuer.rotateSigningKey()
    expect(Math.abs(signsAt - Date.now() - 60_000)).toBeLessThan(5000)
  })
})
