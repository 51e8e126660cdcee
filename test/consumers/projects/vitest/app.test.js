import { createRequire } from 'node:module'
import express from 'express'
import * as kickout from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'
import request from 'supertest'
import { expect, test } from 'vitest'

const { authErrorHandler, getAuth, requireAuth, requireScope } = kickout
const issuer = createTestIssuer()
const app = express()
app.use(requireAuth(issuer.options))
app.get('/reports', requireScope('reports:read'), (req, res) => {
  res.json({ for: getAuth(req).subject })
})
app.use(authErrorHandler())

test('a token works until its owner is kicked out', async () => {
  await request(app).get('/reports').expect(401)
  const token = await issuer.token({ subject: 'u1', scope: 'reports:read' })
  await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(200, { for: 'u1' })
  await issuer.kickOut({ subject: 'u1' })
  await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(401)
})

test('what is required is the same copy', () => {
  const required = createRequire(import.meta.url)('express-kickout')
  expect(required.requireAuth).toBe(requireAuth)
})
