import { describe, expect, test } from '@jest/globals'
import { createMemoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { factsOf, type Guarded, makeGuarded } from '../support/guarded.ts'
import { issuer } from '../support/make-token.ts'

const hour = 3_600_000
const reasonOf = async (guarded: Guarded, token: string) => {
  const { error } = await guarded.ask(token)
  return error === undefined ? 'accepted' : factsOf(error).reason
}

describe('clocks (1.10)', () => {
  test.each([
    [0, 'accepted'],
    [4999, 'accepted'],
    [5000, 'expired'],
    [6000, 'expired'],
  ])('G01 a clock %d ms ahead of a token that just expired', async (ahead, expected) => {
    const guarded = makeGuarded()
    const token = guarded.token({ exp: guarded.clock.seconds })
    guarded.clock.setAhead(ahead)
    expect(await reasonOf(guarded, token)).toBe(expected)
  })
  test.each([
    [5000, 'accepted'],
    [5001, 'not_yet_valid'],
    [60_000, 'not_yet_valid'],
  ])('G01 G05 a clock %d ms behind the issuer’s', async (behind, expected) => {
    const guarded = makeGuarded()
    const token = guarded.token({ nbf: undefined })
    guarded.clock.setBack(behind)
    const { error } = await guarded.ask(token)
    expect(error === undefined ? 'accepted' : factsOf(error).reason).toBe(expected)
    if (error) expect((error as Error).message).toContain('clock of its issuer is ahead')
  })

  test('G02 a clock an hour ahead refuses, and all is well when it has returned', async () => {
    const guarded = makeGuarded()
    const token = guarded.token()
    guarded.clock.setAhead(hour)
    expect(await reasonOf(guarded, token)).toBe('expired')
    expect(await reasonOf(guarded, guarded.token())).toBe('accepted')
    guarded.clock.setBack(hour)
    expect(await reasonOf(guarded, token)).toBe('accepted')
  })

  test('G03 a clock an hour behind still refuses what was kicked out', async () => {
    const clock = new FakeClock()
    const revocations = createMemoryRevocations({ issuer }, { clock })
    const guarded = makeGuarded({ revocations }, { clock })
    const token = guarded.token({
      iat: clock.seconds - hour / 1000,
      exp: clock.seconds + 60 - hour / 1000,
    })
    for (const target of [{ session: 'sid-1' }, { token: { jti: 'x' } }])
      await revocations.kickOut(target)
    clock.setBack(hour)
    expect(await reasonOf(guarded, token)).toBe('revoked')
  })

  test('G04 the denylist counts on the monotonic clock: the wall clock empties it at no time', async () => {
    const clock = new FakeClock()
    const revocations = createMemoryRevocations({ issuer, retentionSeconds: 1000 }, { clock })
    await revocations.kickOut({ client: 'c' })
    const claims = { iss: issuer, aud: 'x', exp: 0, client_id: 'c' }
    for (const jump of [24 * hour, -48 * hour]) {
      clock.setAhead(jump)
      expect(revocations.check(claims)).toMatchObject({ revoked: true })
    }
    clock.advance(999_999)
    expect(revocations.check(claims)).toMatchObject({ revoked: true })
    clock.advance(1)
    expect(revocations.check(claims)).toEqual({ revoked: false })
  })

  test('G07 keys grow old by the monotonic clock, whatever the date says', async () => {
    const clock = new FakeClock()
    let broken = false
    const guarded = makeGuarded(
      {
        jwksUri: 'https://issuer.test/jwks',
        jwksCache: { maxAgeSeconds: 10, cooldownSeconds: 1, maxStaleSeconds: 100 },
      },
      {
        clock,
        fetch: async () => {
          if (broken) throw new Error('down')
          return Response.json({ keys: [guarded.signer.publicJwk] })
        },
      },
    )
    expect(await reasonOf(guarded, guarded.token())).toBe('accepted')
    broken = true
    clock.setAhead(24 * hour)
    expect(await reasonOf(guarded, guarded.token())).toBe('accepted')
    clock.setBack(48 * hour)
    expect(await reasonOf(guarded, guarded.token())).toBe('accepted')
    clock.advance(100_000)
    expect(await reasonOf(guarded, guarded.token())).toBe('accepted')
    clock.advance(1)
    expect(await reasonOf(guarded, guarded.token())).toBe('jwks')
    await guarded.guard.close()
  })
})
