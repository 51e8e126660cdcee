import { describe, expect, test } from '@jest/globals'
import { requireAuthContext } from '../../src/guard/auth-context.ts'
import { bearer, factsOf, makeGuarded, run } from '../support/guarded.ts'

const refusal = (reason: string) => ({
  status: 401,
  code: 'insufficient_user_authentication',
  reason,
})

/** What the guard says to a token whose claims are as given. */
async function ask(
  options: Parameters<typeof requireAuthContext>[0],
  claims: (nowSeconds: number) => object,
  elapsedMs = 0,
) {
  const guarded = makeGuarded({ clockToleranceSeconds: 5, resourceMetadataUrl: 'https://m.test' })
  const token = guarded.token(claims(guarded.clock.seconds))
  guarded.clock.advance(elapsedMs)
  const outcome = await run([guarded.guard, requireAuthContext(options)], bearer(token))
  return { ...outcome, events: guarded.events }
}

describe('acr', () => {
  test('one of those that are named is enough', async () => {
    for (const acr of ['gold', 'silver']) {
      expect((await ask({ acr: ['gold', 'silver'] }, () => ({ acr }))).error).toBeUndefined()
    }
    expect((await ask({ acr: 'gold' }, () => ({ acr: 'gold' }))).error).toBeUndefined()
  })
  test.each(['bronze', 'gold silver', 'Gold', '', undefined, ['gold'], { gold: true }, null])(
    '%j is not',
    async (acr) => {
      const { error, headers, events } = await ask({ acr: ['gold', 'silver'] }, () => ({ acr }))
      expect(factsOf(error)).toEqual(refusal('acr'))
      expect(headers['WWW-Authenticate']).toBe(
        'Bearer realm="api", error="insufficient_user_authentication", ' +
          'error_description="The user must sign in again, or in a stronger way", ' +
          'acr_values="gold silver", resource_metadata="https://m.test"',
      )
      expect(events.at(-1)).toMatchObject({
        type: 'auth.rejected',
        code: 'insufficient_user_authentication',
        reason: 'acr',
      })
    },
  )
})

describe('the age of the sign-in', () => {
  test('counts to the millisecond, the tolerance included', async () => {
    const atNow = (now: number) => ({ auth_time: now })
    expect((await ask({ maxAgeSeconds: 60 }, atNow, 65_000)).error).toBeUndefined()
    expect(factsOf((await ask({ maxAgeSeconds: 60 }, atNow, 65_001)).error)).toEqual(
      refusal('auth_age'),
    )
    expect((await ask({ maxAgeSeconds: 0 }, atNow, 5_000)).error).toBeUndefined()
    expect((await ask({ maxAgeSeconds: 0 }, atNow, 5_001)).error).toBeDefined()
  })
  test('a sign-in that is still to come is none, beyond the tolerance', async () => {
    const at = (seconds: number) => (now: number) => ({ auth_time: now + seconds })
    expect((await ask({ maxAgeSeconds: 60 }, at(5))).error).toBeUndefined()
    expect(factsOf((await ask({ maxAgeSeconds: 60 }, at(6))).error)).toEqual(refusal('auth_age'))
    expect(factsOf((await ask({ maxAgeSeconds: 60 }, (now) => ({ auth_time: now * 1000 }))).error))
      .toEqual(refusal('auth_age')) // prettier-ignore
  })
  test.each([undefined, null, '1700000000', [1], true])('%j is not recent', async (authTime) => {
    const { error, headers } = await ask({ maxAgeSeconds: 300 }, () => ({ auth_time: authTime }))
    expect(factsOf(error)).toEqual(refusal('auth_age'))
    expect(headers['WWW-Authenticate']).toContain('max_age="300"')
    expect(headers['WWW-Authenticate']).not.toContain('acr_values')
  })
})

test('both have to be satisfied, and the challenge names both', async () => {
  const both = { acr: 'gold', maxAgeSeconds: 300 }
  expect((await ask(both, (now) => ({ acr: 'gold', auth_time: now }))).error).toBeUndefined()
  for (const claims of [(now: number) => ({ auth_time: now }), () => ({ acr: 'gold' })]) {
    const { headers } = await ask(both, claims)
    expect(headers['WWW-Authenticate']).toContain('acr_values="gold", max_age="300"')
  }
})
test('without a token it is the 401 of a missing token', async () => {
  const guarded = makeGuarded({ credentials: 'optional' })
  const { error, headers } = await run([guarded.guard, requireAuthContext({ acr: 'gold' })])
  expect(factsOf(error)).toEqual({ status: 401, code: 'missing_token', reason: 'missing' })
  expect(headers['WWW-Authenticate']).toBe('Bearer realm="api"')
})
test('without a requireAuth in front it says so', async () => {
  const { error } = await run(requireAuthContext({ acr: 'gold' }))
  expect(String(error)).toContain('requireAuthContext: there is no requireAuth() in front')
})
test.each([
  [{}, /give "acr", "maxAgeSeconds" or both/],
  [undefined, /options must be an object/],
  [{ acr: undefined, maxAgeSeconds: undefined }, /give "acr", "maxAgeSeconds" or both/],
  [{ acr: [] }, /"acr"/],
  [{ acr: '' }, /"acr"/],
  [{ acr: 7 }, /"acr"/],
  [{ acr: 'gold silver' }, /"acr"/],
  [{ acr: ['gold', 'a"b'] }, /"acr"/],
  [{ maxAgeSeconds: -1 }, /"maxAgeSeconds"/],
  [{ maxAgeSeconds: 1.5 }, /"maxAgeSeconds"/],
  [{ maxAgeSeconds: '60' }, /"maxAgeSeconds"/],
  [{ maxAge: 60 }, /did you mean "maxAgeSeconds"/],
])('%j is a TypeError', (options, message) => {
  const make = () => requireAuthContext(options as never)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})
