import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { MemoryHorizons } from '../../../src/issuer/sessions/memory-horizons.ts'
import type { SessionRecord } from '../../../src/issuer/sessions/session-store.ts'

function session(facts: Partial<SessionRecord>): SessionRecord {
  return {
    sessionId: '0-a',
    issuer: 'i',
    subject: 'u',
    clientId: undefined,
    scopes: [],
    device: undefined,
    authentication: {},
    startedAt: 100,
    lastSeenAt: 100,
    expiresAt: 1_000,
    absoluteUntil: 2_000,
    counter: 0,
    version: 100,
    ...facts,
  }
}

describe("a user's version", () => {
  test('begins now and stays', () => {
    const horizons = new MemoryHorizons()
    expect(horizons.versionOf('i', 'u', 100)).toBe(100)
    expect(horizons.versionOf('i', 'u', 500)).toBe(100)
    expect(horizons.versionOf('i', 'v', 500)).toBe(500)
    expect(horizons.versionOf('j', 'u', 600)).toBe(600)
  })

  test('R7 only ever rises, whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000 })), (moments) => {
        const horizons = new MemoryHorizons()
        let last = horizons.versionOf('i', 'u', 500)
        for (const now of moments) {
          const next = horizons.raiseVersion('i', 'u', now)
          expect(next).toBeGreaterThan(last)
          expect(next).toBeGreaterThanOrEqual(now)
          expect(horizons.versionOf('i', 'u', now)).toBe(next)
          last = next
        }
      }),
    )
  })

  test('ends sessions below it and no others', () => {
    const horizons = new MemoryHorizons()
    horizons.raiseVersion('i', 'u', 200)
    expect(horizons.isOver(session({ version: 199 }))).toBe(true)
    expect(horizons.isOver(session({ version: 200 }))).toBe(false)
    expect(horizons.isOver(session({ version: 1, subject: 'v' }))).toBe(false)
    expect(horizons.isOver(session({ version: 1, issuer: 'j' }))).toBe(false)
  })
})

describe('a client, and everyone', () => {
  test('are out up to the moment, and in after it', () => {
    const horizons = new MemoryHorizons()
    horizons.raise('i', 'client', 'web', 200)
    expect(horizons.isOver(session({ clientId: 'web', startedAt: 200 }))).toBe(true)
    expect(horizons.isOver(session({ clientId: 'web', startedAt: 201 }))).toBe(false)
    expect(horizons.isOver(session({ clientId: 'app', startedAt: 1 }))).toBe(false)
    expect(horizons.isOver(session({ startedAt: 1 }))).toBe(false)
    horizons.raise('i', 'everyone', '', 300)
    expect(horizons.isOver(session({ startedAt: 300 }))).toBe(true)
    expect(horizons.isOver(session({ startedAt: 301 }))).toBe(false)
    expect(horizons.isOver(session({ startedAt: 1, issuer: 'j' }))).toBe(false)
  })

  test('R8 the later of the two counts, whichever came first', () => {
    for (const [client, everyone] of [
      [200, 300],
      [300, 200],
    ] as const) {
      const horizons = new MemoryHorizons()
      horizons.raise('i', 'client', 'web', client)
      horizons.raise('i', 'everyone', '', everyone)
      expect(horizons.isOver(session({ clientId: 'web', startedAt: 300 }))).toBe(true)
      expect(horizons.isOver(session({ clientId: 'web', startedAt: 301 }))).toBe(false)
    }
  })

  test('never move back', () => {
    const horizons = new MemoryHorizons()
    horizons.raise('i', 'everyone', '', 300)
    horizons.raise('i', 'everyone', '', 100)
    expect(horizons.isOver(session({ startedAt: 300 }))).toBe(true)
  })
})
