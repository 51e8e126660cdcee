import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { AccessTokenClaims } from '../../src/auth.ts'
import { Denylist } from '../../src/revocation/denylist.ts'
import {
  isRevoked,
  type Revocation,
  revocationLevels,
  revokes,
} from '../../src/revocation/revocation.ts'
import { FakeClock } from '../support/fake-clock.ts'

const second = 1_767_225_600
const ids = fc.constantFrom('a', 'b', '')
const moments = fc.integer({ min: second * 1000 - 3000, max: second * 1000 + 3000 })

const revocations: fc.Arbitrary<Revocation> = fc
  .record({
    level: fc.constantFrom(...revocationLevels),
    id: ids,
    issuer: fc.constantFrom('i', 'j'),
    at: moments,
    version: moments,
  })
  .map(({ level, id, version, ...rest }) => ({
    ...rest,
    kickOutId: 'k',
    level,
    id: level === 'everyone' ? '' : id,
    until: rest.at + 1,
    ...(level === 'subject' && { version }),
  }))
const tokens: fc.Arbitrary<AccessTokenClaims> = fc.record(
  {
    iss: fc.constantFrom('i', 'j', 'k'),
    aud: fc.constant('x'),
    exp: fc.constant(second + 600),
    iat: fc.integer({ min: second - 4, max: second + 4 }),
    sub: ids,
    jti: ids,
    sid: ids,
    client_id: ids,
    azp: ids,
    cid: ids,
    session_version: moments,
  },
  { requiredKeys: ['iss', 'aud', 'exp', 'iat'] },
)

/** What the contract says, word by word and without any index. */
function naiveVerdict(token: AccessTokenClaims, all: readonly Revocation[]): boolean {
  return all.some(({ issuer, level, id, at, version }) => {
    if (issuer !== token.iss) return false
    const old = token.iat !== undefined && token.iat <= Math.floor(at / 1000)
    if (level === 'everyone') return old
    if (level === 'token') return token.jti === id
    if (level === 'session') return token.sid === id
    if (level === 'client') return [token.client_id, token.azp, token.cid].includes(id) && old
    const own = token.session_version
    const isOurs = own !== undefined && own >= 1e12 && own <= Date.UTC(2026, 0, 1) + 5000
    return token.sub === id && (isOurs ? own < version! : old)
  })
}

