const request = require('supertest')
const { createTestIssuer } = require('express-kickout/testing')
const { createApp } = require('./app')

const issuer = createTestIssuer()
const app = createApp(issuer.options)
const ask = (token) => request(app).get('/reports').set('Authorization', `Bearer ${token}`)

test('refuses a request without a token', async () => {
  const { body, headers } = await request(app).get('/reports').expect(401)
  expect(body.error).toBe('missing_token')
  expect(headers['www-authenticate']).toBe('Bearer realm="api"')
})

test('refuses forged and expired tokens, and a scope that is missing', async () => {
  await ask(await issuer.token({ forged: true })).expect(401)
  await ask(await issuer.token({ expired: true })).expect(401)
  await ask(await issuer.token({ scope: 'other' })).expect(403)
})

test('a token works until its owner is kicked out', async () => {
  const token = await issuer.token({ subject: 'u1', scope: 'reports:read' })
  await ask(token).expect(200, { for: 'u1' })
  await issuer.kickOut({ subject: 'u1' })
  await ask(token).expect(401)
  await ask(await issuer.token({ subject: 'u1', scope: 'reports:read' })).expect(200)
})

test('answers 503 while kick-outs cannot be proved', async () => {
  const token = await issuer.token({ scope: 'reports:read' })
  issuer.unavailable(true)
  await ask(token).expect(503).expect('Retry-After', '1')
  issuer.unavailable(false)
})

test.each(['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'])(
  'verifies %s',
  async (algorithm) => {
    const other = createTestIssuer({ algorithm })
    const token = await other.token({ scope: 'reports:read' })
    await request(createApp(other.options))
      .get('/reports')
      .auth(token, { type: 'bearer' })
      .expect(200)
  },
)
