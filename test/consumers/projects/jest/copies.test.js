// Jest makes a second copy of a module wherever a test resets modules.
const express = require('express')
const request = require('supertest')
const { createTestIssuer } = require('express-kickout/testing')
const { AuthError, requireAuth } = require('express-kickout')

test('route guards, getAuth and isAuthError of one copy work with the guard of the other', async () => {
  jest.resetModules()
  const other = require('express-kickout')
  expect(other.requireAuth).not.toBe(requireAuth)

  const issuer = createTestIssuer()
  const caught = []
  const app = express()
  app.use(requireAuth(issuer.options))
  app.get('/', other.requireScope('a'), (req, res) => res.json(other.getAuth(req).subject))
  app.use((error, _req, _res, next) => {
    caught.push(error)
    next(error)
  })
  app.use(other.authErrorHandler())

  const token = await issuer.token({ subject: 'u1', scope: 'a' })
  await request(app).get('/').auth(token, { type: 'bearer' }).expect(200, '"u1"')
  await request(app).get('/').expect(401)
  issuer.unavailable(true)
  await request(app).get('/').auth(token, { type: 'bearer' }).expect(503)
  expect(caught.map(other.isAuthError)).toEqual([true, true])
  expect(caught.map(other.isUnavailableError)).toEqual([false, true])
  expect(caught[0]).toBeInstanceOf(AuthError)
  expect(caught[0]).not.toBeInstanceOf(other.AuthError)
})
