import { describe, expect, test } from '@jest/globals'
import {
  MemorySessionStore,
  memoryStore,
} from '../../../src/issuer/sessions/memory-session-store.ts'
import type { NewSession } from '../../../src/issuer/sessions/session-store.ts'
import type { KickOutTarget } from '../../../src/revocation/target.ts'
import { describeSessionStore } from '../../contracts/session-store.contract.ts'
import { FakeClock } from '../../support/fake-clock.ts'

describeSessionStore('memoryStore', {
  hasFakeClock: true,
  async create(options = {}) {
    const clock = new FakeClock()
    const store = new MemorySessionStore(options, clock)
    return { store, close: async () => store.close(), advance: (ms) => clock.advance(ms) }
  },
})

const issuer = 'https://a.example'
const session: NewSession = {
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
}

function setup() {
  const clock = new FakeClock()
  const store = new MemorySessionStore({ retentionSeconds: 60 }, clock)
  const rotate = async (counter: number) =>
    store.rotate({
      sessionId: '0-a',
      counter,
      clientId: undefined,
      scopes: undefined,
      graceMs: 0,
      lostAnswerMs: 0,
      idleTtlMs: 1000,
    })
  const kickOut = async (target: KickOutTarget) =>
    store.revocations().kickOut({ issuer, ...target })
  return { clock, store, rotate, kickOut }
}

describe('memoryStore', () => {
  test('keeps revocations as long as it is told', () => {
    expect(memoryStore().retentionSeconds).toBe(90_000)
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

  test('G06 U9 a clock that is set back: everyone who is in is kicked out, and no session of later', async () => {
    const clock = new FakeClock()
    const store = new MemorySessionStore({}, clock)
    await store.revocations().kickOut({ issuer, everyone: true })
    clock.setBack(60_000)
    await store.start(session)
    clock.advance(1)
    await store.revocations().kickOut({ issuer, everyone: true })
    clock.advance(1)
    await store.start({ ...session, sessionId: '0-b' })
    expect(await store.find('0-a')).toBeUndefined()
    expect(await store.find('0-b')).toMatchObject({ subject: 'u1' })
    clock.setAhead(60_000)
    await store.start({ ...session, sessionId: '0-c' })
    expect(await store.find('0-c')).toMatchObject({ subject: 'u1' })
  })

  test('U9 a clock that is set back: tokens that were refreshed ahead are out with their client', async () => {
    const clock = new FakeClock()
    const store = new MemorySessionStore({}, clock)
    await store.start(session)
    clock.advance(10_000)
    const request = { sessionId: '0-a', counter: 0, clientId: undefined, scopes: undefined }
    const times = { graceMs: 0, lostAnswerMs: 0, idleTtlMs: 60_000 }
    const rotated = await store.rotate({ ...request, ...times })
    const iat = 'now' in rotated ? Math.floor(rotated.now / 1000) : 0
    clock.setBack(60_000)
    await store.revocations().kickOut({ issuer, client: 'web' })
    const claims = { iss: issuer, sub: 'u1', aud: 'api', iat, exp: iat + 60, client_id: 'web' }
    expect(await store.revocations().check(claims)).toMatchObject({ revoked: true })
  })

  test('is one partition', () => {
    expect(memoryStore().partitionOf(issuer, 'u1')).toBe(0)
  })

  test.each<KickOutTarget>([
    { session: '0-a' },
    { subject: 'u1' },
    { client: 'web' },
    { everyone: true },
  ])(
    '%j ends the sessions whose time is not up, to the millisecond, and counts them',
    async (target) => {
      for (const [age, sessionsEnded] of [
        [999, 1],
        [1000, 0],
      ] as const) {
        const { clock, store, kickOut } = setup()
        await store.start({ ...session, clientId: 'web', idleTtlMs: 1000 })
        clock.advance(age)
        expect((await kickOut(target)).sessionsEnded).toBe(sessionsEnded)
        clock.advance(1)
        await store.start({ ...session, sessionId: '0-b', clientId: 'web' })
        expect((await kickOut({ everyone: true })).sessionsEnded).toBe(1)
      }
    },
  )

  test('a kick-out of one token, or of a session of another issuer, ends none', async () => {
    const { store, kickOut } = setup()
    await store.start(session)
    expect((await kickOut({ token: { jti: '0-a' } })).sessionsEnded).toBe(0)
    expect((await kickOut({ issuer: 'https://b.example', session: '0-a' })).sessionsEnded).toBe(0)
    expect(await store.find('0-a')).toMatchObject({ subject: 'u1' })
  })

  test('a kick-out is kept for as long as the store was told', async () => {
    const { clock, store, kickOut } = setup()
    await kickOut({ client: 'web' })
    const { check } = store.revocations()
    const claims = { iss: issuer, aud: 'x', exp: 9e9, iat: 1, client_id: 'web' }
    clock.advance(59_999)
    expect(check(claims)).toMatchObject({ revoked: true })
    clock.advance(1)
    expect(check(claims)).toEqual({ revoked: false })
  })

  test('says why a session is out whose superseded token was used again', async () => {
    const { store, rotate } = setup()
    await store.start(session)
    await rotate(0)
    expect(await rotate(0)).toMatchObject({ outcome: 'reused' })
    expect(
      store.revocations().check({ iss: issuer, aud: 'x', exp: 9e9, sid: '0-a' }),
    ).toMatchObject({
      level: 'session',
      reason: 'a superseded refresh token was used again',
    })
  })

  test.each([
    [60_999, 'reused'],
    [61_000, 'ended'],
  ])(
    'knows %i ms later that a superseded token is one: %s, however many users sign in in between',
    async (age, outcome) => {
      const { clock, store, rotate } = setup()
      await store.start({ ...session, absoluteTtlMs: 1000 })
      await rotate(0)
      clock.advance(age)
      await store.start({ ...session, sessionId: '0-b', subject: 'u2' })
      expect(await rotate(0)).toMatchObject({ outcome })
    },
  )

  test.each([
    [60_999, 'reused'],
    [61_000, 'ended'],
  ])('knows it as long of an idle session that was listed: %i ms, %s', async (age, outcome) => {
    const { clock, store, rotate } = setup()
    await store.start(session)
    await rotate(0)
    clock.advance(1000)
    expect(await store.list(issuer, 'u1')).toEqual([])
    clock.advance(age - 1000)
    expect(await store.list(issuer, 'u1')).toEqual([])
    expect(await rotate(0)).toMatchObject({ outcome })
  })

  test('lists a session up to its last millisecond, and the later of two of one moment first', async () => {
    const { clock, store } = setup()
    for (const sessionId of ['0-a', '0-b']) {
      await store.start({ ...session, sessionId, idleTtlMs: 1000 })
    }
    clock.advance(999)
    const listed = await store.list(issuer, 'u1')
    expect(listed.map(({ sessionId }) => sessionId)).toEqual(['0-b', '0-a'])
    clock.advance(1)
    expect(await store.list(issuer, 'u1')).toEqual([])
  })
})
