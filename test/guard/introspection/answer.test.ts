import { expect, test } from '@jest/globals'
import type { RequireAuthOptions } from '../../../src/guard/require-auth-options.ts'
import { createMemoryRevocations } from '../../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { factsOf, makeGuarded, type Outcome } from '../../support/guarded.ts'
import { audience, claimsAt } from '../../support/make-token.ts'

const clock = new FakeClock()
const now = clock.seconds

/** What becomes of a request whose token the issuer says this of. */
async function outcomeOf(
  changes: object,
  options: Partial<RequireAuthOptions> = {},
): Promise<Outcome> {
  const revocations = createMemoryRevocations({}, { clock })
  const { ask } = makeGuarded(
    {
      introspection: {
        endpoint: 'https://issuer.test/introspect',
        clientId: 'api',
        clientSecret: 'a secret',
      },
      revocations,
      ...options,
    },
    {
      clock,
      fetch: async () =>
        Promise.resolve(Response.json({ active: true, ...claimsAt(now, changes) })),
    },
  )
  return ask('opaque')
}

test.each<[string, object, Partial<RequireAuthOptions>, string]>([
  ['no exp', { exp: undefined }, {}, 'claims'],
  ['exp null', { exp: null }, {}, 'claims'],
  ['exp as a text', { exp: String(now + 600) }, {}, 'claims'],
  ['exp past the tolerance', { exp: now - 5 }, {}, 'expired'],
  ['no iat beside revocations', { iat: undefined }, {}, 'claims'],
  ['iat as a text', { iat: String(now) }, {}, 'claims'],
  ['iat in the future', { iat: now + 6 }, {}, 'not_yet_valid'],
  ['nbf in the future', { nbf: now + 6 }, {}, 'not_yet_valid'],
  ['a life longer than kick-outs are kept', { exp: now + 90_001 }, {}, 'claims'],
  ['iat too long ago', { iat: now - 66 }, { maxTokenAgeSeconds: 60 }, 'expired'],
  [
    'no iat beside maxTokenAgeSeconds',
    { iat: undefined },
    { maxTokenAgeSeconds: 60, revocations: false },
    'claims',
  ],
  ['another issuer', { iss: 'https://evil.test' }, {}, 'issuer'],
  ['iss as a list', { iss: ['https://issuer.test'] }, {}, 'issuer'],
  ['another audience', { aud: 'https://other.test' }, {}, 'audience'],
  ['aud as a number', { aud: 1 }, {}, 'audience'],
  ['aud as an object', { aud: { api: audience } }, {}, 'audience'],
  ['aud with a number', { aud: [audience, 1] }, {}, 'audience'],
  ['no aud', { aud: undefined }, {}, 'audience'],
  ['aud null', { aud: null }, {}, 'audience'],
  ['sub empty', { sub: '' }, {}, 'claims'],
  ['sub as a number', { sub: 7 }, {}, 'claims'],
  ['client_id as a list', { client_id: ['web'] }, {}, 'claims'],
  ['sid too long', { sid: 'x'.repeat(256) }, {}, 'claims'],
  ['scope as a number', { scope: 1 }, {}, 'claims'],
  ['token_type as a number', { token_type: 1 }, {}, 'claims'],
  ['a refresh token', { token_use: 'refresh' }, {}, 'type'],
  ['an ID token', { typ: 'ID' }, {}, 'type'],
  ['a logout token', { events: {} }, {}, 'type'],
  ['a token that is bound to a key', { cnf: { jkt: 'x'.repeat(43) } }, {}, 'binding'],
  ['DPoP without a key', { token_type: 'DPoP' }, {}, 'binding'],
  [
    'dpop without a key, where DPoP is checked',
    { token_type: 'dpop' },
    { dpop: { publicUrl: audience } },
    'binding',
  ],
  ['cnf of another kind', { cnf: { kid: 'k' } }, { dpop: { publicUrl: audience } }, 'binding'],
  ['another client', { client_id: 'web' }, { clientIds: ['mobile'] }, 'audience'],
  ['no jti, in strict mode', { jti: undefined }, { strict: true }, 'claims'],
])('E05 E06 E07 %s is refused', async (_name, changes, options, reason) => {
  const { error } = await outcomeOf(changes, options)
  expect(factsOf(error)).toEqual({ status: 401, code: 'invalid_token', reason })
})

test.each<[string, object, Partial<RequireAuthOptions>]>([
  ['no iss, which is the configured one then', { iss: undefined }, {}],
  [
    'no sub, sid, jti and client',
    { sub: undefined, sid: undefined, jti: undefined, client_id: undefined },
    {},
  ],
  [
    'members that are null',
    { sid: null, nbf: null, username: null, cnf: null, token_type: null },
    {},
  ],
  ['exp within the tolerance', { exp: now - 4 }, {}],
  ['one audience of several', { aud: ['https://other.test', audience] }, {}],
  ['no aud, with audience []', { aud: undefined }, { audience: [] }],
  ['another aud, with audience []', { aud: 'https://other.test' }, { audience: [] }],
  ['no iat, without revocations', { iat: undefined }, { revocations: false }],
  ['one client of several', {}, { clientIds: ['mobile', 'web'] }],
  ['token_type in any case', { token_type: 'bearer' }, {}],
  ['all that RFC 9068 asks for, in strict mode', {}, { strict: true }],
])('%s is accepted', async (_name, changes, options) => {
  const { error, auth } = await outcomeOf(changes, options)
  expect(error).toBeUndefined()
  expect(auth?.issuer).toBe('https://issuer.test')
  expect(auth?.payload).not.toHaveProperty('active')
  expect(Object.isFrozen(auth?.payload)).toBe(true)
})

test('audience [] accepts no JWT: nothing would say for whom it was made', async () => {
  const { ask, token } = makeGuarded({
    audience: [],
    introspection: {
      endpoint: 'https://issuer.test/introspect',
      clientId: 'api',
      clientSecret: 'a secret',
    },
  })
  expect(factsOf((await ask(token())).error)).toMatchObject({ status: 401, reason: 'audience' })
})

test('names of the prototype are claims like others', async () => {
  const { auth } = await outcomeOf(
    JSON.parse('{"__proto__":{"admin":true},"constructor":"x"}') as object,
  )
  expect((auth?.payload as unknown as { admin?: unknown }).admin).toBeUndefined()
  expect(auth?.payload['constructor']).toBe('x')
})
