import { describe, expect, test } from '@jest/globals'
import { memoryReplayStore, UnavailableError } from '../../src/index.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { FakeClock } from '../support/fake-clock.ts'

const clock = new FakeClock()
const make = (maxEntries = 100) => new MemoryReplayStore({ maxEntries }, clock)

describe('memoryReplayStore', () => {
  test('of fifty callers at once exactly one claims an id', async () => {
    const store = memoryReplayStore()
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => store.claim('a', 'id', 1000)),
    )
    expect(answers.filter(Boolean)).toHaveLength(1)
  })

  test('an id is claimed in its own namespace only, wherever the border between the two is', async () => {
    const store = make()
    expect(await store.claim('a', 'bc', 1000)).toBe(true)
    expect(await store.claim('ab', 'c', 1000)).toBe(true)
    expect(await store.claim('a', 'bc', 1000)).toBe(false)
  })

  test('an id stays claimed for all of its time and is forgotten within two seconds of it', async () => {
    const store = make()
    await store.claim('a', 'id', 60_000)
    clock.advance(60_000)
    expect(await store.claim('a', 'id', 60_000)).toBe(false)
    clock.advance(2000)
    expect(await store.claim('a', 'id', 60_000)).toBe(true)
  })

  test('looking whether an id is claimed claims nothing', async () => {
    const store = make()
    expect(await store.has('a', 'id')).toBe(false)
    await store.claim('a', 'id', 60_000)
    expect(await store.has('a', 'id')).toBe(true)
    expect(await store.has('b', 'id')).toBe(false)
    clock.advance(62_000)
    expect(await store.has('a', 'id')).toBe(false)
  })

  test('a wall clock that is set ahead forgets nothing', async () => {
    const store = make()
    await store.claim('a', 'id', 60_000)
    clock.setAhead(3_600_000)
    expect(await store.claim('a', 'id', 60_000)).toBe(false)
  })

  test('a full store rejects with 503, knows every old id still, and takes new ones once some have expired', async () => {
    const store = make(3)
    await store.claim('a', '1', 10_000)
    await store.claim('a', '2', 60_000)
    await store.claim('a', '3', 60_000)
    const refusal = store.claim('a', '4', 60_000)
    await expect(refusal).rejects.toBeInstanceOf(UnavailableError)
    await expect(refusal).rejects.toMatchObject({ status: 503, reason: 'replay' })
    for (const id of ['1', '2', '3']) expect(await store.claim('a', id, 60_000)).toBe(false)
    clock.advance(12_000)
    expect(await store.claim('a', '4', 60_000)).toBe(true)
    expect(await store.claim('a', '2', 60_000)).toBe(false)
  })

  test('it remembers since the process began', () => {
    const store = memoryReplayStore()
    expect(Math.abs((store.remembersSinceMs ?? 0) - performance.timeOrigin)).toBeLessThan(1000)
  })

  test('it is ready in the second after the one that the process began in', async () => {
    const young = new FakeClock(Date.UTC(2026, 0, 1) + 400)
    Object.assign(young, { monotonic: () => 100 })
    const started = performance.now()
    await new MemoryReplayStore({}, young).ready()
    expect(performance.now() - started).toBeGreaterThan(590)
    const later = performance.now()
    await make().ready()
    expect(performance.now() - later).toBeLessThan(100)
  })

  test.each([0, -1, 1.5, '5', Number.NaN])('maxEntries %p is a TypeError', (maxEntries) => {
    expect(() => memoryReplayStore({ maxEntries: maxEntries as number })).toThrow(
      /memoryReplayStore: option "maxEntries"/,
    )
  })
})
