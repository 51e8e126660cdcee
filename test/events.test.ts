import { expect, test } from '@jest/globals'
import { emitterOf, type GuardEvent } from '../src/events.ts'

const facts = { type: 'jwks.refreshed', issuer: 'i', keys: 1, dropped: [] } as const

test('adds the moment', () => {
  const seen: GuardEvent[] = []
  const before = Date.now()
  emitterOf<GuardEvent>((event) => seen.push(event))(facts)
  expect(seen).toEqual([{ ...facts, at: expect.any(Number) }])
  expect(seen[0]?.at).toBeGreaterThanOrEqual(before)
})
test('outlives a listener that throws or rejects, and the lack of one', async () => {
  let heard = 0
  for (const listener of [
    () => {
      heard++
      throw new Error('x')
    },
    async () => {
      heard++
      return Promise.reject(new Error('x'))
    },
    undefined,
  ]) {
    expect(() => {
      emitterOf<GuardEvent>(listener)(facts)
    }).not.toThrow()
  }
  // A rejection without a handler fails the test.
  await new Promise((resolve) => setImmediate(resolve))
  expect(heard).toBe(2)
})
