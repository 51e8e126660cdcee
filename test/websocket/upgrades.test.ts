import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { WebSocket, type WebSocketServer } from 'ws'
import { getAuth, type Revocations } from '../../src/index.ts'
import {
  acceptUpgrades,
  type AcceptUpgradesOptions,
  getConnection,
  type GuardedConnection,
} from '../../src/websocket/index.ts'
import { waitUntil } from '../support/wait.ts'
import {
  bearerHeaders,
  closed,
  connected,
  handshake,
  openStage,
  rawRefused,
  rawSocket,
  refused,
  type Stage,
  webSocketServer,
} from '../support/web-socket-stage.ts'

let stage: Stage
let wss: WebSocketServer
const stop: (() => Promise<void>)[] = []

beforeEach(async () => {
  stage = await openStage()
  wss = webSocketServer(stage)
})
afterEach(async () => {
  await stage.close()
  await Promise.all(stop.splice(0).map(async (close) => close()))
})

function accept(options: AcceptUpgradesOptions = {}): () => void {
  return acceptUpgrades(stage.server, wss, stage.guard, options)
}

/** A connection, seen from both sides. */
async function open(token: string, path = '/') {
  const accepted = once(wss, 'connection') as Promise<
    [WebSocket, IncomingMessage, GuardedConnection]
  >
  const client = await connected(new WebSocket(stage.url + path, bearerHeaders(token)))
  const [ws, req, connection] = await accepted
  return { client, ws, req, connection }
}

describe('a WebSocket is let in', () => {
  test('with the token of Authorization; the request has req.auth, and the handle comes third', async () => {
    accept()
    const { ws, req, connection } = await open(await stage.issuer.token({ subject: 'u1' }))
    expect(getAuth(req)).toMatchObject({ subject: 'u1' })
    expect(connection).toBe(getConnection(ws))
    expect(connection).toMatchObject({ isOpen: true, auth: { subject: 'u1' } })
  })

  test('with the token of Sec-WebSocket-Protocol, of which only the own subprotocol is echoed and left', async () => {
    accept()
    const token = await stage.issuer.token({ subject: 'u1' })
    const accepted = once(wss, 'connection') as Promise<[WebSocket, IncomingMessage]>
    const client = new WebSocket(stage.url, [`bearer.${token}`, 'chat.v1'])
    const [answer] = (await once(client, 'upgrade')) as [IncomingMessage]
    const [ws, req] = await accepted
    expect(answer.headers['sec-websocket-protocol']).toBe('chat.v1')
    expect(ws.protocol).toBe('chat.v1')
    expect(req.headers['sec-websocket-protocol']).toBe('chat.v1')
    expect(getAuth(req).subject).toBe('u1')
  })

  test('with another word before the dot, where the option "subprotocol" says so', async () => {
    accept({ subprotocol: 'kickout.v1' })
    const token = await stage.issuer.token()
    await connected(new WebSocket(stage.url, ['chat', `kickout.v1.${token}`]))
    expect((await refused(stage.url, ['chat', `bearer.${token}`])).status).toBe(401)
  })

  test('when its client offers the token alone, without any subprotocol in the answer', async () => {
    accept()
    const token = await stage.issuer.token()
    const client = rawSocket(
      stage.port,
      handshake('/', [`Sec-WebSocket-Protocol: bearer.${token}`]),
    )
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 101 /)
    expect(answer.toString().toLowerCase()).not.toContain('sec-websocket-protocol')
    client.destroy()
  })
})

