import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { AccessTokenClaims } from '../../src/auth.ts'
import { isUnavailableError } from '../../src/errors.ts'
import type { Revocation } from '../../src/revocation/revocation.ts'
import type { AuditedRevocations, KickOutResult } from '../../src/revocation/revocations.ts'
import type { KickOutTarget } from '../../src/revocation/target.ts'
import { waitUntil } from '../support/wait.ts'
import { elapse, hostileIds, type PassingTime } from './passing-time.ts'

export interface RevocationsUnderTest extends PassingTime {
  readonly revocations: AuditedRevocations
  close(): Promise<void>
}

export interface RevocationsSource {
  /** Revocations of their own, that share nothing with those of other tests, ready to answer. */
  create(options?: { issuer?: string; retentionSeconds?: number }): Promise<RevocationsUnderTest>
  readonly hasFakeClock: boolean
}

const issuer = 'https://login.example.com'
const otherIssuer = 'https://login.example.org'

/** One target for each level, and claims that it puts out when they were issued at or before it. */
const levels = {
  token: { target: { token: { jti: 'jti-1' } }, claims: { jti: 'jti-1' } },
  session: { target: { session: 'sid-1' }, claims: { sid: 'sid-1' } },
  subject: { target: { subject: 'sub-1' }, claims: { sub: 'sub-1' } },
  client: { target: { client: 'client-1' }, claims: { client_id: 'client-1' } },
  everyone: { target: { everyone: true }, claims: {} },
} as const satisfies Record<string, { target: KickOutTarget; claims: object }>

const levelNames = Object.keys(levels) as (keyof typeof levels)[]

/** What is no target, and the field that the error names. */
const badTargets: [unknown, RegExp][] = [
  [undefined, /target/],
  [null, /target/],
  ['u1', /target/],
  [[], /target/],
  [{}, /target/],
  [{ issuer }, /target/],
  [{ subject: '' }, /"subject"/],
  [{ subject: 42 }, /"subject"/],
  [{ subject: ['u1'] }, /"subject"/],
  [{ subject: { $ne: null } }, /"subject"/],
  [{ subject: null }, /"subject"/],
  [{ subject: true }, /"subject"/],
  [{ subject: 'x'.repeat(256) }, /"subject"/],
  [{ subject: '\ud800' }, /"subject"/],
  [{ session: '' }, /"session"/],
  [{ session: 0 }, /"session"/],
  [{ client: '' }, /"client"/],
  [{ token: 'jti' }, /"token"/],
  [{ token: {} }, /"token.jti"/],
  [{ token: { jti: '' } }, /"token.jti"/],
  [{ token: { jti: 'a', subject: '' } }, /"token.subject"/],
  [{ token: { jti: 'a', exp: 'soon' } }, /"token.exp"/],
  [{ token: { jti: 'a', exp: Number.POSITIVE_INFINITY } }, /"token.exp"/],
  [{ token: { jti: 'a', sub: 'u1' } }, /"token.sub"/],
  [{ everyone: false }, /"everyone"/],
  [{ everyone: 1 }, /"everyone"/],
  [{ everyone: 'true' }, /"everyone"/],
  [{ subject: 'u1', session: 's1' }, /"session", "subject"/],
  [{ subject: 'u1', everyone: true }, /"subject", "everyone"/],
  [{ subject: 'u1', issuer: '' }, /"issuer"/],
  [{ subject: 'u1', issuer: 7 }, /"issuer"/],
  [{ sub: 'u1' }, /"sub"/],
]

