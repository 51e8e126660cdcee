import { describe, expect, test } from '@jest/globals'
import express from 'express'
import fc from 'fast-check'
import { adminRouter } from '../../src/admin/index.ts'
import { memoryRevocations, requireAuth } from '../../src/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import { type Answer, bearer, postJson, send, type Sent } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit, type Kit, serve } from '../support/issuer-kit.ts'

closeKitsAfterEach()

const paths = [
  ['POST', '/kick-outs'],
  ['GET', '/kick-outs'],
  ['GET', '/sessions?subject=u1'],
  ['GET', '/servers'],
  ['GET', '/anything'],
] as const

async function kickOut(kit: Kit, body: unknown, headers: Sent['headers']): Promise<Answer> {
  return postJson(`${kit.url}/admin/kick-outs`, body, headers)
}

describe('who may', () => {
  test.each(paths)('A01 no one without a token: %s %s', async (method, path) => {
    const kit = await createKit()
    const answer = await send(`${kit.url}/admin${path}`, { method })
    expect([answer.status, answer.json.error]).toEqual([401, 'missing_token'])
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="api"')
  })

  test.each(paths)('A01 no user whose token lacks the scope: %s %s', async (method, path) => {
    const kit = await createKit()
    for (const scope of [undefined, 'admin', 'sessions', 'sessions:admin2', 'Sessions:Admin']) {
      const tokens = await kit.startSession(scope === undefined ? {} : { scope })
      const answer = await send(`${kit.url}/admin${path}`, {
        method,
        headers: bearer(tokens.access_token),
      })
      expect([answer.status, answer.json.error]).toEqual([403, 'insufficient_scope'])
      expect(answer.headers['www-authenticate']).toContain('scope="sessions:admin"')
    }
    expect((await kit.issuer.revocations.listKickOuts({ limit: 10 })).kickOuts).toEqual([])
  })

  test('A01 no admin who was kicked out, not even while a copy of the denylist lags behind', async () => {
    const issuer = createTestIssuer()
    const store = memoryRevocations({ issuer: issuer.issuer })
    const app = express()
    // The guard looks into a copy that has not heard of the kick-out yet; the router asks the store.
    app.use(
      requireAuth({ ...issuer.options, revocations: memoryRevocations() }),
      adminRouter({ revocations: store }),
    )
    const server = await serve(app)
    const headers = bearer(await issuer.token({ subject: 'admin', scope: 'sessions:admin' }))
    expect((await send(`${server.url}/servers`, { headers })).status).toBe(200)
    await store.kickOut({ subject: 'admin' })
    for (const [method, path] of paths) {
      const answer = await send(server.url + path, { method, headers })
      expect([answer.status, answer.json.error]).toEqual([401, 'invalid_token'])
    }
    expect((await postJson(`${server.url}/kick-outs`, { everyone: true }, headers)).status).toBe(
      401,
    )
  })

  test('A01 no one at all where no requireAuth stands in front, whatever req.auth says: 500 that says so', async () => {
    const app = express()
    app.use((req, _res, next) => {
      Object.assign(req, { auth: { scopes: ['sessions:admin'], payload: {}, subject: 'me' } })
      next()
    })
    app.use(adminRouter({ revocations: memoryRevocations({ issuer: 'https://a.example' }) }))
    const server = await serve(app)
    const answer = await postJson(`${server.url}/kick-outs`, { everyone: true })
    expect(answer.status).toBe(500)
    expect(answer.text).toContain('adminRouter: there is no requireAuth() in front of this route')
    expect((await send(`${server.url}/servers`)).status).toBe(500)
  })

  test('A01 no one without a token where the guard in front is optional', async () => {
    const issuer = createTestIssuer()
    const app = express()
    app.use(
      requireAuth({ ...issuer.options, credentials: 'optional' }),
      adminRouter({ revocations: issuer.revocations }),
    )
    const server = await serve(app)
    const answer = await postJson(`${server.url}/kick-outs`, { everyone: true })
    expect([answer.status, answer.json.error]).toEqual([401, 'missing_token'])
    expect(answer.headers['www-authenticate']).toContain('scope="sessions:admin"')
  })

  test('A04 no browser that merely has a cookie or a password at hand', async () => {
    const kit = await createKit()
    const { authorization } = await kit.admin()
    const token = authorization?.slice('Bearer '.length) ?? ''
    for (const headers of [
      { cookie: `access_token=${token}; __Host-refresh_token=${token}` },
      { authorization: `Basic ${token}` },
    ]) {
      expect((await kickOut(kit, { everyone: true }, headers)).status).toBe(401)
    }
    const inUrl = await postJson(`${kit.url}/admin/kick-outs?access_token=${token}`, {
      everyone: true,
    })
    expect(inUrl.status).toBe(401)
  })

  test('A04 no form of another page: only application/json is read', async () => {
    const kit = await createKit({ before: [express.urlencoded({ extended: true })] })
    const headers = await kit.admin()
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data']) {
      const answer = await send(`${kit.url}/admin/kick-outs`, {
        method: 'POST',
        headers: { ...headers, 'content-type': type },
        body: 'everyone=true&subject=u1',
      })
      expect([type, answer.status]).toEqual([type, 400])
    }
    expect((await kit.issuer.revocations.listKickOuts({ limit: 10 })).kickOuts).toEqual([])
  })
})

