import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { Redis } from 'ioredis'
import { isUnavailableError } from '../../src/index.ts'
import { redisReplayStore } from '../../src/redis/index.ts'
import { useRedis } from '../support/redis-for-tests.ts'
import { startRedis } from '../support/redis-server.ts'
import { useCleanup } from './support/deployment.ts'

const docs = readFileSync(join(import.meta.dirname, '../../docs/sender-constrained.md'), 'utf8')
const redis = useRedis()
const { closing, template } = useCleanup()

function makeStore(
  address: { host: string; port: number } = redis.server,
  prefix = redis.uniquePrefix(),
) {
  return closing(redisReplayStore(template(address), { prefix }))
}

describe('redisReplayStore', () => {
  test('of fifty claims from two processes exactly one is the first', async () => {
    const prefix = redis.uniquePrefix()
    const stores = [makeStore(redis.server, prefix), makeStore(redis.server, prefix)]
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => stores[index % 2]?.claim('a', 'id', 10_000)),
    )
    expect(answers.filter(Boolean)).toHaveLength(1)
  })

  test('another process sees what was claimed, and looking claims nothing', async () => {
    const prefix = redis.uniquePrefix()
    const [one, other] = [makeStore(redis.server, prefix), makeStore(redis.server, prefix)]
    expect(await other.has('a', 'looked-at')).toBe(false)
    expect(await one.claim('a', 'looked-at', 60_000)).toBe(true)
    expect(await other.has('a', 'looked-at')).toBe(true)
    expect(await other.has('b', 'looked-at')).toBe(false)
  })

  test('an id is forgotten after its time', async () => {
    const store = makeStore()
    expect(await store.claim('a', 'id', 200)).toBe(true)
    expect(await store.claim('a', 'id', 200)).toBe(false)
    await new Promise((resolve) => setTimeout(resolve, 250))
    expect(await store.claim('a', 'id', 200)).toBe(true)
  })

  test('it remembers since it was first used, and again since the moment that its keys were lost', async () => {
    const prefix = redis.uniquePrefix()
    const store = makeStore(redis.server, prefix)
    const before = Date.now()
    for (let id = 0; id < 40; id++) await store.claim('a', `${id}`, 10_000)
    const first = store.remembersSinceMs ?? 0
    // The beginning is rounded down, so that the first proof of all is not refused for its whole second.
    expect(first).toBe(Math.floor(before / 1000) * 1000)
    await new Promise((resolve) => setTimeout(resolve, 100))
    await store.claim('a', '0', 10_000)
    expect(store.remembersSinceMs).toBe(first)
    const keys = await redis.client().keys(`{${prefix}:*`)
    await redis.client().del(...keys)
    const lost = Date.now()
    expect(await store.claim('a', '0', 10_000)).toBe(true)
    expect(store.remembersSinceMs).toBeGreaterThanOrEqual(lost - 5)
    expect(await store.claim('a', '0', 10_000)).toBe(false)
    expect(store.remembersSinceMs).toBeGreaterThanOrEqual(lost - 5)
  })

  test('it is ready when it remembers in every slot and the second of its beginning has passed', async () => {
    const server = await startRedis()
    const prefix = redis.uniquePrefix()
    const store = makeStore(server, prefix)
    server.pause()
    const ready = store.ready?.()
    await new Promise((resolve) => setTimeout(resolve, 700))
    server.resume()
    await ready
    const admin = closing(new Redis({ host: server.host, port: server.port }))
    expect(await admin.keys(`{${prefix}:*:since`)).toHaveLength(16)
    expect(await admin.dbsize()).toBe(16)
    expect(Date.now()).toBeGreaterThanOrEqual(
      Math.ceil((store.remembersSinceMs ?? 0) / 1000) * 1000,
    )
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await expect(makeStore(server, prefix).ready?.()).rejects.toThrow(/noeviction/)
    await server.stop()
  })

  test('after a restart with an old snapshot it does not vouch for what came before the restart', async () => {
    const server = closing(await startRedis())
    const store = makeStore(server, 'kickout')
    await store.claim('a', 'id', 60_000)
    const admin = closing(new Redis({ host: server.host, port: server.port }))
    // Another run id stands for a server that was restarted or promoted.
    const [marker = ''] = await admin.keys('*:since')
    await admin.hset(marker, 'run_id', 'of-another-life', 'since', '1')
    const restarted = Date.now()
    await store.claim('a', 'id', 60_000)
    expect(store.remembersSinceMs).toBeGreaterThanOrEqual(restarted - 5)
  })

  test('a Redis that is full, may evict keys or is away is 503', async () => {
    const server = await startRedis()
    const store = makeStore(server, 'kickout')
    await store.claim('a', 'id', 60_000)
    const admin = closing(new Redis({ host: server.host, port: server.port }))
    admin.on('error', () => undefined)
    await admin.config('SET', 'maxmemory', '1')
    const isUnavailable = async (claim: Promise<boolean>) =>
      expect(isUnavailableError(await claim.catch((error: unknown) => error))).toBe(true)
    await isUnavailable(store.claim('a', 'other', 60_000))
    await admin.config('SET', 'maxmemory', '0')
    expect(await store.claim('a', 'other', 60_000)).toBe(true)
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await isUnavailable(makeStore(server, 'kickout').claim('a', 'third', 60_000))
    await server.stop()
    await isUnavailable(store.claim('a', 'fourth', 60_000))
    await isUnavailable(store.has('a', 'id'))
  })

  test('the user that the docs name has enough rights for it, and for nothing else', async () => {
    const server = closing(await startRedis())
    const [, rule = ''] = /^ACL SETUSER kickout-replay (.*)$/m.exec(docs) ?? []
    const admin = closing(new Redis({ host: server.host, port: server.port }))
    await admin.call('ACL', 'SETUSER', 'kickout-replay', ...rule.split(' '))
    const as = { username: 'kickout-replay', password: 'secret' }
    const store = closing(redisReplayStore(template(server, as)))
    expect(await store.claim('a', 'id', 10_000)).toBe(true)
    expect(await store.claim('a', 'id', 10_000)).toBe(false)
    expect(await store.has('a', 'id')).toBe(true)
    const client = template(server, as)
    await expect(client.set('{kickout:0}:session:x', '1')).rejects.toThrow(/NOPERM/)
    await expect(client.del('{kickout:replay:0}:since')).rejects.toThrow(/NOPERM/)
  })

  test('wrong options are a TypeError', () => {
    expect(() => redisReplayStore({})).toThrow(/redisReplayStore: the first argument/)
    expect(() => redisReplayStore(template(redis.server), { prefix: '{x}' })).toThrow(/"prefix"/)
    expect(() => redisReplayStore(template(redis.server), { ttl: 1 } as never)).toThrow(
      /unknown option "ttl"/,
    )
  })
})
