const assert = require('node:assert/strict')
const { test } = require('node:test')
const express = require('express')
const { exports: entries } = require('express-kickout/package.json')
const { authErrorHandler, getAuth, requireAuth, requireScope } = require('express-kickout')
const { createTestIssuer } = require('express-kickout/testing')
const request = require('supertest')

test('a token works until its owner is kicked out', async () => {
  const issuer = createTestIssuer()
  const app = express()
  app.use(requireAuth(issuer.options))
  app.get('/reports', requireScope('reports:read'), (req, res) => {
    res.json({ for: getAuth(req).subject })
  })
  app.use(authErrorHandler())

  await request(app).get('/reports').expect(401)
  const token = await issuer.token({ subject: 'u1', scope: 'reports:read' })
  await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(200, { for: 'u1' })
  await issuer.kickOut({ subject: 'u1' })
  await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(401)
})

test('import and require() give one copy of every entry', async () => {
  for (const subpath of Object.keys(entries).filter((each) => each !== './package.json')) {
    const name = `express-kickout${subpath.slice(1)}`
    const [required, imported] = [require(name), await import(name)]
    for (const key of Object.keys(imported)) assert.equal(required[key], imported[key], name)
  }
})