describe('whom', () => {
  test.each([
    ['nobody', {}, 'target'],
    ['a list', [], 'body'],
    ['text', 'u1', 'body'],
    ['a number', 42, 'body'],
    ['null', null, 'body'],
    ['a list of users', { subject: ['u1'] }, 'subject'],
    ['an operator', { subject: { $ne: null } }, 'subject'],
    ['an empty user', { subject: '' }, 'subject'],
    ['a null user', { subject: null }, 'subject'],
    ['a number as user', { subject: 0 }, 'subject'],
    ['a flag as user', { subject: true }, 'subject'],
    ['an endless user', { subject: 'x'.repeat(256) }, 'subject'],
    ['an empty session', { session: '' }, 'session'],
    ['an empty client', { client: '' }, 'client'],
    ['a token as text', { token: 'jti' }, 'token'],
    ['a token without jti', { token: {} }, 'token.jti'],
    ['a token with an empty jti', { token: { jti: '' } }, 'token.jti'],
    ['a token with an odd field', { token: { jti: 'a', expires_at: 1 } }, 'token.expires_at'],
    ['a token that never expires', { token: { jti: 'a', exp: null } }, 'token.exp'],
    ['two at once', { subject: 'u1', session: 's1' }, 'session", "subject'],
    ['a user or everyone', { subject: 'u1', everyone: false }, 'subject", "everyone'],
    ['an empty issuer', { subject: 'u1', issuer: '' }, 'issuer'],
    ['a null issuer', { subject: 'u1', issuer: null }, 'issuer'],
    ['an unknown field', { sub: 'u1' }, 'sub'],
    ['a reason that is none', { subject: 'u1', reason: 7 }, 'reason'],
    ['who did it', { subject: 'u1', by: 'somebody else' }, 'by'],
    ['a polluted prototype', JSON.parse('{"__proto__":{"everyone":true}}'), '__proto__'],
  ])('A02 %s is 400 that names the field', async (_name, body, field) => {
    const kit = await createKit()
    const answer = await kickOut(kit, body, await kit.admin())
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
    expect(answer.json.error_description).toContain(`"${field}"`)
    expect((await kit.issuer.revocations.listKickOuts({ limit: 10 })).kickOuts).toEqual([])
  })

  test.each([
    ['no JSON', '{'],
    ['a byte order mark and nothing', '\ufeff'],
    ['nothing', ''],
    ['a body of a megabyte', JSON.stringify({ subject: 'x'.repeat(1e6) })],
    ['10 000 nested lists', '['.repeat(5000) + ']'.repeat(5000)],
  ])('A02 %s is 400', async (_name, body) => {
    const kit = await createKit()
    const answer = await send(`${kit.url}/admin/kick-outs`, {
      method: 'POST',
      headers: { ...(await kit.admin()), 'content-type': 'application/json' },
      body,
    })
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
  })

  test.each([
    ['false', false],
    ['null', null],
    ['0', 0],
    ['1', 1],
    ['text', 'true'],
    ['a list', [true]],
    ['an object', {}],
  ])('A12 everyone: %s is nobody', async (_name, everyone) => {
    const kit = await createKit()
    const headers = await kit.admin()
    const answer = await kickOut(kit, { everyone }, headers)
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
    expect((await send(`${kit.url}/admin/servers`, { headers })).status).toBe(200)
  })

  test('A12 everyone: true is everyone, the admin included', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    const { access_token: token } = await kit.startSession()
    expect(await kickOut(kit, { everyone: true, reason: 'incident' }, headers)).toMatchObject({
      status: 200,
      json: { sessions_ended: 2 },
    })
    expect((await kit.call(token)).status).toBe(401)
    expect((await send(`${kit.url}/admin/servers`, { headers })).status).toBe(401)
  })

  test('A02 any JSON is 200 or 400, and everyone is out only where the body says so', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    const fields = ['subject', 'session', 'token', 'client', 'everyone', 'issuer', 'reason']
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom(true, false, null, '', 'true', '*', 'u1', 0),
      fc.jsonValue({ maxDepth: 2 }),
    )
    const body = fc.oneof(
      { weight: 3, arbitrary: fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 3 }) },
      { weight: 1, arbitrary: fc.jsonValue() },
    )
    const isEveryone = (sent: unknown) => (sent as { everyone?: unknown } | null)?.everyone === true
    await fc.assert(
      fc.asyncProperty(body, async (sent) => {
        fc.pre(!isEveryone(sent) && (sent as { subject?: unknown } | null)?.subject !== 'the-admin')
        const answer = await kickOut(kit, sent, headers)
        expect([200, 400]).toContain(answer.status)
        const records = (await kit.issuer.revocations.listKickOuts({ limit: 1000 })).kickOuts
        expect(records.filter(({ level }) => level === 'everyone')).toEqual([])
      }),
      { numRuns: 150 },
    )
  }, 30_000)

  test('A03 an unknown user is 200 with no session ended, and is out all the same', async () => {
    const kit = await createKit()
    const answer = await kickOut(kit, { subject: 'never seen' }, await kit.admin())
    expect(answer).toMatchObject({ status: 200, json: { sessions_ended: 0 } })
    const iat = Math.floor(kit.clock.now() / 1000)
    const claims = { iss: kit.base, aud: 'x', sub: 'never seen', iat: iat - 60, exp: iat + 60 }
    expect(kit.issuer.revocations.check(claims)).toMatchObject({ revoked: true })
  })

  test('A05 repeating never moves a version back', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    const versions: number[] = []
    for (let count = 0; count < 5; count++) {
      expect((await kickOut(kit, { subject: 'u1' }, headers)).status).toBe(200)
      const { session_id: sid } = await kit.startSession()
      versions.push((await kit.store.find(sid))?.version ?? 0)
    }
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
  })

  test('A08 a user of one issuer is not the user of another', async () => {
    const kit = await createKit()
    const { access_token: token } = await kit.startSession({ subject: '42' })
    const headers = await kit.admin()
    const foreign = { issuer: 'https://other.example.com', subject: '42' }
    expect(await kickOut(kit, foreign, headers)).toMatchObject({
      status: 400,
      json: { error: 'invalid_request', error_description: expect.stringMatching(/"issuer"/) },
    })
    expect((await kit.call(token)).status).toBe(200)
    expect((await kickOut(kit, { issuer: kit.base, subject: '42' }, headers)).status).toBe(200)
    expect((await kit.call(token)).status).toBe(401)
  })

  test('A08 the issuer of the admin is meant where the body names none', async () => {
    const issuer = createTestIssuer()
    const app = express()
    const revocations = memoryRevocations()
    app.use(requireAuth({ ...issuer.options, revocations }), adminRouter({ revocations }))
    const server = await serve(app)
    const headers = bearer(await issuer.token({ scope: 'sessions:admin' }))
    const token = await issuer.token({ subject: '42' })
    expect((await postJson(`${server.url}/kick-outs`, { subject: '42' }, headers)).status).toBe(200)
    const answer = await send(`${server.url}/servers`, { headers: bearer(token) })
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining('invalid_token'),
    ])
  })

  test('A09 ids are compared exactly: no case, no width, no Unicode form is folded', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    const alike = ['Zoé', 'Zoe\u0301', 'zoé', 'ZOÉ', 'Zoé ', '\u200bZoé']
    const tokens = new Map<string, string>()
    for (const subject of alike) {
      tokens.set(subject, (await kit.startSession({ subject })).access_token)
    }
    await kickOut(kit, { subject: 'Zoé' }, headers)
    for (const [subject, token] of tokens) {
      expect([subject, (await kit.call(token)).status]).toEqual([
        subject,
        subject === 'Zoé' ? 401 : 200,
      ])
    }
  })

  test('A11 an admin can kick out themselves', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    expect((await kickOut(kit, { subject: 'the-admin' }, headers)).status).toBe(200)
    expect((await kickOut(kit, { subject: 'u1' }, headers)).status).toBe(401)
  })

  test('A11 a client that acts for itself is kicked out as a subject and as a client', async () => {
    const issuer = createTestIssuer()
    const app = express()
    app.use(requireAuth(issuer.options))
    app.use('/admin', adminRouter({ revocations: issuer.revocations }))
    app.get('/', (_req, res) => res.end())
    const server = await serve(app)
    const admin = bearer(await issuer.token({ subject: 'admin', scope: 'sessions:admin' }))
    for (const target of [{ subject: 'machine-1' }, { client: 'machine-2' }]) {
      const [id = ''] = Object.values(target)
      const machine = await issuer.token({
        subject: id,
        clientId: id,
        claims: { sid: undefined, session_version: undefined },
      })
      expect((await send(server.url, { headers: bearer(machine) })).status).toBe(200)
      expect((await postJson(`${server.url}/admin/kick-outs`, target, admin)).status).toBe(200)
      expect((await send(server.url, { headers: bearer(machine) })).status).toBe(401)
    }
  })
})