describe('a WebSocket is refused before the upgrade', () => {
  let connections = 0
  beforeEach(() => {
    connections = 0
    wss.on('connection', () => connections++)
  })
  afterEach(() => expect(connections).toBe(0))

  test('without a token: 401 with the challenge of the guard, and no error', async () => {
    accept()
    const { status, headers, body } = await refused(stage.url)
    expect(status).toBe(401)
    expect(headers['www-authenticate']).toBe('Bearer realm="api"')
    expect(headers['cache-control']).toBe('no-store')
    expect(JSON.parse(body)).toMatchObject({ error: 'missing_token' })
  })

  test('with a token that is expired, forged, or kicked out: 401 invalid_token', async () => {
    accept()
    const kicked = await stage.issuer.token({ subject: 'out' })
    await stage.revocations.kickOut({ subject: 'out' })
    for (const token of [
      await stage.issuer.token({ expired: true }),
      await stage.issuer.token({ forged: true }),
      kicked,
    ]) {
      const { status, headers } = await refused(stage.url, [], bearerHeaders(token))
      expect(status).toBe(401)
      expect(headers['www-authenticate']).toContain('error="invalid_token"')
      expect((await refused(stage.url, [`bearer.${token}`])).status).toBe(401)
    }
  })

  test('with its token in the query, which is never read', async () => {
    accept()
    const token = await stage.issuer.token()
    const { status } = await refused(`${stage.url}/?token=${token}&access_token=${token}`)
    expect(status).toBe(401)
  })

  test('with 503 and Retry-After while the guard cannot check tokens', async () => {
    accept()
    const token = await stage.issuer.token()
    await stage.guard.close()
    const { status, headers } = await refused(stage.url, [], bearerHeaders(token))
    expect(status).toBe(503)
    expect(headers['retry-after']).toBe('1')
    expect(headers['www-authenticate']).toBeUndefined()
  })

  test('with two tokens at once, wherever they stand: 400 invalid_request', async () => {
    accept()
    const token = await stage.issuer.token()
    const other = await stage.issuer.token()
    const twice = [
      await refused(stage.url, ['chat', `bearer.${token}`], bearerHeaders(token)),
      await refused(stage.url, [`bearer.${token}`, `bearer.${other}`]),
    ]
    for (const { status, headers } of twice) {
      expect(status).toBe(400)
      expect(headers['www-authenticate']).toContain('error="invalid_request"')
    }
    const header = `Authorization: Bearer ${token}`
    expect(await rawRefused(stage.port, handshake('/', [header, header]))).toMatch(
      /^HTTP\/1\.1 400 /,
    )
  })

  test.each([
    ['nothing', '', 400],
    ['a comma', ',', 400],
    ['a comma at the end', 'chat,', 400],
    ['a subprotocol twice', 'chat, chat', 400],
    ['a space', 'chat bearer.x', 400],
    ['quotes', '"bearer.x"', 400],
    ['a slash', 'bearer.a/b', 400],
    ['no ASCII', 'bearer.\u00ff', 400],
    ['an empty token', 'bearer.', 401],
    ['the word alone', 'bearer', 401],
    ['a token that is none', 'bearer.x', 401],
    ['the word in capitals', 'BEARER.x', 401],
    ['a long token', `bearer.${'x'.repeat(9000)}`, 401],
    ['a long word', 'a'.repeat(9000), 401],
    ['a thousand words', Array.from({ length: 1000 }, (_, index) => `p${index}`).join(','), 401],
  ])('with nonsense in Sec-WebSocket-Protocol: %s', async (_what, value, status) => {
    accept()
    const answer = await rawRefused(
      stage.port,
      handshake('/', [`Sec-WebSocket-Protocol: ${value}`]),
    )
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  })

  test('on a path that is not accepted: 404, for each spelling of it too', async () => {
    accept({ path: '/feed' })
    const auth = bearerHeaders(await stage.issuer.token())
    for (const path of ['/', '/feed/', '/FEED', '/feeds', '//feed', '/%66eed']) {
      expect(await refused(stage.url + path, [], auth)).toMatchObject({ status: 404 })
    }
  })

  test('from an origin that is not allowed: 403, before the token is looked at', async () => {
    accept({ allowedOrigins: ['https://app.example.com'] })
    const token = await stage.issuer.token()
    for (const origin of ['https://evil.example', 'https://app.example.com.evil.example', 'null']) {
      const options = { headers: { ...bearerHeaders(token).headers, origin } }
      expect((await refused(stage.url, [], options)).status).toBe(403)
    }
    expect((await refused(stage.url, [], { origin: 'https://evil.example' })).status).toBe(403)
  })

  test('by `ws` itself where the handshake is no WebSocket handshake', async () => {
    accept()
    const token = await stage.issuer.token()
    const request = handshake('/', [`Authorization: Bearer ${token}`])
    expect(await rawRefused(stage.port, request.replace('Version: 13', 'Version: 7'))).toMatch(
      /^HTTP\/1\.1 4/,
    )
    expect(await rawRefused(stage.port, request.replace('Key: dGhl', 'Key: '))).toMatch(
      /^HTTP\/1\.1 400 /,
    )
    expect(await rawRefused(stage.port, request.replace('GET', 'POST'))).toMatch(/^HTTP\/1\.1 405 /)
  })

  test('and a client that resets its connection while its token is checked does not end the process', async () => {
    const { issuer, waiting } = await useSlowChecks()
    wss.on('connection', () => connections++)
    waiting.isOn = true
    const request = handshake('/', [`Authorization: Bearer ${await issuer.token()}`])
    const client = rawSocket(stage.port, request)
    await waitUntil(() => waiting.release.length > 0, { what: 'the token to be checked' })
    client.resetAndDestroy()
    await waitUntil(async () => (await openSockets()) === 0, { what: 'the socket to be closed' })
    for (const release of waiting.release) release()
    await sleep(20)
    expect(wss.clients.size).toBe(0)
  })

  test('and a client that is gone before the answer ends nothing', async () => {
    accept()
    for (let index = 0; index < 20; index++) {
      const client = rawSocket(stage.port, handshake('/', [`Authorization: Bearer x${index}`]))
      await once(client, 'connect')
      client.resetAndDestroy()
    }
    expect((await refused(stage.url)).status).toBe(401)
    await waitUntil(async () => (await openSockets()) === 0, { what: 'all sockets to be closed' })
  })
})

