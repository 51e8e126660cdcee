import { describe, expect, test } from '@jest/globals'
import { Cluster, Redis } from 'ioredis'
import { redisRevocations, redisStore } from '../../src/redis/index.ts'

/** Never connected: `lazyConnect`, and no test here asks anything of it. */
const redis = new Redis({ lazyConnect: true })

const wrongLayouts: [object, RegExp][] = [
  [{ prefix: '' }, /"prefix" must be a non-empty string/],
  [{ prefix: 7 }, /"prefix"/],
  [{ prefix: 'a{b}' }, /"prefix" must have at most 64 characters, and neither braces nor spaces/],
  [{ prefix: 'a b' }, /"prefix"/],
  [{ prefix: 'x'.repeat(65) }, /"prefix"/],
  [{ partitions: 0 }, /"partitions" must be a whole number, 1 to 65535; got 0/],
  [{ partitions: 1.5 }, /"partitions"/],
  [{ partitions: 65_536 }, /"partitions"/],
  [{ partitions: '4' }, /"partitions".*got a string/],
  [{ retentionSeconds: 0 }, /"retentionSeconds" must be a number, at least 1/],
  [{ retentionSeconds: Number.POSITIVE_INFINITY }, /"retentionSeconds"/],
  [{ minReplicas: -1 }, /"minReplicas"/],
  [{ minReplicas: 0.5 }, /"minReplicas"/],
  [{ onEvent: 'log' }, /"onEvent" must be a function/],
  [{ prefxi: 'a' }, /unknown option "prefxi", did you mean "prefix"/],
]

const wrongRevocations: [object, RegExp][] = [
  ...wrongLayouts,
  [{ mode: 'cache' }, /"mode" must be one of 'replica', 'lookup'/],
  [{ maxStalenessMs: 249 }, /"maxStalenessMs" must be a number, at least 250; got 249/],
  [{ maxStalenessMs: Number.NaN }, /"maxStalenessMs".*NaN/],
  [{ whenStale: 'allow' }, /"whenStale" must be one of 'lookup', 'reject', 'accept'/],
  [{ issuer: '' }, /"issuer"/],
  [{ lookupTimeoutMs: 0 }, /"lookupTimeoutMs"/],
  [{ maxStaleness: 5 }, /unknown option "maxStaleness", did you mean "maxStalenessMs"/],
]

describe('redisRevocations', () => {
  test.each(wrongRevocations)('refuses %j, by name', (options, message) => {
    expect(() => redisRevocations(redis, options)).toThrow(TypeError)
    expect(() => redisRevocations(redis, options)).toThrow(message)
    expect(() => redisRevocations(redis, options)).toThrow(/^redisRevocations: /)
  })

  test.each([
    {},
    { prefix: 'x'.repeat(64), partitions: 65_535, retentionSeconds: 1, minReplicas: 3 },
    { mode: 'lookup', lookupTimeoutMs: 1 },
    { maxStalenessMs: 250, whenStale: 'accept' },
    { partitions: undefined, prefix: undefined, onEvent: undefined },
  ] as const)('takes %j, and connects nowhere', (options) => {
    expect(redisRevocations(redis, options as object).status()).toMatchObject({ entries: 0 })
    expect(redis.status).toBe('wait')
  })

  test.each([undefined, null, {}, 'localhost:6379', { isCluster: false }])(
    'refuses %j for a client',
    (client) => {
      expect(() => redisRevocations(client as never)).toThrow(TypeError)
      expect(() => redisRevocations(client as never)).toThrow(/redis: (?:or rediss: )?URL/)
    },
  )

  test.each([null, 'x', []])('refuses %j for options', (options) => {
    expect(() => redisRevocations(redis, options as never)).toThrow(/options must be an object/)
  })
})

describe('redisStore', () => {
  test.each(wrongLayouts)('refuses %j, by name', (options, message) => {
    expect(() => redisStore(redis, options)).toThrow(TypeError)
    expect(() => redisStore(redis, options)).toThrow(message)
    expect(() => redisStore(redis, options)).toThrow(/^redisStore: /)
  })

  test('has no options of resource servers', () => {
    expect(() => redisStore(redis, { maxStalenessMs: 5_000 } as never)).toThrow(/unknown option/)
  })
})

describe('I05 braces in the key prefix of the client, which decide where keys lie', () => {
  test.each(['{app}', 'a{', 'a}'])('are refused: %s', (keyPrefix) => {
    const prefixed = new Redis({ lazyConnect: true, keyPrefix })
    const options = { lazyConnect: true }
    const clusters = [
      new Cluster([{ port: 1 }], { ...options, keyPrefix }),
      new Cluster([{ port: 1 }], { ...options, redisOptions: { keyPrefix } }),
    ]
    for (const client of [prefixed, ...clusters]) {
      expect(() => redisRevocations(client)).toThrow(/"keyPrefix" must not contain braces/)
      expect(() => redisStore(client)).toThrow(/"keyPrefix" must not contain braces/)
    }
  })
})
