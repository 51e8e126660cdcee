import { beforeEach, describe, expect, test } from '@jest/globals'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import type { SessionStore } from '../../src/issuer/sessions/session-store.ts'
import { describeRaces } from '../contracts/races.contract.ts'
import { FakeClock } from '../support/fake-clock.ts'

describeRaces('memoryStore', {
  async create() {
    const clock = new FakeClock()
    return { store: new MemorySessionStore({}, clock), clock }
  },
})

describe('the memory store decides and writes in one step', () => {
  let store: SessionStore

  beforeEach(() => {
    store = new MemorySessionStore({}, new FakeClock())
  })

  const session = {
    sessionId: '0-a',
    issuer: 'https://a.example',
    subject: 'u1',
    clientId: undefined,
    scopes: [],
    device: undefined,
    authentication: {},
    idleTtlMs: 1e6,
    absoluteTtlMs: 1e6,
    maxPerSubject: 1,
    whenFull: 'end-oldest',
  } as const

  const rotation = {
    sessionId: '0-a',
    clientId: undefined,
    scopes: undefined,
    graceMs: 0,
    lostAnswerMs: 0,
    idleTtlMs: 1e6,
  }

  test('R1 a rotation is done when the call returns, before it is awaited', async () => {
    await store.start(session)
    const first = store.rotate({ ...rotation, counter: 0 })
    const second = store.rotate({ ...rotation, counter: 0 })
    expect((await second).outcome).toBe('reused')
    expect((await first).outcome).toBe('rotated')
  })

  test('R6 a kick-out is done when the call returns, and so is a login', async () => {
    void store.start(session)
    const kickedOut = store
      .revocations(session.issuer)
      .kickOut({ issuer: session.issuer, subject: 'u1' })
    const rotated = store.rotate({ ...rotation, counter: 0 })
    const again = store.start({ ...session, sessionId: '0-b' })
    expect((await rotated).outcome).toBe('ended')
    expect((await kickedOut).sessionsEnded).toBe(1)
    expect((await again).outcome).toBe('started')
    expect(await store.find('0-b')).toBeDefined()
  })

  test('a login that ends another session for its place has ended it when the call returns', async () => {
    await store.start(session)
    const again = store.start({ ...session, sessionId: '0-b' })
    expect((await store.rotate({ ...rotation, counter: 0 })).outcome).toBe('ended')
    expect(await again).toMatchObject({ outcome: 'started', ended: ['0-a'] })
  })
})
