import express from 'express'
import { requireAuth } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'
import request from 'supertest'

describe('in an ES module', () => {
  it('refuses who has no token', async () => {
    const app = express().use(requireAuth(createTestIssuer().options))
    await request(app).get('/').expect(401)
  })
})
