const assert = require('node:assert/strict')
const express = require('express')
const { authErrorHandler, getAuth, requireAuth, requireScope } = require('express-kickout')
const { createTestIssuer } = require('express-kickout/testing')
const request = require('supertest')

describe('in CommonJS', () => {
  const issuer = createTestIssuer()
  const app = express()
  app.use(requireAuth(issuer.options))
  app.get('/reports', requireScope('reports:read'), (req, res) => {
    res.json({ for: getAuth(req).subject })
  })
  app.use(authErrorHandler())

  it('a token works until its owner is kicked out', async () => {
    await request(app).get('/reports').expect(401)
    const token = await issuer.token({ subject: 'u1', scope: 'reports:read' })
    await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(200, { for: 'u1' })
    await issuer.kickOut({ subject: 'u1' })
    await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(401)
  })

  it('what is imported is the same copy', async () => {
    assert.equal((await import('express-kickout')).requireAuth, requireAuth)
  })
})
