// The ES modules and the CommonJS build in one process: each copy works with what the other one made.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import express from 'express'
import { WebSocket, WebSocketServer } from 'ws'

const require = createRequire(import.meta.url)
const load = async (entry) => [await import(entry), require(entry)]
const [mains, admins, testings, sockets] = await Promise.all(
  ['', '/admin', '/testing', '/websocket'].map((path) => load(`express-kickout${path}`)),
)

async function listen(t, server) {
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `127.0.0.1:${server.address().port}`
}

test('there are two copies', () => {
  for (const [one, other] of [mains, admins, testings, sockets]) {
    const [name] = Object.keys(one)
    assert.notEqual(one[name], other[name])
  }
})

for (const [a, b, title] of [
  [0, 1, 'the guard of the ES modules, the rest of CommonJS'],
  [1, 0, 'the guard of CommonJS, the rest of the ES modules'],
]) {
  describe(title, () => {
    const { requireAuth } = mains[a]
    const kickout = mains[b]
    const issued = testings[a].createTestIssuer()
    const caught = []
    const app = express()
    const server = createServer(app)
    let url

    app.get('/forged', forgeAuth, kickout.requireScope('reports:read'), answer)
    app.get('/forged-read', forgeAuth, answer)
    app.get(
      '/optional',
      requireAuth({ ...issued.options, credentials: 'optional' }),
      kickout.requireScope('reports:read'),
      answer,
    )
    const guard = requireAuth(issued.options)
    app.use(guard, kickout.cutOnKickOut())
    app.get('/scope', kickout.requireScope('reports:read'), answer)
    app.get('/any', kickout.requireAnyScope('reports:read', 'x'), answer)
    app.get('/claim', kickout.requireClaim('tenant', 't1'), answer)
    app.get('/context', kickout.requireAuthContext({ acr: 'strong' }), answer)
    app.get('/stream', (_req, res) => res.write('open\n'))
    app.use((error, _req, _res, next) => {
      caught.push(error)
      next(error)
    })
    app.use(kickout.authErrorHandler())
    app.use((error, _req, res, _next) => res.status(599).json({ message: error.message }))

    function forgeAuth(req, _res, next) {
      req.auth = JSON.parse(
        '{"subject":"admin","scopes":["reports:read"],"Symbol(express-kickout.guard)":{},' +
          '"express-kickout.guard":{},"@@express-kickout.guard":{}}',
      )
      next()
    }
    function answer(req, res) {
      res.json({ subject: kickout.getAuth(req).subject })
    }
    const get = (path, token) =>
      fetch(
        url + path,
        token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
      )

    before(async () => {
      await once(server.listen(0, '127.0.0.1'), 'listening')
      url = `http://127.0.0.1:${server.address().port}`
    })
    after(() => {
      server.close()
      server.closeAllConnections()
    })

    test('route guards and getAuth let in what the guard let in', async () => {
      const claims = {
        scope: 'reports:read',
        subject: 'u1',
        claims: { tenant: 't1', acr: 'strong' },
      }
      const token = await issued.token(claims)
      for (const path of ['/scope', '/any', '/claim', '/context']) {
        const response = await get(path, token)
        assert.equal(response.status, 200, path)
        assert.deepEqual(await response.json(), { subject: 'u1' })
      }
    })

    test('route guards refuse with the challenge of the guard', async () => {
      const token = await issued.token({ subject: 'u2', scope: 'other' })
      const codes = { '/scope': 403, '/any': 403, '/claim': 403, '/context': 401 }
      for (const [path, status] of Object.entries(codes)) {
        const response = await get(path, token)
        assert.equal(response.status, status, path)
        assert.match(response.headers.get('www-authenticate'), /^Bearer realm="api", error="insuf/)
      }
      const optional = await get('/optional')
      assert.equal(optional.status, 401)
      assert.match(optional.headers.get('www-authenticate'), /scope="reports:read"/)
    })

    test('errors of the guard are recognised, and answered by the error handler', async () => {
      caught.length = 0
      assert.deepEqual(await (await get('/scope')).json(), {
        error: 'missing_token',
        error_description: 'An access token is required',
      })
      const token = await issued.token({ subject: 'u3' })
      issued.unavailable(true)
      const response = await get('/scope', token)
      issued.unavailable(false)
      assert.equal(response.status, 503)
      assert.equal(response.headers.get('retry-after'), '1')
      assert.deepEqual(caught.map(kickout.isAuthError), [true, true])
      assert.deepEqual(caught.map(kickout.isUnavailableError), [false, true])
      assert.equal(caught[0] instanceof kickout.AuthError, false)
    })

    test('what is spelled like our marks is no mark', async () => {
      const forged = '{"express-kickout.error":"auth","Symbol(express-kickout.error)":"auth"}'
      assert.equal(kickout.isAuthError(JSON.parse(forged)), false)
      for (const path of ['/forged', '/forged-read']) {
        const response = await get(path)
        assert.equal(response.status, 599, path)
        assert.match((await response.json()).message, /requireAuth\(\)/)
      }
    })

    test('a kick-out ends responses of the other copy', async () => {
      const response = await get('/stream', await issued.token({ subject: 'u4' }))
      assert.equal(response.status, 200)
      await issued.kickOut({ subject: 'u4' })
      assert.equal(await response.text(), 'open\n')
    })

    test('revocations and their failures reach the guard', async (t) => {
      const issuer = testings[b].createTestIssuer()
      const other = express()
      other.use(requireAuth(issuer.options), (_req, res) => res.end())
      other.use((error, _req, res, _next) => res.status(error.status).json({ of: error.message }))
      const own = createServer(other)
      const host = await listen(t, own)
      const authorization = `Bearer ${await issuer.token({ subject: 'u5' })}`
      const ask = () => fetch(`http://${host}`, { headers: { authorization } })
      assert.equal((await ask()).status, 200)
      issuer.unavailable(true)
      const failed = await ask()
      assert.equal(failed.status, 503)
      // The guard passes the error on as it came.
      assert.doesNotMatch((await failed.json()).of, /The revocation check failed/)
      issuer.unavailable(false)
      await issuer.kickOut({ subject: 'u5' })
      assert.equal((await ask()).status, 401)
    })

    test('the admin router knows the errors of the revocations', async (t) => {
      const admin = express()
      admin.use(guard, admins[b].adminRouter({ revocations: issued.revocations }))
      const own = createServer(admin)
      const host = await listen(t, own)
      const authorization = `Bearer ${await issued.token({ scope: 'sessions:admin' })}`
      const ask = (path, body) =>
        fetch(`http://${host}${path}`, {
          method: body === undefined ? 'GET' : 'POST',
          headers: { authorization, 'content-type': 'application/json' },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        })
      assert.equal((await ask('/kick-outs', { subject: 'u6' })).status, 200)
      assert.equal((await ask('/kick-outs', { subject: 'u'.repeat(300) })).status, 400)
      assert.equal((await ask('/kick-outs?before=unknown')).status, 400)
    })

    test('sockets of both copies live on one HTTP server', async (t) => {
      const own = createServer()
      const servers = [0, 1].map(() => new WebSocketServer({ noServer: true }))
      for (const [index, copy] of [a, b].entries()) {
        sockets[copy].acceptUpgrades(own, servers[index], guard, { path: `/${copy}` })
      }
      const host = await listen(t, own)
      const token = await issued.token({ subject: 'u7' })
      const headers = { authorization: `Bearer ${token}` }
      const open = (path) => new WebSocket(`ws://${host}${path}`, { headers })
      for (const [index, copy] of [a, b].entries()) {
        const accepted = once(servers[index], 'connection')
        const client = open(`/${copy}`)
        t.after(() => client.terminate())
        const [[socket]] = await Promise.all([accepted, once(client, 'open')])
        assert.equal(sockets[1 - copy].getConnection(socket).auth.subject, 'u7')
      }
      const [, refused] = await once(open('/unknown'), 'unexpected-response')
      assert.equal(refused.statusCode, 404)
    })
  })
}
