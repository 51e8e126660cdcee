import { describe, expect, test } from '@jest/globals'
import express from 'express'
import { adminRouter } from '../../src/admin/index.ts'
import { memoryRevocations, requireAuth } from '../../src/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import { bearer, postJson, send } from '../support/http-client.ts'
import { expressVersions } from '../support/express-versions.ts'
import { closeKitsAfterEach, createKit, serve } from '../support/issuer-kit.ts'

closeKitsAfterEach()

describe.each(expressVersions)('on %s', (_name, version) => {
  test('an admin looks who is signed in, kicks one out, and finds it in the trail', async () => {
    const kit = await createKit({ express: version })
    const headers = await kit.admin()
    const device = { name: 'Firefox', ip: '192.0.2.1' }
    const startedAt = kit.clock.now()
    const tokens = await kit.startSession({ scope: 'a b', clientId: 'web', device })
    kit.clock.advance(5_000)
    await kit.refresh(tokens.refresh_token)

    const sessions = await send(`${kit.url}/admin/sessions?subject=u1`, { headers })
    expect(sessions.status).toBe(200)
    expect(sessions.json).toEqual({
      sessions: [
        {
          session_id: tokens.session_id,
          subject: 'u1',
          client_id: 'web',
          scope: 'a b',
          device,
          started_at: startedAt,
          last_seen_at: startedAt + 5_000,
          expires_at: startedAt + 5_000 + 604_800_000,
        },
      ],
    })

    const target = { session: tokens.session_id, reason: 'lost phone' }
    const kicked = await postJson(`${kit.url}/admin/kick-outs`, target, headers)
    expect(kicked.json).toMatchObject({ sessions_ended: 1, servers: 1, confirmed: 1 })
    expect((await send(`${kit.url}/admin/sessions?subject=u1`, { headers })).json).toEqual({
      sessions: [],
    })
    expect((await kit.call(tokens.access_token)).status).toBe(401)

    const trail = await send(`${kit.url}/admin/kick-outs`, { headers })
    expect(trail.json).toEqual({
      kick_outs: [
        {
          id: kicked.json.id,
          at: startedAt + 5_000,
          by: { issuer: kit.base, subject: 'the-admin' },
          issuer: kit.base,
          level: 'session',
          target: tokens.session_id,
          reason: 'lost phone',
        },
      ],
      next: null,
    })
    expect((await send(`${kit.url}/admin/servers`, { headers })).json).toEqual({
      servers: [{ server_id: 'memory', state: 'live', staleness_ms: 0, applied: 1 }],
    })
  })

  test.each([
    ['', 50],
    ['?limit=1', 1],
    ['?limit=60', 60],
    ['?limit=1000', 60],
  ])('kick-outs%s', async (query, count) => {
    const kit = await createKit({ express: version })
    for (let index = 0; index < 60; index++) await kit.issuer.kickOut({ subject: `u${index}` })
    const { json } = await send(`${kit.url}/admin/kick-outs${query}`, {
      headers: await kit.admin(),
    })
    expect(json.kick_outs).toHaveLength(count)
    expect(json.kick_outs[0].target).toBe('u59')
  })

  test.each([
    ['kick-outs?limit=0', 'limit'],
    ['kick-outs?limit=1001', 'limit'],
    ['kick-outs?limit=-1', 'limit'],
    ['kick-outs?limit=1.5', 'limit'],
    ['kick-outs?limit=all', 'limit'],
    ['kick-outs?limit=', 'limit'],
    ['kick-outs?limit=1&limit=2', 'limit'],
    ['kick-outs?limit[]=1', undefined],
    ['sessions', 'subject'],
    ['sessions?subject=', 'subject'],
    ['sessions?subject=a&subject=b', 'subject'],
    [`sessions?subject=${'x'.repeat(256)}`, 'subject'],
  ])('GET /%s is 400 that names the field', async (path, field) => {
    const kit = await createKit({ express: version })
    const answer = await send(`${kit.url}/admin/${path}`, { headers: await kit.admin() })
    // Whether `limit[]` is a list depends on the application's query parser; neither way is it a number of its own.
    if (field === undefined) expect(answer.status).toBeLessThan(500)
    else {
      expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
      expect(answer.json.error_description).toContain(`"${field}"`)
    }
  })
})

test('a token is kicked out by its jti and exp', async () => {
  const kit = await createKit()
  const headers = await kit.admin()
  const tokens = await kit.startSession()
  const { payload } = (await kit.call(tokens.access_token)).json
  const token = { jti: payload.jti, subject: 'u1', exp: payload.exp }
  const answer = await postJson(`${kit.url}/admin/kick-outs`, { token }, headers)
  expect(answer.json).toMatchObject({ sessions_ended: 0 })
  expect((await kit.call(tokens.access_token)).status).toBe(401)
  expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
})

test('with revocations alone there is everything but sessions', async () => {
  const issuer = createTestIssuer()
  const revocations = memoryRevocations({ issuer: issuer.issuer })
  const app = express()
  app.use(requireAuth({ ...issuer.options, revocations }))
  app.use(adminRouter({ revocations, scope: 'ops:kick ops:all' }))
  const server = await serve(app)
  const headers = bearer(await issuer.token({ subject: 'admin', scope: 'ops:all ops:kick' }))
  const tooLittle = bearer(await issuer.token({ scope: 'ops:kick sessions:admin' }))
  expect((await send(`${server.url}/servers`, { headers })).status).toBe(200)
  expect((await send(`${server.url}/servers`, { headers: tooLittle })).status).toBe(403)
  expect((await postJson(`${server.url}/kick-outs`, { subject: 'u1' }, headers)).status).toBe(200)
  const sessions = await send(`${server.url}/sessions?subject=u1`, { headers })
  expect([sessions.status, sessions.json.error]).toEqual([400, 'invalid_request'])
})

test('an admin router whose store is closed answers 503', async () => {
  const issuer = createTestIssuer()
  const store = memoryRevocations({ issuer: issuer.issuer })
  const app = express()
  app.use(requireAuth(issuer.options), adminRouter({ revocations: store }))
  const server = await serve(app)
  const headers = bearer(await issuer.token({ scope: 'sessions:admin' }))
  await store.close()
  const answer = await postJson(`${server.url}/kick-outs`, { subject: 'u1' }, headers)
  expect([answer.status, answer.json.error]).toEqual([503, 'temporarily_unavailable'])
  expect(answer.headers['retry-after']).toBe('1')
})
