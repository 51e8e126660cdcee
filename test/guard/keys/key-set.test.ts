import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { GuardEvent } from '../../../src/events.ts'
import type { Fetch } from '../../../src/guard/keys/fetch-json.ts'
import { KeySet, type KeySetSettings } from '../../../src/guard/keys/key-set.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { factsOf } from '../../support/guarded.ts'
import { issuer, makeSigner, type PublicJwk } from '../../support/make-token.ts'

const [a, b] = [makeSigner('ES256', 'a'), makeSigner('ES256', 'b')]
const cache = { maxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: 5000, maxStaleSeconds: 86_400 }

function setup(changes: Partial<typeof cache> = {}, source?: KeySetSettings['source']) {
  const clock = new FakeClock()
  const events: Omit<GuardEvent, 'at'>[] = []
  const state = { keys: [a.publicJwk] as PublicJwk[], broken: false, fetches: 0 }
  let respond: (() => void) | undefined
  const fetch: Fetch = async () => {
    state.fetches++
    if (state.broken) throw new Error('down')
    await held
    return Response.json({ keys: state.keys })
  }
  let held: Promise<void> | undefined
  const keySet = new KeySet(
    {
      issuer,
      source: source ?? { kind: 'address', url: new URL('https://issuer.test/jwks') },
      algorithms: new Set(['ES256', 'RS256']),
      cache: { ...cache, ...changes },
    },
    { clock, fetch, emit: (event) => events.push(event) },
  )
  return {
    clock,
    events,
    state,
    keySet,
    hold() {
      held = new Promise((resolve) => (respond = resolve))
    },
    release() {
      respond?.()
      held = undefined
    },
    async find(kid: string | undefined = 'a', algorithm = 'ES256') {
      try {
        return (await keySet.find(algorithm, kid))[0].kid
      } catch (error) {
        return factsOf(error).reason
      }
    },
  }
}

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'performance', 'Date'] })
})
afterEach(() => {
  jest.useRealTimers()
})

