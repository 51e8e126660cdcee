import { isAuthError, isUnavailableError, requireAuth } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'
import request from 'supertest'
import { createApp } from './app'

const issuer = createTestIssuer()
const app = createApp(issuer.options)
const ask = (token: string) => request(app).get('/reports').auth(token, { type: 'bearer' })

test('a token works until its owner is kicked out', async () => {
  await request(app).get('/reports').expect(401)
  const token = await issuer.token({ subject: 'u1', scope: 'reports:read' })
  await ask(token).expect(200, { for: 'u1' })
  await ask(await issuer.token({ scope: 'other' })).expect(403)
  await issuer.kickOut({ subject: 'u1' })
  await ask(token).expect(401)
})

test('errors are told apart', async () => {
  const guard = requireAuth(issuer.options)
  const token = await issuer.token()
  issuer.unavailable(true)
  const error: unknown = await guard
    .authenticate(Object.create(null), { token })
    .catch((cause: unknown) => cause)
  issuer.unavailable(false)
  expect([isAuthError(error), isUnavailableError(error)]).toEqual([true, true])
})
