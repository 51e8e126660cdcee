import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import express from 'express'
import { requireAuth } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'
import request from 'supertest'

test('refuses a request without a token', async () => {
  const app = express().use(requireAuth(createTestIssuer().options))
  await request(app).get('/').expect(401)
})

test('require() gives the same copy', () => {
  assert.equal(createRequire(import.meta.url)('express-kickout').requireAuth, requireAuth)
})
