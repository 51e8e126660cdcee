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
  test('is the moment of the login, and never below the last kick-out', () => {
    const horizons = new MemoryHorizons()
    expect(horizons.versionOf('i', 'u', 100)).toBe(100)
    expect(horizons.versionOf('i', 'u', 500)).toBe(500)
    horizons.raiseVersion('i', 'u', 600, true, 9999)
    expect(horizons.versionOf('i', 'u', 500)).toBe(601)
    expect(horizons.versionOf('j', 'u', 500)).toBe(500)
  })

  test('a kick-out of a past moment leaves sessions in that began later', () => {
    const horizons = new MemoryHorizons()
    expect(horizons.raiseVersion('i', 'u', 200, false, 9999)).toBe(201)
    expect(horizons.isOver(session({ version: 200 }))).toBe(true)
    expect(horizons.isOver(session({ version: 201 }))).toBe(false)
    expect(horizons.raiseVersion('i', 'u', 100, false, 9999)).toBe(201)
  })

  test('is forgotten when nothing of before can exist any more', () => {
    const horizons = new MemoryHorizons()
    horizons.raiseVersion('i', 'u', 200, true, 1000)
    horizons.raise('i', 'everyone', '', 200, 2000)
    horizons.sweep(999)
    expect(horizons.isOver(session({ version: 200, startedAt: 300 }))).toBe(true)
    horizons.sweep(1000)
    expect(horizons.isOver(session({ version: 200, startedAt: 300 }))).toBe(false)
    expect(horizons.isOver(session({ version: 200, startedAt: 200 }))).toBe(true)
    horizons.sweep(2000)
    expect(horizons.isOver(session({ version: 200, startedAt: 200 }))).toBe(false)
  })

  test('R7 only ever rises, whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000 })), (moments) => {
        const horizons = new MemoryHorizons()
        let last = horizons.versionOf('i', 'u', 500)
        for (const now of moments) {
          const next = horizons.raiseVersion('i', 'u', now, true, 9999)
          expect(next).toBeGreaterThan(last)
          expect(next).toBeGreaterThan(now)
          expect(horizons.versionOf('i', 'u', 0)).toBe(next)
          last = next
        }
      }),
    )
  })

  test('ends sessions below it and no others', () => {
    const horizons = new MemoryHorizons()
    horizons.raiseVersion('i', 'u', 199, true, 9999)
    expect(horizons.isOver(session({ version: 199 }))).toBe(true)
    expect(horizons.isOver(session({ version: 200 }))).toBe(false)
    expect(horizons.isOver(session({ version: 1, subject: 'v' }))).toBe(false)
    expect(horizons.isOver(session({ version: 1, issuer: 'j' }))).toBe(false)
  })
})

describe('a client, and everyone', () => {
  test('are out up to the moment, and in after it', () => {
    const horizons = new MemoryHorizons()
    horizons.raise('i', 'client', 'web', 200, 9999)
    expect(horizons.isOver(session({ clientId: 'web', startedAt: 200 }))).toBe(true)
    expect(horizons.isOver(session({ clientId: 'web', startedAt: 201 }))).toBe(false)
    expect(horizons.isOver(session({ clientId: 'app', startedAt: 1 }))).toBe(false)
    expect(horizons.isOver(session({ startedAt: 1 }))).toBe(false)
    horizons.raise('i', 'everyone', '', 300, 9999)
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
      horizons.raise('i', 'client', 'web', client, 9999)
      horizons.raise('i', 'everyone', '', everyone, 9999)
      expect(horizons.isOver(session({ clientId: 'web', startedAt: 300 }))).toBe(true)
      expect(horizons.isOver(session({ clientId: 'web', startedAt: 301 }))).toBe(false)
    }
  })

  test('never move back', () => {
    const horizons = new MemoryHorizons()
    horizons.raise('i', 'everyone', '', 300, 9999)
    horizons.raise('i', 'everyone', '', 100, 9999)
    expect(horizons.isOver(session({ startedAt: 300 }))).toBe(true)
  })
})
