// On a real Redis: REDIS_URL. The guard of `fromEnvironment` loads the Redis code later, on first use.
const request = require('supertest')
const { createTestIssuer } = require('express-kickout/testing')
const { redisRevocations } = require('express-kickout/redis')
const express = require('express')
const { requireAuth } = require('express-kickout')
const { createApp } = require('./app')

const { REDIS_URL } = process.env
const issuer = createTestIssuer()
const { revocations: _own, ...options } = issuer.options
const closers = []

afterAll(async () => {
  for (const close of closers) await close()
})

test('a kick-out through Redis reaches guards with options and guards of the environment', async () => {
  const revocations = redisRevocations(REDIS_URL, { issuer: options.issuer })
  closers.push(() => revocations.close())
  await revocations.ready()
  const app = createApp({ ...options, revocations })

  process.env.KICKOUT_REDIS_URL = REDIS_URL
  const fromEnvironment = requireAuth(options)
  closers.push(() => fromEnvironment.close())
  await fromEnvironment.ready()
  const other = express().use(fromEnvironment, (_req, res) => res.end())

  const token = await issuer.token({ subject: 'u1', scope: 'reports:read' })
  await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(200)
  await request(other).get('/').auth(token, { type: 'bearer' }).expect(200)
  const { servers, confirmed } = await revocations.kickOut({ subject: 'u1' })
  expect([servers, confirmed]).toEqual([2, 2])
  await request(app).get('/reports').auth(token, { type: 'bearer' }).expect(401)
  await request(other).get('/').auth(token, { type: 'bearer' }).expect(401)
})