describe('KeySet', () => {
  test('fetches nothing before its first use, and once for many first uses', async () => {
    const { find, state, keySet } = setup()
    expect(state.fetches).toBe(0)
    expect(keySet.isUsable()).toBe(false)
    expect(await Promise.all(Array.from({ length: 100 }, async () => find()))).toEqual(
      Array(100).fill('a'),
    )
    expect(state.fetches).toBe(1)
  })

  test('starts a refresh ahead of expiry by itself, and no request waits for it', async () => {
    const it = setup()
    await it.find()
    it.state.keys = [a.publicJwk, b.publicJwk]
    await jest.advanceTimersByTimeAsync(479_999)
    expect(it.state.fetches).toBe(1)
    it.hold()
    await jest.advanceTimersByTimeAsync(1)
    expect(it.state.fetches).toBe(2)
    expect(await it.find()).toBe('a')
    it.release()
    await jest.advanceTimersByTimeAsync(0)
    expect(await it.find('b')).toBe('b')
    expect(it.state.fetches).toBe(2)
  })

  test('retries in the background after the cool-down, not sooner', async () => {
    const it = setup()
    await it.find()
    it.state.broken = true
    await jest.advanceTimersByTimeAsync(480_000)
    expect(it.state.fetches).toBe(2)
    await jest.advanceTimersByTimeAsync(29_999)
    expect(it.state.fetches).toBe(2)
    await jest.advanceTimersByTimeAsync(1)
    expect(it.state.fetches).toBe(3)
    expect(it.events.map(({ type }) => type)).toEqual([
      'jwks.refreshed',
      'jwks.failed',
      'jwks.failed',
    ])
  })

  test('does not hammer an endpoint that is down, even with a cool-down of 0', async () => {
    const it = setup({ cooldownSeconds: 0 })
    it.state.broken = true
    await it.find()
    const before = it.state.fetches
    await jest.advanceTimersByTimeAsync(1000)
    expect(it.state.fetches - before).toBe(10)
  })

  test.each([
    ['a success', false],
    ['a failure', true],
  ])('asks for unknown kids once per cool-down after %s', async (_name, broken) => {
    const it = setup()
    await it.find()
    it.clock.advance(30_000)
    it.state.broken = broken
    const expected = broken ? 'jwks' : 'unknown_key'
    expect(await Promise.all([it.find('x'), it.find('y'), it.find('z')])).toEqual(
      Array(3).fill(expected),
    )
    expect(it.state.fetches).toBe(2)
    it.clock.advance(29_999)
    expect(await it.find('x')).toBe(expected)
    expect(it.state.fetches).toBe(2)
    it.clock.advance(1)
    expect(await it.find('x')).toBe(expected)
    expect(it.state.fetches).toBe(3)
  })

  test('finds a new key at its first unknown kid, once the cool-down is over', async () => {
    const it = setup()
    await it.find()
    expect(await it.find('x')).toBe('unknown_key')
    it.state.keys = [a.publicJwk, b.publicJwk]
    it.clock.advance(29_999)
    // It may be the newest key: no 401 before the issuer was asked.
    expect(await it.find('b')).toBe('jwks')
    it.clock.advance(1)
    expect(await it.find('b')).toBe('b')
  })

  test('answers tokens with known keys while unknown kids wait for a fetch', async () => {
    const it = setup()
    await it.find()
    it.clock.advance(30_000)
    it.hold()
    const waiting = it.find('x')
    expect(await it.find('a')).toBe('a')
    it.release()
    expect(await waiting).toBe('unknown_key')
  })

  test.each([
    [{ maxStaleSeconds: 86_400 }, 86_400],
    [{ maxStaleSeconds: 1000 }, 1000],
    [{ maxStaleSeconds: 0 }, 600],
    [{ maxStaleSeconds: 60 }, 600],
  ])('goes on with known keys while the endpoint is down: %j', async (changes, seconds) => {
    const it = setup(changes)
    await it.find()
    it.state.broken = true
    it.clock.advance(seconds * 1000)
    expect(await it.find()).toBe('a')
    it.clock.advance(1)
    expect(it.keySet.isUsable()).toBe(false)
    expect(await it.find()).toBe('jwks')
    it.state.broken = false
    it.clock.advance(30_000)
    expect(await it.find()).toBe('a')
  })

  test('says in Retry-After how long the cool-down lasts', async () => {
    const it = setup()
    it.state.broken = true
    const retryAfter = async () =>
      Promise.resolve(it.keySet.find('ES256', 'a')).then(
        () => 'found',
        (error: unknown) => (error as { headers: Record<string, string> }).headers['Retry-After'],
      )
    expect(await retryAfter()).toBe('30')
    it.clock.advance(10_500)
    expect(await retryAfter()).toBe('20')
    it.clock.advance(19_499)
    expect(await retryAfter()).toBe('1')
    expect(it.state.fetches).toBe(1)
  })

  test('keeps the identity of a key that stays, and retires one that left or changed', async () => {
    const it = setup()
    it.state.keys = [a.publicJwk, b.publicJwk]
    const [keyA] = await it.keySet.find('ES256', 'a')
    const [keyB] = await it.keySet.find('ES256', 'b')
    it.state.keys = [a.publicJwk, { ...makeSigner('ES256', 'b').publicJwk }]
    it.clock.advance(30_000)
    await it.find('x')
    expect((await it.keySet.find('ES256', 'a'))[0]).toBe(keyA)
    expect([keyA.retired, keyB.retired]).toEqual([false, true])
    expect((await it.keySet.find('ES256', 'b'))[0]).not.toBe(keyB)
    it.state.keys = []
    it.clock.advance(30_000)
    await it.find('x')
    expect(keyA.retired).toBe(false)
  })

  test('tells an algorithm that is not the key’s from a key that is not there', async () => {
    const it = setup()
    expect(await it.find('a', 'RS256')).toBe('algorithm')
    await expect(it.keySet.find('RS256', undefined)).rejects.toMatchObject({
      reason: 'unknown_key',
    })
    expect((await it.keySet.find('ES256', undefined))[0].kid).toBe('a')
    it.clock.advance(30_000)
    expect(await it.find('x')).toBe('unknown_key')
  })

  test('closed during a fetch: schedules nothing more', async () => {
    const it = setup()
    it.hold()
    const found = it.find()
    it.keySet.close()
    it.release()
    expect(await found).toBe('a')
    await jest.advanceTimersByTimeAsync(10_000_000)
    expect(it.state.fetches).toBe(1)
    expect(jest.getTimerCount()).toBe(0)
  })

  describe('ready', () => {
    test('resolves when keys are held, however often that takes, and not before', async () => {
      const it = setup({ cooldownSeconds: 1 })
      it.state.broken = true
      let ready = false
      const waiting = it.keySet.ready().then(() => (ready = true))
      for (let second = 0; second < 5; second++) {
        it.clock.advance(1000)
        await jest.advanceTimersByTimeAsync(1000)
      }
      expect(ready).toBe(false)
      expect(it.state.fetches).toBeGreaterThan(3)
      it.state.broken = false
      it.clock.advance(1000)
      await jest.advanceTimersByTimeAsync(1000)
      await waiting
      expect(await it.find()).toBe('a')
    })

    test('ends at once for everybody who waits when the set is closed', async () => {
      const it = setup()
      it.state.broken = true
      const waiting = [it.keySet.ready(), it.keySet.ready(), it.keySet.ready()]
      const settled = Promise.allSettled(waiting)
      await jest.advanceTimersByTimeAsync(1)
      it.keySet.close()
      for (const { status } of await settled) expect(status).toBe('rejected')
      await expect(it.keySet.ready()).rejects.toThrow('closed')
    })

    test('rejects where waiting is no use', async () => {
      const given = setup({}, { kind: 'given', jwks: { keys: [{ kty: 'EC', kid: 'unfit' }] } })
      await expect(given.keySet.ready()).rejects.toThrow('has no key that is fit')
    })
  })

  test('given keys never grow old and never ask the network', async () => {
    const it = setup({}, { kind: 'given', jwks: { keys: [a.publicJwk] } })
    expect(await it.find()).toBe('a')
    it.clock.advance(1e12)
    expect(await it.find()).toBe('a')
    expect(await it.find('x')).toBe('unknown_key')
    expect([it.state.fetches, jest.getTimerCount()]).toEqual([0, 0])
  })
})
