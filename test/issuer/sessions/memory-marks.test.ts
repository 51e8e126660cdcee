import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { MemoryMarks } from '../../../src/issuer/sessions/memory-marks.ts'
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
    const marks = new MemoryMarks()
    expect(marks.versionOf('i', 'u', 100)).toBe(100)
    expect(marks.versionOf('i', 'u', 500)).toBe(500)
    marks.raiseVersion('i', 'u', 600, true, 9999)
    expect(marks.versionOf('i', 'u', 500)).toBe(601)
    expect(marks.versionOf('j', 'u', 500)).toBe(500)
  })

  test('a kick-out of a past moment leaves sessions in that began later', () => {
    const marks = new MemoryMarks()
    expect(marks.raiseVersion('i', 'u', 200, false, 9999)).toBe(201)
    expect(marks.isOver(session({ version: 200 }))).toBe(true)
    expect(marks.isOver(session({ version: 201 }))).toBe(false)
    expect(marks.raiseVersion('i', 'u', 100, false, 9999)).toBe(201)
  })

  test('is forgotten when nothing of before can exist any more', () => {
    const marks = new MemoryMarks()
    marks.raiseVersion('i', 'u', 200, true, 1000)
    marks.raise('i', 'everyone', '', 200, 2000)
    marks.sweep(999)
    expect(marks.isOver(session({ version: 200, startedAt: 300 }))).toBe(true)
    marks.sweep(1000)
    expect(marks.isOver(session({ version: 200, startedAt: 300 }))).toBe(false)
    expect(marks.isOver(session({ version: 200, startedAt: 200 }))).toBe(true)
    marks.sweep(2000)
    expect(marks.isOver(session({ version: 200, startedAt: 200 }))).toBe(false)
  })

  test('R7 only ever rises, whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000 })), (moments) => {
        const marks = new MemoryMarks()
        let last = marks.versionOf('i', 'u', 500)
        for (const now of moments) {
          const next = marks.raiseVersion('i', 'u', now, true, 9999)
          expect(next).toBeGreaterThan(last)
          expect(next).toBeGreaterThan(now)
          expect(marks.versionOf('i', 'u', 0)).toBe(next)
          last = next
        }
      }),
    )
  })

  test('ends sessions below it and no others', () => {
    const marks = new MemoryMarks()
    marks.raiseVersion('i', 'u', 199, true, 9999)
    expect(marks.isOver(session({ version: 199 }))).toBe(true)
    expect(marks.isOver(session({ version: 200 }))).toBe(false)
    expect(marks.isOver(session({ version: 1, subject: 'v' }))).toBe(false)
    expect(marks.isOver(session({ version: 1, issuer: 'j' }))).toBe(false)
  })
})

describe('a client, and everyone', () => {
  test('are out up to the moment, and in after it', () => {
    const marks = new MemoryMarks()
    marks.raise('i', 'client', 'web', 200, 9999)
    expect(marks.isOver(session({ clientId: 'web', startedAt: 200 }))).toBe(true)
    expect(marks.isOver(session({ clientId: 'web', startedAt: 201 }))).toBe(false)
    expect(marks.isOver(session({ clientId: 'app', startedAt: 1 }))).toBe(false)
    expect(marks.isOver(session({ startedAt: 1 }))).toBe(false)
    marks.raise('i', 'everyone', '', 300, 9999)
    expect(marks.isOver(session({ startedAt: 300 }))).toBe(true)
    expect(marks.isOver(session({ startedAt: 301 }))).toBe(false)
    expect(marks.isOver(session({ startedAt: 1, issuer: 'j' }))).toBe(false)
  })

  test('R8 the later of the two counts, whichever came first', () => {
    for (const [client, everyone] of [
      [200, 300],
      [300, 200],
    ] as const) {
      const marks = new MemoryMarks()
      marks.raise('i', 'client', 'web', client, 9999)
      marks.raise('i', 'everyone', '', everyone, 9999)
      expect(marks.isOver(session({ clientId: 'web', startedAt: 300 }))).toBe(true)
      expect(marks.isOver(session({ clientId: 'web', startedAt: 301 }))).toBe(false)
    }
  })

  test('never move back', () => {
    const marks = new MemoryMarks()
    marks.raise('i', 'everyone', '', 300, 9999)
    marks.raise('i', 'everyone', '', 100, 9999)
    expect(marks.isOver(session({ startedAt: 300 }))).toBe(true)
  })
})
