import { expect, test } from '@jest/globals'
import { getAuth } from '../../src/index.ts'
import { findAuth, findGuardContext, markAnonymous } from '../../src/guard/request-auth.ts'
import { bearer, makeGuarded, run } from '../support/guarded.ts'
import { FakeClock } from '../support/fake-clock.ts'

test('getAuth gives what the guard set, and says what is missing', async () => {
  const guarded = makeGuarded()
  const req = bearer(guarded.token())
  expect(() => getAuth(req)).toThrow('Mount requireAuth() in front')
  await run(guarded.guard, req)
  expect(getAuth<{ sub: string }>(req).payload.sub).toBe('user-1')
})
test.each([
  undefined,
  null,
  7,
  'x',
  {},
  { subject: 'planted', scopes: ['admin'] },
  JSON.parse('{"__proto__":{"scopes":["admin"]}}'),
])('a req.auth of others does not count: %j', (auth) => {
  expect(findAuth({ auth })).toBeUndefined()
  expect(findGuardContext({ auth })).toBeUndefined()
  expect(() => getAuth({ auth })).toThrow('no req.auth')
})
test('an anonymous request keeps the guard’s context and no req.auth', () => {
  const context = {
    realm: 'r',
    resourceMetadataUrl: undefined,
    clock: new FakeClock(),
    clockToleranceSeconds: 5,
    trusts: () => false,
    rejected: () => undefined,
    vouches: () => true,
  }
  const req = { auth: { planted: true } }
  markAnonymous(req, context)
  expect(req).not.toHaveProperty('auth')
  expect(findGuardContext(req)).toBe(context)
  expect(Object.keys(req)).toEqual([])
})
test('absent claims are absent, not undefined', async () => {
  const guarded = makeGuarded()
  const { auth } = await guarded.ask(
    guarded.token({ sub: undefined, sid: undefined, client_id: undefined }),
  )
  expect(auth).not.toHaveProperty('subject')
  expect(auth).not.toHaveProperty('sessionId')
  expect(auth?.clientId).toBe('')
})
test('two requests with one token have two req.auth and two signals', async () => {
  const guarded = makeGuarded()
  const token = guarded.token()
  const [one, two] = [(await guarded.ask(token)).auth, (await guarded.ask(token)).auth]
  expect(one).not.toBe(two)
  expect(one?.payload).toBe(two?.payload)
  expect(one?.signal).not.toBe(two?.signal)
})

test('names the audience that matched where it is a URL, and where the metadata is', async () => {
  const resourceMetadataUrl = 'https://api.test/.well-known/oauth-protected-resource'
  const guarded = makeGuarded({
    audience: ['reports', 'https://api.test/mcp'],
    resourceMetadataUrl,
  })
  const aud = ['https://other.test', 'reports', 'https://api.test/mcp']
  const { auth } = await guarded.ask(guarded.token({ aud }))
  expect(auth?.resource).toEqual(new URL('https://api.test/mcp'))
  expect(auth?.resource).toBe(auth?.resource)
  expect(auth?.resourceMetadataUrl).toBe(resourceMetadataUrl)
})
test('has no resource where the audience is no URL, and no metadata where there is none', async () => {
  const guarded = makeGuarded({ audience: 'reports' })
  const { auth } = await guarded.ask(guarded.token({ aud: ['https://other.test', 'reports'] }))
  expect(auth?.resource).toBeUndefined()
  expect(auth).not.toHaveProperty('resourceMetadataUrl')
})
test('a URL that one request has changed is another one for the next', async () => {
  const guarded = makeGuarded()
  const token = guarded.token()
  const { auth } = await guarded.ask(token)
  if (auth?.resource) auth.resource.pathname = '/changed'
  expect((await guarded.ask(token)).auth?.resource?.href).toBe('https://api.test/')
})