describe('what is told', () => {
  test('A10 the answer comes after the kick-out is in force, and says where it is', async () => {
    const kit = await createKit()
    const { access_token: token } = await kit.startSession()
    const answer = await kickOut(kit, { subject: 'u1' }, await kit.admin())
    expect(answer.status).toBe(200)
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.json).toEqual({
      id: expect.any(String),
      at: kit.clock.now(),
      sessions_ended: 1,
      servers: 1,
      confirmed: 1,
      unconfirmed: [],
      elapsed_ms: expect.any(Number),
    })
    expect((await kit.call(token)).status).toBe(401)
  })

  test('A06 the audit trail says who kicked out whom and why, and holds no token', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    const tokens = await kit.startSession()
    await kickOut(kit, { session: tokens.session_id, reason: 'lost phone\r\n<b>' }, headers)
    kit.clock.advance(1)
    await kickOut(kit, { client: 'web' }, headers)
    const answer = await send(`${kit.url}/admin/kick-outs`, { headers })
    expect(answer.json.kick_outs).toMatchObject([
      {
        by: { issuer: kit.base, subject: 'the-admin' },
        level: 'client',
        target: 'web',
        reason: null,
      },
      {
        by: { issuer: kit.base, subject: 'the-admin' },
        issuer: kit.base,
        level: 'session',
        target: tokens.session_id,
        reason: 'lost phone\r\n<b>',
      },
    ])
    expect(answer.text).not.toContain(tokens.access_token)
    expect(answer.text).not.toContain(tokens.refresh_token)
    expect(answer.text).not.toContain(headers['authorization']?.slice(7))
  })

  test('A07 a thousand kick-outs at once are all in force when they are answered', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    const subjects = Array.from({ length: 1000 }, (_, index) => `user-${index}`)
    const tokens = await Promise.all(
      subjects.map(async (subject) => (await kit.startSession({ subject })).access_token),
    )
    for (let from = 0; from < subjects.length; from += 50) {
      const answers = await Promise.all(
        subjects.slice(from, from + 50).map(async (subject) => kickOut(kit, { subject }, headers)),
      )
      expect(answers.every(({ status }) => status === 200)).toBe(true)
    }
    for (const token of [tokens[0], tokens[499], tokens[999]]) {
      expect((await kit.call(token ?? '')).status).toBe(401)
    }
    expect(
      (await send(`${kit.url}/admin/kick-outs?limit=1000`, { headers })).json.kick_outs,
    ).toHaveLength(1000)
  }, 30_000)
})