describe('Denylist', () => {
  test('says what a naive list of all revocations says, in any order, repeated or not', () => {
    fc.assert(
      fc.property(
        fc.array(revocations, { maxLength: 12 }),
        tokens,
        fc.infiniteStream(fc.nat()),
        (all, token, picks) => {
          const clock = new FakeClock()
          const inOrder = new Denylist(clock)
          for (const each of all) inOrder.apply(each, 1000)
          const shuffled = new Denylist(clock)
          const rest = [...all, ...all]
          while (rest.length > 0) {
            const [each] = rest.splice((picks.next().value as number) % rest.length, 1)
            shuffled.apply(each!, 1000)
          }
          const expected = naiveVerdict(token, all)
          expect(isRevoked(token, inOrder, clock).revoked).toBe(expected)
          expect(isRevoked(token, shuffled, clock).revoked).toBe(expected)
          expect(all.some((each) => revokes(each, token, clock))).toBe(expected)
          expect(shuffled.size).toBe(inOrder.size)
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('forgets nothing before its time, whatever comes and goes around it', () => {
    const steps = fc.array(
      fc.tuple(revocations, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 20 })),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(steps, (all) => {
        const clock = new FakeClock()
        const denylist = new Denylist(clock)
        const live = new Map<string, { revocation: Revocation; until: number }>()
        for (const [revocation, remainingMs, wait] of all) {
          denylist.apply(revocation, remainingMs)
          const key = JSON.stringify([revocation.issuer, revocation.level, revocation.id])
          const until = Math.max(clock.monotonic() + remainingMs, live.get(key)?.until ?? 0)
          live.set(key, { revocation, until })
          clock.advance(wait)
          for (const { revocation: held, until: end } of live.values()) {
            const fact = denylist.of(held.issuer)?.get(held.level, held.id)
            expect(fact !== undefined).toBe(end > clock.monotonic())
            if (fact) expect(fact.at).toBeGreaterThanOrEqual(held.at)
          }
        }
        clock.advance(100)
        denylist.sweep()
        expect(denylist.size).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  const one: Revocation = {
    kickOutId: 'k',
    issuer: 'i',
    level: 'session',
    id: 's',
    at: 5,
    until: 6,
    reason: 'r',
  }
  test('tells what changed from what was in force already', () => {
    const denylist = new Denylist(new FakeClock())
    expect(denylist.apply(one, 0)).toBe(false)
    expect(denylist.apply(one, NaN)).toBe(false)
    expect(denylist.size).toBe(0)
    expect(denylist.apply(one, 10)).toBe(true)
    expect(denylist.apply(one, 10)).toBe(false)
    expect(denylist.apply({ ...one, at: 4 }, 10)).toBe(false)
    expect(denylist.apply({ ...one, at: 6 }, 10)).toBe(true)
    expect(denylist.of('i')?.get('session', 's')).toEqual({ at: 6, reason: 'r' })
  })
  test('a shorter time never shortens a longer one', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    denylist.apply(one, 1000)
    denylist.apply(one, 1)
    clock.advance(999)
    expect(denylist.of('i')?.get('session', 's')).toBeDefined()
    clock.advance(1)
    expect(denylist.of('i')?.get('session', 's')).toBeUndefined()
  })
  test('stays small while entries come and go, and grows as far as it must', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    for (let index = 0; index < 10_000; index++) {
      denylist.apply({ ...one, id: `s${index}` }, 100)
      clock.advance(1)
    }
    expect(denylist.size).toBeLessThan(250)
    for (let index = 0; index < 1000; index++) denylist.apply({ ...one, id: `t${index}` }, 1e6)
    for (let index = 0; index < 1000; index++) {
      expect(denylist.of('i')?.get('session', `t${index}`)).toBeDefined()
    }
  })
  test('keeps the highest version and the latest moment, whichever comes first', () => {
    const user: Revocation = { ...one, level: 'subject', id: 'u', at: 5, version: 10 }
    const denylist = new Denylist(new FakeClock())
    expect(denylist.apply(user, 10)).toBe(true)
    expect(denylist.apply({ ...user, at: 4, version: 12 }, 10)).toBe(true)
    expect(denylist.of('i')?.get('subject', 'u')).toEqual({ at: 5, version: 12, reason: 'r' })
    expect(denylist.apply({ ...user, version: 12 }, 10)).toBe(false)
    expect(denylist.apply({ ...user, version: 11 }, 10)).toBe(false)
    expect(denylist.apply({ ...user, at: 6, version: 11 }, 10)).toBe(true)
    expect(denylist.of('i')?.get('subject', 'u')).toEqual({ at: 6, version: 12, reason: 'r' })
  })
  test('gives the reason of the latest moment, and none where that has none', () => {
    const denylist = new Denylist(new FakeClock())
    denylist.apply(one, 10)
    denylist.apply({ ...one, at: 4, reason: 'earlier' }, 10)
    expect(denylist.of('i')?.get('session', 's')).toStrictEqual({ at: 5, reason: 'r' })
    const { reason: _none, ...without } = one
    denylist.apply({ ...without, at: 6 }, 10)
    expect(denylist.of('i')?.get('session', 's')).toStrictEqual({ at: 6 })
  })
  test('lets go of an entry at its very moment', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    denylist.apply(one, 10)
    clock.advance(9)
    denylist.sweep()
    expect([...denylist.unseen(clock.monotonic())]).toHaveLength(1)
    expect(denylist.size).toBe(1)
    clock.advance(1)
    expect([...denylist.unseen(clock.monotonic())]).toEqual([])
    denylist.sweep()
    expect(denylist.size).toBe(0)
  })
  test('looks at four entries with each write, however many have expired', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    for (let index = 0; index < 1000; index++) denylist.apply({ ...one, id: `s${index}` }, 10)
    clock.advance(10)
    denylist.apply({ ...one, id: 'next' }, 10)
    expect(denylist.size).toBe(1000 - 4 + 1)
  })
  test('reaches the expired entries behind those that stay', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    for (let index = 0; index < 20; index++) denylist.apply({ ...one, id: `long${index}` }, 1e6)
    for (let index = 0; index < 1000; index++) {
      denylist.apply({ ...one, id: `s${index}` }, 10)
      clock.advance(1)
    }
    expect(denylist.size).toBeLessThan(100)
  })
  test('tidies all of it, or a part where that would take long', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    const fill = (count: number) => {
      for (let index = 0; index < count; index++) denylist.apply({ ...one, id: `s${index}` }, 10)
    }
    fill(10_000)
    clock.advance(10)
    denylist.tidy()
    expect(denylist.size).toBe(0)
    fill(30_000)
    clock.advance(10)
    denylist.tidy()
    expect(denylist.size).toBe(20_000)
  })
  test('lets go of the event loop while it looks for what is unconfirmed among many', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    for (let index = 0; index < 5000; index++) denylist.apply({ ...one, id: `s${index}` }, 1000)
    expect([...denylist.unseen(clock.monotonic())]).toEqual(Array(4).fill(undefined))
  })
  test('tells what the store has not confirmed since a moment', () => {
    const clock = new FakeClock()
    const denylist = new Denylist(clock)
    for (const id of ['a', 'b', 'c']) denylist.apply({ ...one, id }, id === 'c' ? 10 : 1000)
    denylist.apply({ ...one, id: 'd' }, 1000, false)
    const namesSince = (moment: number) =>
      [...denylist.unseen(moment)].map((entry) => [entry?.revocation.id, entry?.remainingMs])
    expect(namesSince(clock.monotonic())).toEqual([['d', 1000]])
    clock.advance(10)
    const moment = clock.monotonic()
    denylist.apply({ ...one, id: 'a' }, 1000)
    denylist.apply({ ...one, id: 'b' }, 500, false)
    expect(namesSince(moment)).toEqual([
      ['b', 990],
      ['d', 990],
    ])
  })
})
