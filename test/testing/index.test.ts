import { expect, test } from '@jest/globals'
import express from 'express'
import request from 'supertest'
import {
  authErrorHandler,
  getAuth,
  memoryRevocations,
  requireAuth,
  requireScope,
} from '../../src/index.ts'
import {
  createTestIssuer,
  type TestIssuer,
  type TestTokenOptions,
} from '../../src/testing/index.ts'

function makeApp(issuer: TestIssuer) {
  const app = express().use(requireAuth(issuer.options))
  app.get('/', requireScope('a'), (req, res) => {
    res.json(getAuth(req).payload)
  })
  return app.use(authErrorHandler())
}
const ask = async (issuer: TestIssuer, options?: TestTokenOptions) =>
  request(makeApp(issuer))
    .get('/')
    .auth(await issuer.token({ scope: 'a', ...options }), { type: 'bearer' })

test.each(['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const)(
  'mints %s tokens that pass',
  async (algorithm) => {
    const answer = await ask(createTestIssuer({ algorithm }))
    expect([answer.status, answer.body]).toMatchObject([
      200,
      {
        iss: 'https://issuer.test',
        aud: 'https://api.test',
        sub: 'user-1',
        client_id: 'test-client',
        scope: 'a',
      },
    ])
  },
)
test('mints what a test of an application needs', async () => {
  const issuer = createTestIssuer({ issuer: 'https://i.test', audience: ['a', 'b'] })
  const given = {
    subject: 's',
    sessionId: 'sid',
    clientId: 'c',
    jti: 'j',
    expiresInSeconds: 60,
    claims: { tenant: 't' },
  }
  const { body } = await ask(issuer, given)
  expect(body).toMatchObject({
    iss: 'https://i.test',
    aud: ['a', 'b'],
    sub: 's',
    sid: 'sid',
    client_id: 'c',
    jti: 'j',
    tenant: 't',
  })
  expect(body.exp - body.iat).toBe(60)
})
test.each<[TestTokenOptions, number]>([
  [{ expired: true }, 401],
  [{ forged: true }, 401],
  [{ audience: 'other' }, 401],
  [{ issuer: 'https://other.test' }, 401],
  [{ claims: { exp: undefined } }, 401],
  [{ header: { typ: 'logout+jwt' } }, 401],
  [{ scope: 'b' }, 403],
  [{}, 200],
])('a token with %j is answered %d', async (options, status) => {
  expect((await ask(createTestIssuer(), options)).status).toBe(status)
})
test('kicks a user out, who is in again with the next token', async () => {
  const issuer = createTestIssuer()
  const app = makeApp(issuer)
  const send = async (token: string) =>
    (await request(app).get('/').auth(token, { type: 'bearer' })).status
  const [token, other] = [
    await issuer.token({ scope: 'a' }),
    await issuer.token({ scope: 'a', subject: 'other' }),
  ]
  expect(await send(token)).toBe(200)
  await issuer.kickOut({ subject: 'user-1' })
  expect([await send(token), await send(other)]).toEqual([401, 200])
  expect(await send(await issuer.token({ scope: 'a' }))).toBe(200)
})
test('refuses wrong options by name', () => {
  for (const options of [
    { algorithm: 'HS256' },
    { issuer: '' },
    { audience: [] },
    { algo: 'x' },
    null,
  ]) {
    expect(() => createTestIssuer(options as object)).toThrow(TypeError)
  }
})

test('unavailable() is 503 at once, and as before afterwards', async () => {
  const issuer = createTestIssuer()
  expect((await ask(issuer)).status).toBe(200)
  issuer.unavailable()
  const answer = await ask(issuer)
  expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
  expect(answer.headers).not.toHaveProperty('www-authenticate')
  issuer.unavailable(false)
  expect((await ask(issuer)).status).toBe(200)
})

test('a token that is made after a kick-out is in, at any level', async () => {
  for (const target of [
    { subject: 'user-1' },
    { client: 'test-client' },
    { everyone: true },
  ] as const) {
    const issuer = createTestIssuer()
    const before = await issuer.token({ scope: 'a' })
    await issuer.kickOut(target)
    const status = async (token: string) =>
      (await request(makeApp(issuer)).get('/').auth(token, { type: 'bearer' })).status
    expect(await status(before)).toBe(401)
    expect(await status(await issuer.token({ scope: 'a' }))).toBe(200)
  }
  const issuer = createTestIssuer()
  await issuer.kickOut({ session: 's-1' })
  expect((await ask(issuer, { sessionId: 's-1' })).status).toBe(401)
  expect((await ask(issuer)).status).toBe(200)
})

test('takes revocations of the application, and a retention of its own', async () => {
  const revocations = memoryRevocations()
  const issuer = createTestIssuer({ revocations })
  const token = await issuer.token({ scope: 'a', subject: 'u1' })
  await issuer.kickOut({ subject: 'u1' })
  const app = makeApp(issuer)
  expect((await request(app).get('/').auth(token, { type: 'bearer' })).status).toBe(401)
  expect((await ask(issuer, { subject: 'u1' })).status).toBe(200)
  expect((await revocations.listKickOuts({ limit: 1 })).kickOuts).toHaveLength(1)
  const short = createTestIssuer({ retentionSeconds: 60 })
  expect((await ask(short, { expiresInSeconds: 600 })).status).toBe(401)
  expect((await ask(short, { expiresInSeconds: 30 })).status).toBe(200)
})