/** Starts over with checks that wait, while `isOn`, until they are released. */
async function useSlowChecks() {
  const { issuer } = stage
  const waiting = { isOn: false, release: [] as (() => void)[] }
  const slow: Revocations = {
    ...issuer.revocations,
    check: (claims) => {
      if (!waiting.isOn) return issuer.revocations.check(claims)
      return new Promise((resolve) => {
        waiting.release.push(() => resolve({ revoked: false }))
      })
    },
  }
  await stage.close()
  stage = await openStage({ ...issuer.options, revocations: slow })
  wss = webSocketServer(stage)
  accept()
  return { issuer, waiting }
}

async function openSockets(): Promise<number> {
  return new Promise((resolve, reject) => {
    stage.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}

describe('several listeners for upgrades', () => {
  test('each path has its own server, and the call without a path has all others', async () => {
    const other = webSocketServer(stage)
    accept({ path: '/feed' })
    const stopOthers = acceptUpgrades(stage.server, other, stage.guard)
    const token = await stage.issuer.token()
    await open(token, '/feed?since=1')
    await connected(new WebSocket(`${stage.url}/elsewhere`, bearerHeaders(token)))
    expect([wss.clients.size, other.clients.size]).toEqual([1, 1])
    expect(() => accept({ path: '/feed' })).toThrow(/the path "\/feed" of this HTTP server/)
    stopOthers()
    expect((await refused(`${stage.url}/elsewhere`, [], bearerHeaders(token))).status).toBe(404)
  })

  test('a path of another listener is left to it, and one of none is 404 after a second', async () => {
    accept({ path: '/feed' })
    const foreign = webSocketServer(stage)
    stage.server.on('upgrade', (req, socket, head) => {
      if (req.url === '/foreign') foreign.handleUpgrade(req, socket, head, () => undefined)
    })
    const client = await connected(new WebSocket(`${stage.url}/foreign`))
    expect((await refused(`${stage.url}/nowhere`)).status).toBe(404)
    expect(client.readyState).toBe(WebSocket.OPEN)
  })

  test('stopping takes the listener away', () => {
    const stopAll = accept()
    expect(stage.server.listenerCount('upgrade')).toBe(1)
    stopAll()
    stopAll()
    expect(stage.server.listenerCount('upgrade')).toBe(0)
  })
})

describe('an allowed origin', () => {
  test('may connect, and so may a client that is no browser', async () => {
    accept({ allowedOrigins: 'https://app.example.com' })
    const token = await stage.issuer.token()
    await open(token)
    await connected(
      new WebSocket(stage.url, { ...bearerHeaders(token), origin: 'https://app.example.com' }),
    )
  })
})

describe('an open WebSocket', () => {
  test('is closed with 4401 within a second of the kick-out of its session, and no other one is', async () => {
    accept()
    const mine = await open(await stage.issuer.token({ subject: 'u1', sessionId: 's1' }))
    const other = await open(await stage.issuer.token({ subject: 'u1', sessionId: 's2' }))
    const end = closed(mine.client)
    const startedAt = performance.now()
    await stage.revocations.kickOut({ session: 's1' })
    expect(await end).toEqual({ code: 4401, reason: 'revoked' })
    expect(performance.now() - startedAt).toBeLessThan(1000)
    expect(mine.connection.isOpen).toBe(false)
    await sleep(100)
    expect(other.client.readyState).toBe(WebSocket.OPEN)
    expect(other.connection.isOpen).toBe(true)
  })

  test('is not closed by a refresh: a new token of the session changes nothing', async () => {
    accept()
    const { client } = await open(await stage.issuer.token({ subject: 'u1', sessionId: 's1' }))
    const refreshed = await stage.issuer.token({ subject: 'u1', sessionId: 's1' })
    const second = await open(refreshed)
    second.client.close()
    await closed(second.client)
    await sleep(100)
    expect(client.readyState).toBe(WebSocket.OPEN)
  })

  test('is closed with 4403 when its token expires', async () => {
    await stage.close()
    stage = await openStage({ clockToleranceSeconds: 0 })
    wss = webSocketServer(stage)
    accept()
    const { client } = await open(await stage.issuer.token({ expiresInSeconds: 2 }))
    expect(await closed(client)).toEqual({ code: 4403, reason: 'expired' })
  })

  test('is closed with other codes where "codes" has them', async () => {
    accept({ codes: { revoked: 4001 } })
    const { client } = await open(await stage.issuer.token({ subject: 'u1' }))
    const end = closed(client)
    await stage.revocations.kickOut({ subject: 'u1' })
    expect(await end).toEqual({ code: 4001, reason: 'revoked' })
  })

  test('is cut when its peer does not answer the close', async () => {
    accept({ closeTimeoutMs: 200 })
    const token = await stage.issuer.token({ subject: 'u1' })
    const accepted = once(wss, 'connection') as Promise<[WebSocket]>
    const client = rawSocket(stage.port, handshake('/', [`Authorization: Bearer ${token}`]))
    const [ws] = await accepted
    const ended = Promise.all([once(ws, 'close'), once(client.resume(), 'close')])
    const startedAt = performance.now()
    await stage.revocations.kickOut({ subject: 'u1' })
    expect(ws.readyState).toBe(WebSocket.CLOSING)
    await ended
    const elapsedMs = performance.now() - startedAt
    expect(elapsedMs).toBeGreaterThan(150)
    expect(elapsedMs).toBeLessThan(1500)
    expect(ws.readyState).toBe(WebSocket.CLOSED)
  })

  test('sends nothing after the kick-out, and what arrives then is not heard', async () => {
    accept({ closeTimeoutMs: 300 })
    const { client, ws, connection } = await open(await stage.issuer.token({ subject: 'u1' }))
    const heard: string[] = []
    const received: string[] = []
    ws.on('message', (data: Buffer) => heard.push(data.toString()))
    client.on('message', (data: Buffer) => received.push(data.toString()))
    connection.auth.signal.addEventListener('abort', () => ws.send('after'))
    ws.send('before')
    client.send('one')
    await waitUntil(() => heard.length === 1 && received.length === 1, { what: 'both messages' })
    const end = closed(client)
    const kicked = stage.revocations.kickOut({ subject: 'u1' })
    client.send('two')
    ws.send('later')
    await kicked
    await end
    expect({ heard, received }).toEqual({ heard: ['one'], received: ['before'] })
  })
})

describe('extend', () => {
  const login = { subject: 'u1', sessionId: 's1' }

  test('goes on with a refreshed token: the connection outlives the first one', async () => {
    await stage.close()
    stage = await openStage({ clockToleranceSeconds: 0 })
    wss = webSocketServer(stage)
    accept()
    const { client, req, connection } = await open(
      await stage.issuer.token({ ...login, expiresInSeconds: 2 }),
    )
    const longer = await stage.issuer.token({ ...login, scope: 'b' })
    expect(await connection.extend(longer)).toMatchObject({ token: longer, scopes: ['b'] })
    expect(connection.auth.token).toBe(longer)
    expect(getAuth(req).token).toBe(longer)
    await sleep(2300)
    expect(client.readyState).toBe(WebSocket.OPEN)
    const end = closed(client)
    await stage.revocations.kickOut({ session: 's1' })
    expect(await end).toEqual({ code: 4401, reason: 'revoked' })
  })

  test('closes the connection where the token is of another user, session or issuer, or no good', async () => {
    accept()
    const cases: [string, string, number][] = [
      [await stage.issuer.token({ ...login, subject: 'u2' }), 'invalid_token', 4401],
      [await stage.issuer.token({ ...login, sessionId: 's2' }), 'invalid_token', 4401],
      [await stage.issuer.token({ ...login, forged: true }), 'invalid_token', 4401],
      [await stage.issuer.token({ ...login, expired: true }), 'expired', 4403],
      ['', 'missing_token', 4401],
      ['a b', 'invalid_request', 4401],
    ]
    for (const [token, reason, code] of cases) {
      const { client, connection } = await open(await stage.issuer.token(login))
      const end = closed(client)
      await expect(connection.extend(token)).rejects.toMatchObject({ name: 'AuthError' })
      expect(await end).toEqual({ code, reason })
      await expect(connection.extend(await stage.issuer.token(login))).rejects.toThrow(
        /closed before/,
      )
    }
  })

  test('keeps the later of two that are under way at once, whichever is checked first', async () => {
    const { issuer, waiting } = await useSlowChecks()
    const { connection } = await open(await issuer.token(login))
    const [first, second] = [await issuer.token(login), await issuer.token(login)]
    waiting.isOn = true
    const extended = [connection.extend(first), connection.extend(second)]
    await waitUntil(() => waiting.release.length === 2, { what: 'both to be checked' })
    for (const release of waiting.release.reverse()) {
      release()
      await sleep(10)
    }
    await Promise.all(extended)
    expect(connection.auth.token).toBe(second)
  })

  test('leaves the connection open where the token cannot be checked right now', async () => {
    let fails = false
    const { issuer } = stage
    const moody: Revocations = {
      ...issuer.revocations,
      check: (claims) => {
        if (fails) throw new Error('not now')
        return issuer.revocations.check(claims)
      },
    }
    await stage.close()
    stage = await openStage({ ...issuer.options, revocations: moody })
    wss = webSocketServer(stage)
    accept()
    const { client, connection } = await open(await issuer.token(login))
    fails = true
    await expect(connection.extend(await issuer.token(login))).rejects.toMatchObject({
      status: 503,
    })
    fails = false
    expect(client.readyState).toBe(WebSocket.OPEN)
    expect((await connection.extend(await issuer.token(login))).subject).toBe('u1')
  })
})

describe('freshness that is lost', () => {
  test.each([
    ['is refused', 'closes with 1013', true],
    ['is looked up in the store', 'closes nothing', false],
  ])('and %s %s', async (_how, _what, rejects) => {
    const { issuer } = stage
    let isStale = false
    const stale: Revocations = {
      ...issuer.revocations,
      status: () => ({ state: isStale ? 'stale' : 'live', stalenessMs: 0, entries: 0 }),
      check: (claims) => {
        if (!isStale) return issuer.revocations.check(claims)
        if (rejects) throw new Error('6 s old')
        return Promise.reject(new Error('the store is away'))
      },
    }
    await stage.close()
    stage = await openStage({ ...issuer.options, revocations: stale })
    wss = webSocketServer(stage)
    accept()
    const { client } = await open(await issuer.token())
    await sleep(700)
    expect(client.readyState).toBe(WebSocket.OPEN)
    isStale = true
    if (rejects) expect(await closed(client)).toEqual({ code: 1013, reason: 'stale' })
    else await sleep(700)
    expect(client.readyState).toBe(rejects ? WebSocket.CLOSED : WebSocket.OPEN)
  })

  test('by a guard that was closed closes with 1013, since nothing watches for kick-outs any more', async () => {
    accept()
    const { client } = await open(await stage.issuer.token())
    await stage.guard.close()
    expect(await closed(client)).toEqual({ code: 1013, reason: 'stale' })
  })
})
