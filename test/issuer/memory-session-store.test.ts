import { describe, expect, test } from '@jest/globals'
import { MemorySessionStore, memoryStore } from '../../src/issuer/memory-session-store.ts'
import { describeSessionStore } from '../contracts/session-store.contract.ts'
import { FakeClock } from '../support/fake-clock.ts'

describeSessionStore('memoryStore', {
  hasFakeClock: true,
  async create(options = {}) {
    const clock = new FakeClock()
    const store = new MemorySessionStore(options, clock)
    return { store, close: async () => store.close(), advance: (ms) => clock.advance(ms) }
  },
})

describe('memoryStore', () => {
  test('keeps revocations as long as it is told', () => {
    expect(memoryStore().retentionSeconds).toBe(3720)
    expect(memoryStore({ retentionSeconds: 60 }).retentionSeconds).toBe(60)
  })

  test.each([
    [{ retentionSeconds: 0 }, /"retentionSeconds" must be a number, at least 1/],
    [{ retentionSeconds: Number.NaN }, /"retentionSeconds"/],
    [{ retentionSecs: 5 }, /unknown option "retentionSecs", did you mean "retentionSeconds"/],
  ])('refuses %j', (options, message) => {
    expect(() => memoryStore(options as object)).toThrow(TypeError)
    expect(() => memoryStore(options as object)).toThrow(message)
  })

  test('G06 keeps a kick-out of everyone in force when the wall clock is set back', async () => {
    const clock = new FakeClock()
    const store = new MemorySessionStore({}, clock)
    const issuer = 'https://a.example'
    const session = {
      sessionId: '0-a',
      issuer,
      subject: 'u1',
      clientId: undefined,
      scopes: [],
      device: undefined,
      authentication: {},
      idleTtlMs: 1e9,
      absoluteTtlMs: 1e9,
      maxPerSubject: undefined,
      whenFull: 'refuse',
    } as const
    await store.revocations().kickOut({ issuer, everyone: true })
    clock.setBack(60_000)
    await store.start(session)
    clock.advance(1)
    await store.revocations().kickOut({ issuer, everyone: true })
    clock.advance(1)
    await store.start({ ...session, sessionId: '0-b' })
    expect(await store.find('0-a')).toBeUndefined()
    expect(await store.find('0-b')).toBeUndefined()
    clock.setAhead(60_000)
    await store.start({ ...session, sessionId: '0-c' })
    expect(await store.find('0-c')).toMatchObject({ subject: 'u1' })
  })
})
