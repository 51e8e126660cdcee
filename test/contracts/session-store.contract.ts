import { randomBytes, randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { AccessTokenClaims } from '../../src/auth.ts'
import { isUnavailableError } from '../../src/errors.ts'
import type {
  AmendOutcome,
  AmendRequest,
  NewSession,
  RotateOutcome,
  RotateRequest,
  SessionRecord,
  SessionStore,
} from '../../src/issuer/sessions/session-store.ts'
import type { KickOutResult } from '../../src/revocation/revocations.ts'
import type { KickOutTarget } from '../../src/revocation/target.ts'
import { elapse, hostileIds, type PassingTime } from './passing-time.ts'

export interface SessionStoreUnderTest extends PassingTime {
  readonly store: SessionStore
  close(): Promise<void>
}

export interface SessionStoreSource {
  /** A store of its own, that shares nothing with those of other tests. */
  create(options?: { retentionSeconds?: number }): Promise<SessionStoreUnderTest>
  /** Whether `advance` is there, so that boundaries can be hit to the millisecond. */
  readonly hasFakeClock: boolean
}

const issuer = 'https://login.example.com'
const otherIssuer = 'https://login.example.org'
const minute = 60_000

/**
 * What every session store does, whatever it is made of: DESIGN.md section 7's table, and what a kick-out means for
 * sessions.
 */
export function describeSessionStore(name: string, source: SessionStoreSource): void {
  describe(`${name} as a session store`, () => {
    let under: SessionStoreUnderTest
    let store: SessionStore
    let subject: string
    const others: SessionStoreUnderTest[] = []
    /** Short enough to be waited for, long enough for a busy machine. */
    const shortMs = source.hasFakeClock ? 1_000 : 80
    const graceMs = source.hasFakeClock ? 10_000 : 1_500

    beforeEach(async () => {
      under = await source.create()
      store = under.store
      subject = `user ${randomUUID()}`
    })

    afterEach(async () => {
      await under.close()
      await Promise.all(others.splice(0).map(async ({ close }) => close()))
    })

    function newSession(facts: Partial<NewSession> = {}): NewSession {
      const who = { issuer, subject, ...facts }
      return {
        sessionId: `${store.partitionOf(who.issuer, who.subject)}-${randomBytes(16).toString('base64url')}`,
        clientId: undefined,
        scopes: ['reports:read', 'reports:write'],
        device: undefined,
        authentication: {},
        idleTtlMs: 10 * minute,
        absoluteTtlMs: 60 * minute,
        maxPerSubject: undefined,
        whenFull: 'end-oldest',
        ...who,
      }
    }

    async function start(facts: Partial<NewSession> = {}): Promise<SessionRecord> {
      const started = await store.start(newSession(facts))
      if (started.outcome !== 'started') throw new Error('The session was refused')
      return started.session
    }

    async function rotate(
      session: Pick<SessionRecord, 'sessionId'>,
      counter: number,
      facts: Partial<RotateRequest> = {},
    ): Promise<RotateOutcome> {
      return store.rotate({
        sessionId: session.sessionId,
        counter,
        clientId: undefined,
        scopes: undefined,
        graceMs: minute,
        lostAnswerMs: 0,
        idleTtlMs: 10 * minute,
        ...facts,
      })
    }

    /** Rotates `times` times, so that the current counter is `times`. */
    async function rotateTimes(session: SessionRecord, times: number): Promise<void> {
      for (let counter = 0; counter < times; counter++) {
        expect(await rotate(session, counter)).toMatchObject({ outcome: 'rotated' })
      }
    }

    function claimsOf(session: SessionRecord): AccessTokenClaims {
      const iat = Math.floor(session.lastSeenAt / 1000)
      return {
        iss: session.issuer,
        aud: 'https://api.example.com',
        iat,
        exp: iat + 600,
        sub: session.subject,
        sid: session.sessionId,
        jti: `0-${randomUUID()}`,
        session_version: session.version,
        ...(session.clientId !== undefined && { client_id: session.clientId }),
      }
    }

    async function isRevoked(session: SessionRecord): Promise<boolean> {
      const { revoked } = await store.revocations(session.issuer).checkNow(claimsOf(session))
      return revoked
    }

    async function isAlive(session: SessionRecord): Promise<boolean> {
      return (await store.find(session.sessionId)) !== undefined
    }

    describe('start, find and list', () => {
      test('keeps what a session was started with', async () => {
        const device = { name: 'Firefox', ip: '192.0.2.1', userAgent: 'Mozilla/5.0 "x"\r\n' }
        const authentication = { acr: 'gold', amr: ['pwd', 'otp'], authTime: 1_700_000_000 }
        const session = await start({ clientId: 'web', device, authentication })
        expect(session).toMatchObject({
          issuer,
          subject,
          clientId: 'web',
          scopes: ['reports:read', 'reports:write'],
          device,
          authentication,
        })
        expect(session.lastSeenAt).toBe(session.startedAt)
        expect(session.expiresAt).toBe(session.startedAt + 10 * minute)
        expect(session.version).toBeLessThanOrEqual(session.startedAt)
        expect(await store.find(session.sessionId)).toEqual(session)
        expect(await store.list(issuer, subject)).toEqual([session])
      })

      test('keeps the absence of a client, a device and an authentication', async () => {
        const session = await start({ scopes: [] })
        const found = await store.find(session.sessionId)
        expect(found).toMatchObject({ scopes: [], authentication: {} })
        expect(found?.clientId).toBeUndefined()
        expect(found?.device).toBeUndefined()
      })

      test('ends no later than the absolute lifetime allows', async () => {
        const session = await start({ idleTtlMs: 10 * minute, absoluteTtlMs: minute })
        expect(session.expiresAt).toBe(session.startedAt + minute)
      })

      test('finds nothing under an id that it does not know', async () => {
        await start()
        for (const id of ['0-unknown', 'not-ours', '', '__proto__', ...hostileIds]) {
          expect(await store.find(id)).toBeUndefined()
        }
      })

      test('lists the sessions of one user of one issuer, the last used first', async () => {
        const first = await start()
        await elapse(under, 5)
        const second = await start()
        await elapse(under, 5)
        await start({ subject: `${subject} too` })
        await start({ issuer: otherIssuer })
        const ids = async () =>
          (await store.list(issuer, subject)).map(({ sessionId }) => sessionId)
        expect(await ids()).toEqual([second.sessionId, first.sessionId])
        await rotate(first, 0)
        expect(await ids()).toEqual([first.sessionId, second.sessionId])
        expect(await store.list(issuer, 'nobody')).toEqual([])
      })

      test('gives every later session of a user a version that is not lower', async () => {
        const first = await start()
        await elapse(under, 5)
        const second = await start()
        expect(second.version).toBeGreaterThanOrEqual(first.version)
        expect(await isRevoked(first)).toBe(false)
        expect(await isRevoked(second)).toBe(false)
      })

      test('stops listing a session whose time is up', async () => {
        await start({ idleTtlMs: shortMs })
        const staying = await start()
        await elapse(under, shortMs + 5)
        expect((await store.list(issuer, subject)).map(({ sessionId }) => sessionId)).toEqual([
          staying.sessionId,
        ])
      })
    })

    describe('maxPerSubject', () => {
      test('ends the sessions used longest ago, and revokes their access tokens', async () => {
        const [a, b] = [await start(), await start()]
        await elapse(under, 5)
        await rotate(a, 0)
        const started = await store.start(newSession({ maxPerSubject: 2 }))
        expect(started).toMatchObject({ outcome: 'started', ended: [b.sessionId] })
        expect(await isAlive(b)).toBe(false)
        expect(await isRevoked(b)).toBe(true)
        expect(await isAlive(a)).toBe(true)
        expect(await isRevoked(a)).toBe(false)
        expect(await store.list(issuer, subject)).toHaveLength(2)
      })

      test('ends as many as it takes when the limit was lowered', async () => {
        for (let count = 0; count < 4; count++) await start()
        const started = await store.start(newSession({ maxPerSubject: 2 }))
        expect(started).toMatchObject({ outcome: 'started' })
        expect(started.outcome === 'started' && started.ended).toHaveLength(3)
        expect(await store.list(issuer, subject)).toHaveLength(2)
      })

      test('refuses one session too many where that is wanted, and changes nothing', async () => {
        const full = { maxPerSubject: 2, whenFull: 'refuse' } as const
        const [a, b] = [await start(full), await start(full)]
        expect(await store.start(newSession(full))).toEqual({ outcome: 'full' })
        expect(await isAlive(a)).toBe(true)
        expect(await isAlive(b)).toBe(true)
        expect(await store.list(issuer, subject)).toHaveLength(2)
      })

      test('does not count sessions that ended or whose time is up', async () => {
        const full = { maxPerSubject: 1, whenFull: 'refuse' } as const
        await start({ ...full, idleTtlMs: shortMs })
        await elapse(under, shortMs + 5)
        const second = await start(full)
        await store.revocations(issuer).kickOut({ issuer, session: second.sessionId })
        expect(await store.start(newSession(full))).toMatchObject({ outcome: 'started' })
      })

      test('does not count sessions of a client, or of everyone, that was kicked out', async () => {
        const full = { maxPerSubject: 1, whenFull: 'refuse', clientId: 'web' } as const
        const first = await start(full)
        await store.revocations(issuer).kickOut({ issuer, client: 'web' })
        const second = await start(full)
        expect(await isAlive(first)).toBe(false)
        await store.revocations(issuer).kickOut({ issuer, everyone: true })
        const third = await start({ ...full, whenFull: 'end-oldest' })
        expect(await isAlive(second)).toBe(false)
        expect(await isAlive(third)).toBe(true)
      })

      test('tells the history of kick-outs why a session had to go', async () => {
        const gone = [await start(), await start()].map(({ sessionId }) => sessionId)
        await start({ maxPerSubject: 1 })
        const { kickOuts } = await store.revocations(issuer).listKickOuts({ limit: 10 })
        expect(kickOuts.map(({ target }) => target).sort()).toEqual(gone.sort())
        expect(new Set(kickOuts.map(({ id }) => id)).size).toBe(2)
        for (const kickOut of kickOuts)
          expect(kickOut).toMatchObject({ level: 'session', reason: 'too many sessions' })
      })

      test('counts each user alone', async () => {
        await start({ maxPerSubject: 1 })
        const other = await start({ maxPerSubject: 1, subject: `${subject} too` })
        const foreign = await start({ maxPerSubject: 1, issuer: otherIssuer })
        expect(await isAlive(other)).toBe(true)
        expect(await isAlive(foreign)).toBe(true)
        expect(await store.list(issuer, subject)).toHaveLength(1)
      })

      test('holds when 30 sessions begin at once', async () => {
        const starts = Array.from({ length: 30 }, async () =>
          store.start(newSession({ maxPerSubject: 3 })),
        )
        const begun = (await Promise.all(starts)).flatMap((outcome) =>
          outcome.outcome === 'started' ? [outcome.session] : [],
        )
        const left = (await store.list(issuer, subject)).map(({ sessionId }) => sessionId)
        expect(left).toHaveLength(3)
        for (const session of begun)
          expect(await isRevoked(session)).toBe(!left.includes(session.sessionId))
      })
    })

    describe('rotate', () => {
      test('turns the current token into its successor', async () => {
        const session = await start()
        await elapse(under, 5)
        const outcome = await rotate(session, 0)
        expect(outcome).toMatchObject({ outcome: 'rotated', counter: 1 })
        if (outcome.outcome !== 'rotated') throw new Error(outcome.outcome)
        expect(outcome.now).toBeGreaterThan(session.startedAt)
        expect(outcome.session).toEqual({
          ...session,
          lastSeenAt: outcome.now,
          expiresAt: outcome.now + 10 * minute,
          counter: 1,
        })
        expect(await rotate(session, 1)).toMatchObject({ outcome: 'rotated', counter: 2 })
      })

      test('R3 gives the same successor again to the token before the current one', async () => {
        const session = await start()
        await rotate(session, 0)
        for (let again = 0; again < 3; again++) {
          expect(await rotate(session, 0)).toMatchObject({ outcome: 'retried', counter: 1 })
        }
        expect(await rotate(session, 1)).toMatchObject({ outcome: 'rotated', counter: 2 })
      })

      test('41 answers a token whose answer was lost, once and late, and reuse ends the session then', async () => {
        const session = await start()
        await rotate(session, 0)
        await elapse(under, shortMs + 5)
        const late = { graceMs: shortMs, lostAnswerMs: minute }
        expect(await rotate(session, 0, late)).toMatchObject({
          outcome: 'retried_late',
          counter: 1,
        })
        expect(await rotate(session, 0, late)).toMatchObject({ outcome: 'reused' })
        expect(await isAlive(session)).toBe(false)
      })

      test('41 answers no late token whose successor was presented, and none after that time', async () => {
        const used = await start()
        await rotate(used, 0)
        await rotate(used, 1)
        const late = { graceMs: shortMs, lostAnswerMs: minute }
        expect(await rotate(used, 0, late)).toMatchObject({ outcome: 'reused' })
        const old = await start()
        await rotate(old, 0)
        await elapse(under, 2 * shortMs + 10)
        const brief = { graceMs: shortMs, lostAnswerMs: shortMs }
        expect(await rotate(old, 0, brief)).toMatchObject({ outcome: 'reused' })
      })

      test('ends the session when the token before comes back after the grace', async () => {
        const session = await start()
        await rotate(session, 0)
        await elapse(under, shortMs + 5)
        expect(await rotate(session, 0, { graceMs: shortMs })).toMatchObject({ outcome: 'reused' })
        expect(await isAlive(session)).toBe(false)
        expect(await isRevoked(session)).toBe(true)
        expect(await rotate(session, 1)).toEqual({ outcome: 'ended' })
        expect(await store.list(issuer, subject)).toEqual([])
      })

      test('does not move the window of the grace when a client retries within it', async () => {
        const session = await start()
        await rotate(session, 0)
        await elapse(under, graceMs * 0.6)
        expect(await rotate(session, 0, { graceMs })).toMatchObject({ outcome: 'retried' })
        await elapse(under, graceMs * 0.6)
        expect(await rotate(session, 0, { graceMs })).toMatchObject({ outcome: 'reused' })
      })

      test('R4 grants a grandparent no grace', async () => {
        const session = await start()
        await rotateTimes(session, 2)
        expect(await rotate(session, 0)).toMatchObject({
          outcome: 'reused',
          session: { sessionId: session.sessionId, subject },
        })
        expect(await isRevoked(session)).toBe(true)
      })

      test('R15 recognises every ancestor, however old', async () => {
        for (const ancestor of [0, 1, 17, 38]) {
          const session = await start()
          await rotateTimes(session, 40)
          expect(await rotate(session, ancestor)).toMatchObject({ outcome: 'reused' })
        }
      })

      test('grants no one a grace of 0', async () => {
        const session = await start()
        await rotate(session, 0, { graceMs: 0 })
        expect(await rotate(session, 0, { graceMs: 0 })).toMatchObject({ outcome: 'reused' })
      })

      test('R12 ends the session of the reused token and no other of the user', async () => {
        const [session, staying] = [await start(), await start()]
        await rotateTimes(session, 2)
        await rotate(session, 0)
        expect(await isAlive(staying)).toBe(true)
        expect(await isRevoked(staying)).toBe(false)
        expect(await rotate(staying, 0)).toMatchObject({ outcome: 'rotated' })
      })

      test('R11 keeps a session ended: no grace brings back what reuse has ended', async () => {
        const session = await start()
        await rotateTimes(session, 2)
        await rotate(session, 0)
        for (const counter of [0, 1, 2, 3]) {
          expect(await rotate(session, counter)).toEqual({ outcome: 'ended' })
        }
      })

      test('R5 refuses another client without changing anything, even with an old token', async () => {
        const session = await start({ clientId: 'web' })
        await rotateTimes(session, 3)
        for (const counter of [0, 2, 3, 7]) {
          expect(await rotate(session, counter, { clientId: 'evil' })).toEqual({
            outcome: 'client',
          })
        }
        expect(await rotate(session, 3, { clientId: 'web' })).toMatchObject({
          outcome: 'rotated',
          counter: 4,
        })
      })

      test('refuses a client that names itself for a session that has none', async () => {
        const session = await start()
        expect(await rotate(session, 0, { clientId: 'web' })).toEqual({ outcome: 'client' })
        expect(await rotate(session, 0)).toMatchObject({ outcome: 'rotated' })
      })

      test('R10 moves forward to a genuine token that is newer than the record', async () => {
        const session = await start()
        await rotate(session, 0)
        expect(await rotate(session, 5)).toMatchObject({ outcome: 'fast_forwarded', counter: 6 })
        expect(await rotate(session, 5)).toMatchObject({ outcome: 'retried', counter: 6 })
        expect(await rotate(session, 6)).toMatchObject({ outcome: 'rotated', counter: 7 })
        expect(await rotate(session, 1)).toMatchObject({ outcome: 'reused' })
      })

      test('lets go of a session that was idle for too long', async () => {
        const session = await start()
        await rotate(session, 0, { idleTtlMs: shortMs })
        await elapse(under, shortMs + 5)
        expect(await rotate(session, 1)).toEqual({ outcome: 'expired' })
      })

      test('never extends the absolute lifetime', async () => {
        const absoluteTtlMs = source.hasFakeClock ? 10_000 : 600
        const session = await start({ absoluteTtlMs })
        await elapse(under, absoluteTtlMs / 4)
        const outcome = await rotate(session, 0)
        expect(outcome).toMatchObject({
          outcome: 'rotated',
          session: { expiresAt: session.startedAt + absoluteTtlMs },
        })
        await elapse(under, absoluteTtlMs)
        expect(await rotate(session, 1)).toEqual({ outcome: 'expired' })
      })

      test('R14 judges reuse before expiry', async () => {
        const session = await start()
        await rotateTimes(session, 2)
        await rotate(session, 2, { idleTtlMs: shortMs })
        await elapse(under, shortMs + 5)
        expect(await rotate(session, 0)).toMatchObject({ outcome: 'reused' })
        expect(await isRevoked(session)).toBe(true)
      })

      test('R14 judges reuse before scope', async () => {
        const session = await start()
        await rotateTimes(session, 2)
        expect(await rotate(session, 0, { scopes: ['admin'] })).toMatchObject({ outcome: 'reused' })
      })

      test('refuses a scope beyond the grant without changing anything', async () => {
        const session = await start()
        for (const scopes of [['reports:read', 'admin'], ['reports'], ['reports:read*'], ['"']]) {
          expect(await rotate(session, 0, { scopes })).toEqual({ outcome: 'scope' })
        }
        expect(await rotate(session, 0)).toMatchObject({ outcome: 'rotated', counter: 1 })
      })

      test('takes a narrower scope and keeps the grant as it was', async () => {
        const session = await start()
        expect(await rotate(session, 0, { scopes: ['reports:read'] })).toMatchObject({
          outcome: 'rotated',
          session: { scopes: ['reports:read', 'reports:write'] },
        })
        expect(await rotate(session, 1, { scopes: ['reports:write'] })).toMatchObject({
          outcome: 'rotated',
        })
      })

      test('knows no session under a made-up id', async () => {
        for (const sessionId of ['0-unknown', 'not-ours', ...hostileIds]) {
          expect(await rotate({ sessionId }, 0)).toEqual({ outcome: 'ended' })
        }
      })

      test.each([50, 500])('R1 has one lineage when %i rotations come at once', async (count) => {
        const session = await start()
        const outcomes = await Promise.all(
          Array.from({ length: count }, async () => rotate(session, 0)),
        )
        const words = outcomes.map(({ outcome }) => outcome)
        expect(words.filter((word) => word === 'rotated')).toHaveLength(1)
        expect(words.filter((word) => word === 'retried')).toHaveLength(count - 1)
        expect(new Set(outcomes.map((outcome) => 'counter' in outcome && outcome.counter))).toEqual(
          new Set([1]),
        )
        expect(await rotate(session, 1)).toMatchObject({ outcome: 'rotated', counter: 2 })
      })

      test('R1 reports a reuse once when 50 old tokens come at once', async () => {
        const session = await start()
        await rotateTimes(session, 3)
        const outcomes = await Promise.all(
          Array.from({ length: 50 }, async () => rotate(session, 0)),
        )
        const words = outcomes.map(({ outcome }) => outcome)
        expect(words.filter((word) => word === 'reused')).toHaveLength(1)
        expect(words.filter((word) => word === 'ended')).toHaveLength(49)
      })
    })

    describe('amend', () => {
      async function amend(
        session: Pick<SessionRecord, 'sessionId'>,
        facts: Partial<AmendRequest> = {},
      ): Promise<AmendOutcome> {
        const { sessionId } = session
        return store.amend!({
          ...{ sessionId, field: 'stepUp', before: undefined, after: 'gold' },
          ...facts,
        })
      }

      test('puts a text into the record, which find, list and rotate give back', async () => {
        const session = await start()
        await elapse(under, 5)
        const outcome = await amend(session)
        expect(outcome).toMatchObject({ outcome: 'amended' })
        if (outcome.outcome !== 'amended') throw new Error(outcome.outcome)
        expect(outcome.session).toEqual({ ...session, stepUp: 'gold' })
        expect(outcome.now).toBeGreaterThan(session.startedAt)
        expect(await store.find(session.sessionId)).toEqual({ ...session, stepUp: 'gold' })
        expect(await store.list(issuer, subject)).toEqual([{ ...session, stepUp: 'gold' }])
        expect(await rotate(session, 0)).toMatchObject({
          outcome: 'rotated',
          session: { stepUp: 'gold', counter: 1 },
        })
        expect(await rotate(session, 0)).toMatchObject({
          outcome: 'retried',
          session: { stepUp: 'gold', counter: 1 },
        })
      })

      test('keeps its two fields apart, and each text as it is', async () => {
        const session = await start()
        for (const text of hostileIds) {
          const other = await start()
          await amend(other, { after: text })
          expect(await store.find(other.sessionId)).toMatchObject({ stepUp: text })
        }
        await amend(session, { field: 'sealed', after: 'wax' })
        await amend(session, { after: '{"acr":"gold"}' })
        expect(await store.find(session.sessionId)).toMatchObject({
          sealed: 'wax',
          stepUp: '{"acr":"gold"}',
        })
      })

      test('changes nothing where the field holds something else than expected', async () => {
        const session = await start()
        expect(await amend(session, { before: 'silver' })).toEqual({ outcome: 'changed' })
        await amend(session, { after: 'silver' })
        expect(await amend(session)).toEqual({ outcome: 'changed' })
        expect(await amend(session, { before: 'gold' })).toEqual({ outcome: 'changed' })
        expect(await amend(session, { before: 'silver' })).toMatchObject({ outcome: 'amended' })
        expect(await store.find(session.sessionId)).toMatchObject({ stepUp: 'gold' })
      })

      test('lets one of 50 through that come at once', async () => {
        const session = await start()
        const outcomes = await Promise.all(
          Array.from({ length: 50 }, async (_, index) => amend(session, { after: `${index}` })),
        )
        const words = outcomes.map(({ outcome }) => outcome)
        expect(words.filter((word) => word === 'amended')).toHaveLength(1)
        expect(words.filter((word) => word === 'changed')).toHaveLength(49)
      })

      test('neither extends a session nor counts as a use of it', async () => {
        const session = await start({ idleTtlMs: shortMs })
        await elapse(under, shortMs / 2)
        await amend(session)
        await elapse(under, shortMs / 2 + 5)
        expect(await rotate(session, 0)).toEqual({ outcome: 'expired' })
        expect(await amend(session, { before: 'gold' })).toEqual({ outcome: 'expired' })
      })

      test('knows no session that is over, or was never there', async () => {
        for (const target of [{ subject }, { client: 'web' }, { everyone: true }] as const) {
          const session = await start({ clientId: 'web' })
          await store.revocations(issuer).kickOut({ issuer, ...target }, { confirmTimeoutMs: 0 })
          expect(await amend(session)).toEqual({ outcome: 'ended' })
          expect(await isAlive(session)).toBe(false)
        }
        const session = await start()
        await store.revocations(issuer).kickOut({ issuer, session: session.sessionId })
        expect(await amend(session)).toEqual({ outcome: 'ended' })
        expect(await isAlive(session)).toBe(false)
        for (const sessionId of ['0-unknown', 'not-ours', ...hostileIds]) {
          expect(await amend({ sessionId })).toEqual({ outcome: 'ended' })
        }
      })
    })

    if (source.hasFakeClock) {
      describe('boundaries', () => {
        test('takes a retry at the last millisecond of the grace and not one later', async () => {
          for (const [late, outcome] of [
            [0, 'retried'],
            [1, 'reused'],
          ] as const) {
            const session = await start()
            await rotate(session, 0)
            await elapse(under, 10_000 + late)
            expect(await rotate(session, 0, { graceMs: 10_000 })).toMatchObject({ outcome })
          }
        })

        test('takes the current token at the last millisecond of the idle lifetime', async () => {
          for (const [late, outcome] of [
            [-1, 'rotated'],
            [0, 'expired'],
          ] as const) {
            const session = await start({ idleTtlMs: 10_000 })
            await elapse(under, 10_000 + late)
            expect(await rotate(session, 0)).toMatchObject({ outcome })
          }
        })

        test('forgets sessions of users who never come back', async () => {
          const session = await start({ absoluteTtlMs: minute })
          await rotateTimes(session, 2)
          await elapse(under, minute + store.retentionSeconds * 1000)
          await start({ subject: 'somebody else' })
          expect(await rotate(session, 0)).toEqual({ outcome: 'ended' })
        })
      })
    }

    describe('kick-out', () => {
      async function kickOut(target: KickOutTarget, of = issuer): Promise<KickOutResult> {
        return store.revocations(of).kickOut({ issuer: of, ...target }, { confirmTimeoutMs: 0 })
      }

      test('of a user ends every session and revokes their access tokens', async () => {
        const sessions = [await start(), await start({ clientId: 'web' })]
        const staying = await start({ subject: `${subject} too` })
        expect(await kickOut({ subject })).toMatchObject({ sessionsEnded: 2 })
        for (const session of sessions) {
          expect(await isAlive(session)).toBe(false)
          expect(await isRevoked(session)).toBe(true)
          expect(await rotate(session, 0)).toEqual({ outcome: 'ended' })
        }
        expect(await store.list(issuer, subject)).toEqual([])
        expect(await isAlive(staying)).toBe(true)
        expect(await isRevoked(staying)).toBe(false)
      })

      test('R7 lets a user who logs in after it in, though it be the same millisecond', async () => {
        const before = await start()
        await kickOut({ subject })
        const after = await start()
        expect(after.version).toBeGreaterThan(before.version)
        expect(await isRevoked(before)).toBe(true)
        expect(await isRevoked(after)).toBe(false)
        expect(await rotate(after, 0)).toMatchObject({ outcome: 'rotated' })
      })

      test('of a user raises the version each time, also when repeated at once', async () => {
        const versions: number[] = []
        for (let round = 0; round < 5; round++) {
          await kickOut({ subject })
          versions.push((await start()).version)
        }
        await Promise.all(Array.from({ length: 20 }, async () => kickOut({ subject })))
        versions.push((await start()).version)
        expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
      })

      test('of a user whom the store never saw counts: their tokens from elsewhere are out', async () => {
        const { at, sessionsEnded } = await kickOut({ subject: 'from elsewhere' })
        expect(sessionsEnded).toBe(0)
        const iat = Math.floor(at / 1000)
        const claims = { iss: issuer, aud: 'x', sub: 'from elsewhere', exp: iat + 600 }
        const revocations = store.revocations(issuer)
        expect(await revocations.checkNow({ ...claims, iat: iat - 5 })).toMatchObject({
          revoked: true,
          level: 'subject',
        })
        expect(await revocations.checkNow({ ...claims, iat: iat + 1 })).toEqual({ revoked: false })
      })

      test('of a session ends that one', async () => {
        const [session, staying] = [await start(), await start()]
        expect(await kickOut({ session: session.sessionId })).toMatchObject({ sessionsEnded: 1 })
        expect(await isAlive(session)).toBe(false)
        expect(await isRevoked(session)).toBe(true)
        expect(await rotate(session, 0)).toEqual({ outcome: 'ended' })
        expect(await isAlive(staying)).toBe(true)
        expect(await isRevoked(staying)).toBe(false)
      })

      test('of a session is safe to repeat, and ends nothing twice', async () => {
        const session = await start()
        await kickOut({ session: session.sessionId })
        expect(await kickOut({ session: session.sessionId })).toMatchObject({ sessionsEnded: 0 })
        expect(await isRevoked(session)).toBe(true)
      })

      test('of a session that some other issuer made revokes its tokens all the same', async () => {
        for (const sid of ['08a5019c-17e1-4977-8f42-65a12843ea02', ...hostileIds]) {
          expect(await kickOut({ session: sid })).toMatchObject({ sessionsEnded: 0 })
          expect(
            await store
              .revocations(issuer)
              .checkNow({ iss: issuer, aud: 'x', exp: 2e9, iat: 1, sub: 'anyone', sid }),
          ).toMatchObject({ revoked: true, level: 'session' })
        }
      })

      test('of a token leaves its session alone', async () => {
        const session = await start()
        const claims = claimsOf(session)
        expect(await kickOut({ token: { jti: claims.jti ?? '', subject } })).toMatchObject({
          sessionsEnded: 0,
        })
        const revocations = store.revocations(issuer)
        expect(await revocations.checkNow(claims)).toMatchObject({ revoked: true, level: 'token' })
        expect(await isAlive(session)).toBe(true)
        expect(await isRevoked(session)).toBe(false)
      })

      test('of a client ends its sessions, whichever users have them, and no others', async () => {
        const sessions = [
          await start({ clientId: 'leaked' }),
          await start({ clientId: 'leaked', subject: `${subject} too` }),
        ]
        const staying = [
          await start({ clientId: 'web' }),
          await start(),
          await start({ clientId: 'leaked', issuer: otherIssuer }),
        ]
        await kickOut({ client: 'leaked' })
        for (const session of sessions) {
          expect(await rotate(session, 0)).toEqual({ outcome: 'ended' })
          expect(await isAlive(session)).toBe(false)
          expect(await isRevoked(session)).toBe(true)
        }
        for (const session of staying) {
          expect(await rotate(session, 0)).toMatchObject({ outcome: 'rotated' })
          expect(await isRevoked(session)).toBe(false)
        }
        expect(await store.list(issuer, subject)).toHaveLength(2)
      })

      test('of everyone ends every session of that issuer and none of another', async () => {
        const sessions = [
          await start(),
          await start({ clientId: 'web', subject: `${subject} too` }),
        ]
        const staying = await start({ issuer: otherIssuer })
        await kickOut({ everyone: true })
        for (const session of sessions) {
          expect(await rotate(session, 0)).toEqual({ outcome: 'ended' })
          expect(await isAlive(session)).toBe(false)
          expect(await isRevoked(session)).toBe(true)
        }
        expect(await rotate(staying, 0)).toMatchObject({ outcome: 'rotated' })
        expect(await isRevoked(staying)).toBe(false)
      })

      test('of a client and of everyone spares sessions that begin later', async () => {
        await kickOut({ everyone: true })
        await kickOut({ client: 'web' })
        await elapse(under, 5)
        const session = await start({ clientId: 'web' })
        expect(await rotate(session, 0)).toMatchObject({ outcome: 'rotated' })
        expect(await isAlive(session)).toBe(true)
        expect(await store.list(issuer, subject)).toHaveLength(1)
      })

      test('A08 of 42 of one issuer does not touch 42 of another in the same store', async () => {
        const ours = await start({ subject: '42' })
        const theirs = await start({ subject: '42', issuer: otherIssuer })
        await kickOut({ subject: '42' }, otherIssuer)
        expect(await isAlive(ours)).toBe(true)
        expect(await isRevoked(ours)).toBe(false)
        expect(await isAlive(theirs)).toBe(false)
        expect(await isRevoked(theirs)).toBe(true)
      })

      test('A08 of a session under the name of another issuer does not end it', async () => {
        const session = await start()
        expect(await kickOut({ issuer: otherIssuer, session: session.sessionId })).toMatchObject({
          sessionsEnded: 0,
        })
        expect(await isAlive(session)).toBe(true)
        expect(await isRevoked(session)).toBe(false)
      })

      test('I01 keeps users with hostile ids apart, and every one of them can be kicked out', async () => {
        const sessions = new Map<string, SessionRecord>()
        for (const id of hostileIds) sessions.set(id, await start({ subject: id }))
        for (const [id, session] of sessions) {
          expect(await store.list(issuer, id)).toEqual([session])
        }
        const gone = new Set<string>()
        for (const [id] of [...sessions].filter((_, index) => index % 2 === 0)) {
          expect(await kickOut({ subject: id })).toMatchObject({ sessionsEnded: 1 })
          gone.add(id)
        }
        for (const [id, session] of sessions) {
          expect([id, await isAlive(session)]).toEqual([id, !gone.has(id)])
          expect([id, await isRevoked(session)]).toEqual([id, gone.has(id)])
        }
      })

      test('I02 does not confuse ids that read the same when joined', async () => {
        const a = await start({ issuer: 'https://a.example/b', subject: 'c' })
        const b = await start({ issuer: 'https://a.example/', subject: 'b:c' })
        const c = await start({ issuer: 'https://a.example', subject: '/b:c' })
        await kickOut({ subject: 'b:c' }, 'https://a.example/')
        expect([await isAlive(a), await isAlive(b), await isAlive(c)]).toEqual([true, false, true])
      })

      test('R6 leaves no survivor of a login that races it', async () => {
        for (let round = 0; round < 40; round++) {
          const racing = [start(), kickOut({ subject }), start()] as const
          const [first, , second] = await Promise.all(racing)
          for (const session of [first, second]) {
            // Before it or after it, but not half: a session that is refreshed has tokens that are accepted.
            const alive = await isAlive(session)
            expect(await isRevoked(session)).toBe(!alive)
            expect((await rotate(session, 0)).outcome).toBe(alive ? 'rotated' : 'ended')
          }
          await kickOut({ subject })
          expect(await store.list(issuer, subject)).toEqual([])
        }
      })

      test('R6 leaves no survivor of a refresh that races it', async () => {
        for (let round = 0; round < 40; round++) {
          const session = await start()
          const [before, , after] = await Promise.all([
            rotate(session, 0),
            kickOut({ subject }),
            rotate(session, 0),
          ])
          for (const outcome of [before, after]) {
            if ('counter' in outcome) expect(await isRevoked(outcome.session)).toBe(true)
            else expect(outcome).toEqual({ outcome: 'ended' })
          }
          for (const counter of [0, 1, 2]) {
            expect(await rotate(session, counter)).toEqual({ outcome: 'ended' })
          }
        }
      })
    })

    test('has one revocation state, however many issuers ask for it', async () => {
      const session = await start()
      await store.revocations(otherIssuer).kickOut({ issuer, session: session.sessionId })
      expect(await isRevoked(session)).toBe(true)
      expect(store.revocations(issuer).retentionSeconds).toBe(store.retentionSeconds)
    })

    test('is unavailable once it is closed', async () => {
      const closing = await source.create()
      others.push(closing)
      const session = newSession()
      await closing.store.start(session)
      const revocations = closing.store.revocations(issuer)
      await closing.store.close()
      const calls = [
        closing.store.start(newSession()),
        closing.store.rotate({
          sessionId: session.sessionId,
          counter: 0,
          clientId: undefined,
          scopes: undefined,
          graceMs: 0,
          lostAnswerMs: 0,
          idleTtlMs: 1,
        }),
        closing.store.find(session.sessionId),
        closing.store.list(issuer, subject),
        revocations.kickOut({ issuer, subject }),
      ]
      for (const outcome of await Promise.allSettled(calls)) {
        expect(outcome.status).toBe('rejected')
        expect(outcome.status === 'rejected' && isUnavailableError(outcome.reason)).toBe(true)
      }
    })
  })
}