/** What every implementation of `Revocations` does, whatever it is made of. */
export function describeRevocations(name: string, source: RevocationsSource): void {
  describe(`${name} as revocations`, () => {
    let under: RevocationsUnderTest
    let revocations: AuditedRevocations
    const others: RevocationsUnderTest[] = []

    beforeEach(async () => {
      under = await source.create({ issuer })
      revocations = under.revocations
    })

    afterEach(async () => {
      await under.close()
      await Promise.all(others.splice(0).map(async ({ close }) => close()))
    })

    async function another(
      options: Parameters<RevocationsSource['create']>[0],
    ): Promise<RevocationsUnderTest> {
      const made = await source.create(options)
      others.push(made)
      return made
    }

    async function kickOut(target: KickOutTarget, reason?: string): Promise<KickOutResult> {
      return revocations.kickOut(target, {
        confirmTimeoutMs: 0,
        ...(reason !== undefined && { reason }),
      })
    }

    function claimsOf(claims: Partial<AccessTokenClaims>): AccessTokenClaims {
      return { iss: issuer, aud: 'https://api.example.com', exp: 4e9, iat: 1_000, ...claims }
    }

    /** Both ways of asking, which must agree. */
    async function verdictOn(claims: Partial<AccessTokenClaims>): Promise<unknown> {
      const verdict = await revocations.check(claimsOf(claims))
      expect(await revocations.checkNow(claimsOf(claims))).toEqual(verdict)
      return verdict
    }

    async function isRevoked(claims: Partial<AccessTokenClaims>): Promise<boolean> {
      return ((await verdictOn(claims)) as { revoked: boolean }).revoked
    }

    describe('levels', () => {
      test('revoke nothing until a user is kicked out', async () => {
        for (const level of levelNames) expect(await isRevoked(levels[level].claims)).toBe(false)
      })

      test.each(levelNames)('%s puts out what it names, at once, and says so', async (level) => {
        const { target, claims } = levels[level]
        const { at } = await kickOut(target, 'stolen laptop')
        expect(await verdictOn(claims)).toEqual({
          revoked: true,
          level,
          at,
          reason: 'stolen laptop',
        })
      })

      test.each(levelNames.filter((level) => level !== 'everyone'))(
        '%s leaves everybody else in',
        async (level) => {
          await kickOut(levels[level].target)
          const [name] = Object.keys(levels[level].claims) as [string]
          expect(await isRevoked({ [name]: 'somebody-else' })).toBe(false)
          expect(await isRevoked({})).toBe(false)
        },
      )

      test.each(levelNames)('%s of one issuer leaves another issuer alone', async (level) => {
        const { target, claims } = levels[level]
        await kickOut({ ...target, issuer: otherIssuer })
        expect(await isRevoked(claims)).toBe(false)
        expect(await isRevoked({ ...claims, iss: otherIssuer })).toBe(true)
      })

      test('R8 each suffices, whichever of the others was kicked out before or after', async () => {
        const everything = Object.assign({}, ...levelNames.map((level) => levels[level].claims))
        for (const first of levelNames) {
          for (const second of levelNames) {
            const { revocations: fresh } = await another({ issuer })
            for (const level of [first, second]) {
              await fresh.kickOut(levels[level].target, { confirmTimeoutMs: 0 })
              const verdict = await fresh.check(claimsOf(everything))
              expect([first, second, verdict.revoked]).toEqual([first, second, true])
              expect((await fresh.check(claimsOf(levels[first].claims))).revoked).toBe(true)
            }
            expect((await fresh.check(claimsOf(levels[second].claims))).revoked).toBe(true)
          }
        }
      })

      test('a client is out by whichever of client_id, azp, cid and appid names it', async () => {
        await kickOut({ client: 'client-1' })
        for (const name of ['client_id', 'azp', 'cid', 'appid']) {
          expect(await isRevoked({ [name]: 'client-1' })).toBe(true)
          expect(await isRevoked({ client_id: 'client-2', [name]: 'client-1' })).toBe(true)
          expect(await isRevoked({ client_id: 'client-2', [name]: 'client-2' })).toBe(false)
        }
      })

      test('a session_version that cannot be ours counts as absent: the iat decides', async () => {
        const { at } = await kickOut({ subject: 'sub-1' })
        const second = Math.floor(at / 1000)
        for (const session_version of [9e15, 1, 2, at + 60_000, at + 0.5]) {
          expect(await isRevoked({ sub: 'sub-1', session_version, iat: second })).toBe(true)
          expect(await isRevoked({ sub: 'sub-1', session_version, iat: second + 1 })).toBe(false)
        }
      })

      test('token and session put out tokens of any age, future ones too', async () => {
        await kickOut(levels.token.target)
        await kickOut(levels.session.target)
        expect(await isRevoked({ jti: 'jti-1', iat: 4e9 })).toBe(true)
        expect(await isRevoked({ sid: 'sid-1', iat: 4e9, session_version: 4e15 })).toBe(true)
      })
    })

    describe('moments', () => {
      test.each(['subject', 'client', 'everyone'] as const)(
        'R7 %s: a token without a version is out up to the second of the kick-out, and in from the next',
        async (level) => {
          const { target, claims } = levels[level]
          const { at } = await kickOut(target)
          const second = Math.floor(at / 1000)
          expect(await isRevoked({ ...claims, iat: second - 1 })).toBe(true)
          expect(await isRevoked({ ...claims, iat: second })).toBe(true)
          expect(await isRevoked({ ...claims, iat: second + 1 })).toBe(false)
        },
      )

      test('a token without iat is out', async () => {
        await kickOut({ subject: 'sub-1' })
        const { iat: _iat, ...timeless } = claimsOf({ sub: 'sub-1' })
        expect(await revocations.check(timeless)).toMatchObject({ revoked: true })
      })

      test('of a user, the version decides where the token has one, whatever its iat', async () => {
        const { at } = await kickOut({ subject: 'sub-1' })
        const { version } = lastOf(await revisionsOf(async () => kickOut({ subject: 'sub-1' })))
        expect(version).toBeGreaterThan(at)
        const later = Math.floor(at / 1000) + 60
        expect(await isRevoked({ sub: 'sub-1', session_version: version - 1, iat: later })).toBe(
          true,
        )
        expect(await isRevoked({ sub: 'sub-1', session_version: version, iat: 1_000 })).toBe(false)
      })

      test('R9 a kick-out never lowers the version, and always raises it', async () => {
        const revisions = await revisionsOf(async () => {
          for (let round = 0; round < 5; round++) await kickOut({ subject: 'sub-1' })
          await Promise.all(Array.from({ length: 50 }, async () => kickOut({ subject: 'sub-1' })))
        })
        const versions = revisions.map(({ version }) => version)
        expect(versions).toHaveLength(55)
        expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
      })

      test('of a client and of everyone keep the later one of two', async () => {
        await kickOut({ client: 'client-1' })
        await elapse(under, 1_100)
        const { at } = await kickOut({ client: 'client-1' })
        expect(await isRevoked({ client_id: 'client-1', iat: Math.floor(at / 1000) })).toBe(true)
      })

      test.each(['subject', 'client', 'everyone'] as const)(
        '%s: a moment that is past puts out what is older, and leaves in what is newer',
        async (level) => {
          const { target, claims } = levels[level]
          const now = await storeNow()
          const at = now - 60_000
          expect((await revocations.kickOut({ issuer, ...target }, { at })).at).toBe(at)
          const second = Math.floor(at / 1000)
          expect(await isRevoked({ ...claims, iat: second })).toBe(true)
          expect(await isRevoked({ ...claims, iat: second + 1 })).toBe(false)
          if (level !== 'subject') return
          expect(await isRevoked({ ...claims, session_version: at })).toBe(true)
          expect(await isRevoked({ ...claims, session_version: at + 1 })).toBe(false)
        },
      )

      test('a past moment takes nothing back from a later kick-out', async () => {
        const { at } = await kickOut({ subject: 'sub-1' })
        await revocations.kickOut({ issuer, subject: 'sub-1' }, { at: at - 60_000 })
        expect(await isRevoked({ sub: 'sub-1', session_version: at })).toBe(true)
        expect(await isRevoked({ sub: 'sub-1', iat: Math.floor(at / 1000) })).toBe(true)
      })

      test.each([
        ['in the future', (now: number) => now + 60_000, /"at" must .* not in the future/],
        [
          'older than kick-outs are kept',
          (now: number) => now - 90_060_000,
          /"at" must not be lon/,
        ],
        ['no number', () => '2026' as unknown as number, /"at" must be a number/],
        ['not finite', () => Number.NaN, /"at" must be a number/],
        ['in seconds', (now: number) => now / 1000, /"at" must not be longer ago/],
      ])('a moment that is %s is a TypeError, and nothing happens', async (_name, of, message) => {
        const attempt = async () =>
          revocations.kickOut({ issuer, subject: 'sub-1' }, { at: of(await storeNow()) })
        await expect(attempt()).rejects.toThrow(TypeError)
        await expect(attempt()).rejects.toThrow(message)
        expect(await isRevoked({ sub: 'sub-1' })).toBe(false)
      })

      /** The clock of the store, as a kick-out of another user shows it. */
      async function storeNow(): Promise<number> {
        return (await kickOut({ session: 'somebody-else' })).at
      }

      /** The revocations that came into force meanwhile. */
      async function revisionsOf(
        act: () => Promise<unknown>,
      ): Promise<(Revocation & { version: number })[]> {
        const heard: Revocation[] = []
        const stop = revocations.onKickOut((revocation) => heard.push(revocation))
        await act()
        stop()
        return heard.map((revocation) => ({ ...revocation, version: revocation.version ?? 0 }))
      }

      function lastOf<Item>(items: Item[]): Item {
        const last = items.at(-1)
        if (last === undefined) throw new Error('Nothing came into force')
        return last
      }
    })

    describe('targets', () => {
      test.each(badTargets)('A02 refuses %j and kicks out no one', async (target, message) => {
        const attempt = kickOut(target as KickOutTarget)
        await expect(attempt).rejects.toThrow(TypeError)
        await expect(kickOut(target as KickOutTarget)).rejects.toThrow(message)
        expect((await revocations.listKickOuts({ limit: 10 })).kickOuts).toEqual([])
        expect(await isRevoked({ sub: 'u1', sid: 's1', client_id: '' })).toBe(false)
      })

      test('need an issuer where the revocations were made without one', async () => {
        const { revocations: nameless } = await another({})
        await expect(nameless.kickOut({ subject: '42' })).rejects.toThrow(TypeError)
        await expect(nameless.kickOut({ subject: '42' })).rejects.toThrow(/"issuer"/)
        await nameless.kickOut({ subject: '42', issuer }, { confirmTimeoutMs: 0 })
        expect(await nameless.check(claimsOf({ sub: '42' }))).toMatchObject({ revoked: true })
      })

      test('I01 keep hostile ids apart, at every level that has ids', async () => {
        const gone = hostileIds.filter((_, index) => index % 2 === 0)
        for (const id of gone) {
          await kickOut({ subject: id })
          await kickOut({ session: id })
          await kickOut({ client: id })
          await kickOut({ token: { jti: id } })
        }
        for (const id of hostileIds) {
          const expected = [id, gone.includes(id)]
          expect([id, await isRevoked({ sub: id })]).toEqual(expected)
          expect([id, await isRevoked({ sid: id })]).toEqual(expected)
          expect([id, await isRevoked({ client_id: id })]).toEqual(expected)
          expect([id, await isRevoked({ jti: id })]).toEqual(expected)
        }
      })

      test('take a reason of any length, and cut it', async () => {
        await kickOut({ subject: 'sub-1' }, '🙂'.repeat(200))
        const [record] = (await revocations.listKickOuts({ limit: 1 })).kickOuts
        expect(record?.reason?.length).toBeLessThanOrEqual(255)
        expect(record?.reason?.isWellFormed()).toBe(true)
      })
    })

    describe('repeating', () => {
      test.each(levelNames)('%s is safe to repeat', async (level) => {
        const { target, claims } = levels[level]
        const first = await kickOut(target)
        const second = await kickOut(target)
        // What is out already is not written again.
        expect(second.id === first.id).toBe(level === 'token' || level === 'session')
        expect(second.at).toBeGreaterThanOrEqual(first.at)
        expect(await isRevoked(claims)).toBe(true)
      })

      test('holds when 50 kick-outs of one session come at once', async () => {
        const results = await Promise.all(
          Array.from({ length: 50 }, async () => kickOut({ session: 'sid-1' })),
        )
        expect(new Set(results.map(({ id }) => id)).size).toBe(1)
        expect(await isRevoked({ sid: 'sid-1' })).toBe(true)
      })
    })

    test('tells who was kicked out when, on how many servers, and how long it took', async () => {
      const result = await kickOut({ subject: 'sub-1' })
      expect(result).toEqual({
        id: expect.stringMatching(/^.{8,64}$/),
        at: expect.any(Number),
        servers: expect.any(Number),
        confirmed: expect.any(Number),
        unconfirmed: expect.any(Array),
        elapsedMs: expect.any(Number),
        sessionsEnded: 0,
      })
      expect(result.confirmed).toBeLessThanOrEqual(result.servers)
      expect(result.elapsedMs).toBeGreaterThanOrEqual(0)
    })

    test('tells which servers have it while it waits, whatever the listener throws', async () => {
      const told: { confirmed: readonly string[]; unconfirmed: readonly string[] }[] = []
      const result = await revocations.kickOut(
        { subject: 'sub-1' },
        {
          onProgress(progress) {
            told.push(progress)
            throw new Error('a listener of the application')
          },
        },
      )
      const [server] = await revocations.listServers()
      expect(result).toMatchObject({ servers: 1, confirmed: 1 })
      expect(told.at(-1)).toEqual({ confirmed: [server?.serverId], unconfirmed: [] })
      expect(new Set(told.map((progress) => JSON.stringify(progress))).size).toBe(told.length)
      const wrong = revocations.kickOut({ subject: 'x' }, { onProgress: 'me' as never })
      await expect(wrong).rejects.toThrow(/"onProgress" must be a function/)
    })

    describe('onKickOut', () => {
      test('hears of each kick-out that changes something, before kickOut resolves', async () => {
        const heard: Revocation[] = []
        revocations.onKickOut((revocation) => heard.push(revocation))
        for (const level of levelNames) {
          const { id } = await kickOut(levels[level].target, 'why')
          expect(heard.at(-1)).toMatchObject({ kickOutId: id, issuer, level, reason: 'why' })
        }
        expect(heard).toHaveLength(levelNames.length)
        expect(heard.map(({ id }) => id)).toEqual(['jti-1', 'sid-1', 'sub-1', 'client-1', ''])
      })

      test('finds the kick-out in force when it hears of it', async () => {
        const found: boolean[] = []
        revocations.onKickOut(() => {
          const verdict = revocations.check(claimsOf({ sub: 'sub-1' }))
          if (!(verdict instanceof Promise)) found.push(verdict.revoked)
        })
        await kickOut({ subject: 'sub-1' })
        expect(found.every((revoked) => revoked)).toBe(true)
      })

      test('stops when told to, and one failing listener does not affect the others', async () => {
        const heard: string[] = []
        revocations.onKickOut(() => {
          throw new Error('of the listener')
        })
        const stop = revocations.onKickOut(({ id }) => heard.push(id))
        await kickOut({ subject: 'a' })
        stop()
        await kickOut({ subject: 'b' })
        expect(heard).toEqual(['a'])
        expect(await isRevoked({ sub: 'b' })).toBe(true)
      })
    })

    describe('listKickOuts', () => {
      test('A06 has the newest first, who did it and why, and no token', async () => {
        await kickOut({ subject: 'a' })
        await elapse(under, 2)
        const { id, at } = await revocations.kickOut(
          { session: 'b' },
          { by: 'the admin', reason: 'left the company', confirmTimeoutMs: 0 },
        )
        await elapse(under, 2)
        await kickOut({ everyone: true, issuer: otherIssuer })
        const records = (await revocations.listKickOuts({ limit: 10 })).kickOuts
        expect(records.map(({ target }) => target)).toEqual(['', 'b', 'a'])
        expect(records[1]).toEqual({
          id,
          at,
          by: 'the admin',
          issuer,
          level: 'session',
          target: 'b',
          reason: 'left the company',
        })
        expect(records[0]).toMatchObject({ issuer: otherIssuer, level: 'everyone' })
      })

      test('gives as many as are asked for', async () => {
        for (const subject of ['a', 'b', 'c', 'd']) {
          await kickOut({ subject })
          await elapse(under, 2)
        }
        const listed = async (limit: number) =>
          (await revocations.listKickOuts({ limit: limit })).kickOuts.map(({ target }) => target)
        expect(await listed(1)).toEqual(['d'])
        expect(await listed(3)).toEqual(['d', 'c', 'b'])
        expect(await listed(1000)).toEqual(['d', 'c', 'b', 'a'])
      })
    })

    test('listServers knows this process', async () => {
      const nodes = await waitUntil(
        async () => {
          const listed = await revocations.listServers()
          return listed.length > 0 && listed
        },
        { what: 'a node' },
      )
      expect(nodes).toHaveLength(1)
      expect(nodes[0]).toEqual({
        serverId: expect.stringMatching(/./),
        state: 'live',
        stalenessMs: expect.any(Number),
        applied: expect.any(Number),
      })
    })

    test('forgets a revocation when it is past its retention, and not before', async () => {
      const retentionSeconds = source.hasFakeClock ? 60 : 2
      const short = await another({ issuer, retentionSeconds })
      expect(short.revocations.retentionSeconds).toBe(retentionSeconds)
      await short.revocations.kickOut({ session: 'sid-1' }, { confirmTimeoutMs: 0 })
      const verdict = async () =>
        (await short.revocations.check(claimsOf({ sid: 'sid-1' }))).revoked
      expect(short.revocations.status().entries).toBe(1)
      await elapse(short, retentionSeconds * 500)
      expect(await verdict()).toBe(true)
      await elapse(short, retentionSeconds * 625 + 1)
      await waitUntil(async () => !(await verdict()), {
        what: 'the revocation to be forgotten',
        timeoutMs: 10_000,
      })
      expect((await short.revocations.listKickOuts({ limit: 10 })).kickOuts).toEqual([])
      expect(short.revocations.status().entries).toBe(0)
    })

    if (source.hasFakeClock) {
      test('S8 keeps a token past the exp that was named, by twice the largest tolerance of a guard', async () => {
        const { at } = await kickOut({ subject: 'x' })
        const exp = Math.floor(at / 1000) + 60
        await kickOut({ token: { jti: 'jti-1', exp } })
        await elapse(under, 60_000 + 1_199_000)
        expect(await isRevoked({ jti: 'jti-1' })).toBe(true)
        await elapse(under, 2_000)
        expect(await isRevoked({ jti: 'jti-1' })).toBe(false)
      })

      test('keeps a token whose named exp is past for the whole retention', async () => {
        await kickOut({ token: { jti: 'jti-1', exp: 1 } })
        await elapse(under, revocations.retentionSeconds * 1000 - 1)
        expect(await isRevoked({ jti: 'jti-1' })).toBe(true)
      })
    }

    test('is live when ready, and unavailable once closed', async () => {
      const closing = await another({ issuer })
      await closing.revocations.ready()
      expect(closing.revocations.status()).toEqual({
        state: 'live',
        stalenessMs: expect.any(Number),
        entries: 0,
      })
      await closing.revocations.close()
      expect(closing.revocations.status().state).toBe('closed')
      const calls = [
        async () => closing.revocations.check(claimsOf({})),
        async () => closing.revocations.checkNow(claimsOf({})),
        async () => closing.revocations.kickOut({ subject: 'a' }),
        async () => closing.revocations.ready(),
      ]
      for (const call of calls) {
        const error: unknown = await call().then(
          () => undefined,
          (reason: unknown) => reason,
        )
        expect(isUnavailableError(error)).toBe(true)
      }
    })
  })
}
