import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import express from 'express'
import {
  authErrorHandler,
  getAuth,
  requireAuth,
  requireScope,
  type RequireAuthOptions,
} from '../../src/index.ts'
import { expressVersions } from '../support/express-versions.ts'
import { getRequest, type RunningServer, sendRaw, serve } from '../support/raw-http.ts'
import { audience, claimsAt, issuer, makeSigner } from '../support/make-token.ts'

const signer = makeSigner('ES256')
const options: RequireAuthOptions = { issuer, audience, jwks: { keys: [signer.publicJwk] } }
const token = signer.sign(claimsAt(Date.now() / 1000, { sub: 'alice' }))
const other = signer.sign(claimsAt(Date.now() / 1000, { sub: 'bob' }))
const bare = 'Bearer realm="api"'

function makeApp(make: typeof express, guardOptions = options) {
  const app = make()
  app.use(make.urlencoded({ extended: true }), make.json())
  app.use((req, _res, next) => {
    Object.assign(req, { auth: { subject: 'planted', scopes: ['admin'] } })
    next()
  })
  app.use(requireAuth(guardOptions))
  app.all('/', (req, res) => {
    res.json({ for: getAuth(req).subject })
  })
  app.get('/admin', requireScope('admin'), (_req, res) => {
    res.json({ admin: true })
  })
  app.use(authErrorHandler())
  return app
}

describe.each(expressVersions)('bearer extraction over raw sockets on %s (1.2)', (_name, make) => {
  let server: RunningServer
  beforeAll(async () => {
    server = await serve(makeApp(make))
  })
  afterAll(async () => server.close())

  const send = async (...lines: string[]) => sendRaw(server.port, getRequest(lines))
  const authorization = async (value: string) => send(`Authorization: ${value}`)

  test.each(['', 'Bearer', 'Bearer ', 'bearer', ' ', 'BEARER   '])(
    'B01 challenges without an error when the header is %j',
    async (value) => {
      for (const answer of [await authorization(value), await send()]) {
        expect(answer.status).toBe(401)
        expect(answer.headers['www-authenticate']).toBe(bare)
        expect(JSON.parse(answer.body)).toMatchObject({ error: 'missing_token' })
      }
    },
  )

  test.each(['Bearer', 'bearer', 'BEARER', 'bEaReR'])('B02 takes the scheme %s', async (scheme) => {
    const answer = await authorization(`${scheme} ${token}`)
    expect([answer.status, JSON.parse(answer.body)]).toEqual([200, { for: 'alice' }])
  })

  test.each([`Bearer  ${token}`, `Bearer\t${token}`, `Bearer \t${token}`, `bearer   ${token}`])(
    'B03 refuses more or else than one space: %#',
    async (value) => {
      const answer = await authorization(value)
      expect(answer.status).toBe(400)
      expect(answer.headers['www-authenticate']).toContain('error="invalid_request"')
    },
  )
  test('B03 never sees the space around the header, which is HTTP’s', async () => {
    expect((await send(`Authorization:   Bearer ${token}  \t`)).status).toBe(200)
    expect((await send(`Authorization:Bearer ${token}`)).status).toBe(200)
  })

  test('B04 refuses two Authorization headers, in any order, equal or empty', async () => {
    const pairs = [
      [`Bearer ${token}`, `Bearer ${other}`],
      [`Bearer ${token}`, `Bearer ${token}`],
      ['', `Bearer ${token}`],
      [`Bearer ${token}`, ''],
      ['Basic YTpi', `Bearer ${token}`],
      [`Bearer ${token}`, 'Basic YTpi'],
    ]
    for (const [first = '', second = ''] of pairs) {
      const answer = await send(`Authorization: ${first}`, `AUTHORIZATION: ${second}`)
      expect([answer.status, JSON.parse(answer.body)]).toMatchObject([
        400,
        { error: 'invalid_request' },
      ])
    }
  })
  test('B04 refuses them too where the server joins duplicates', async () => {
    const joining = await serve(makeApp(make), { joinDuplicateHeaders: true })
    const lines = [`Authorization: Bearer ${token}`, `Authorization: Bearer ${other}`]
    expect((await sendRaw(joining.port, getRequest(lines))).status).toBe(400)
    expect((await sendRaw(joining.port, getRequest(lines.slice(0, 1)))).status).toBe(200)
    await joining.close()
  })

  test.each([
    `Bearer ${token}, Bearer ${other}`,
    `Bearer ${token},${other}`,
    `Bearer ${token} ${other}`,
    `Basic YTpi, Bearer ${token}`,
    `Basic YTpi,bearer ${token}`,
    `Bearer ${token}, Basic YTpi`,
    `Bearer ${token};`,
  ])('B05 refuses two credentials in one header: %#', async (value) => {
    expect((await authorization(value)).status).toBe(400)
  })

  test('B06 never reads a token from the query or the body', async () => {
    const form = `access_token=${token}`
    const post = (lines: string[], body: string) =>
      sendRaw(
        server.port,
        getRequest([...lines, `Content-Length: ${body.length}`], '/', 'POST') + body,
      )
    const type = 'Content-Type: application/x-www-form-urlencoded'
    expect((await sendRaw(server.port, getRequest([], `/?${form}`))).status).toBe(401)
    expect((await post([type], form)).status).toBe(401)
    const beside = await post([type, `Authorization: Bearer ${token}`], `access_token=${other}`)
    expect([beside.status, beside.body]).toEqual([200, '{"for":"alice"}'])
    const query = getRequest([`Authorization: Bearer ${token}`], `/?access_token=${other}`)
    expect((await sendRaw(server.port, query)).body).toBe('{"for":"alice"}')
  })

  test('B07 never takes access_token twice, as array, as object or as JSON', async () => {
    for (const query of [
      `access_token=${token}&access_token=${token}`,
      `access_token[]=${token}`,
      `access_token[x]=${token}`,
      `authorization=Bearer%20${token}`,
    ]) {
      expect((await sendRaw(server.port, getRequest([], `/?${query}`))).status).toBe(401)
    }
    const body = JSON.stringify({ access_token: token, authorization: `Bearer ${token}` })
    const request = getRequest(
      ['Content-Type: application/json', `Content-Length: ${body.length}`],
      '/',
      'POST',
    )
    expect((await sendRaw(server.port, request + body)).status).toBe(401)
  })

  test.each([
    'Basic YTpi',
    'DPoP x.y.z',
    'Digest a="b"',
    'Negotiate abc',
    'Bear x',
    'Bearerx y',
    'x',
  ])('B08 treats another scheme as no token: %s', async (value) => {
    const answer = await authorization(value)
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, bare])
  })

  test.each(['"', "'", '\\', '\xe9', '\xff', '{', '<', '(', '@', '%', '=a', '\x7f'])(
    'B09 refuses the character %j in a token',
    async (character) => {
      const answer = await authorization(
        `Bearer ${token.slice(0, 30)}${character}${token.slice(30)}`,
      )
      expect(answer.status).toBe(400)
      expect((await authorization(`Bearer ${token}${character}`)).status).toBe(400)
    },
  )
  test.each(['\x00', '\x0b', '\r\n ', '\n'])(
    'B09 never reaches the guard with %j, which the HTTP parser refuses',
    async (character) => {
      const { status } = await authorization(
        `Bearer ${token.slice(0, 9)}${character}${token.slice(9)}`,
      )
      expect(status).toBe(400)
    },
  )
  test('B09 answers a b64token that is no JWT with 401', async () => {
    for (const text of ['abc', 'a.b.c', 'a~b+c/d==', '-', '===='.replace(/^=/, 'a')]) {
      const answer = await authorization(`Bearer ${text}`)
      expect([answer.status, JSON.parse(answer.body).error]).toEqual([401, 'invalid_token'])
    }
  })

  test('B10 reflects nothing of the token into the challenge', async () => {
    for (const text of ['a"b', 'inject\\', 'x,realm="evil"', '\xe9\xe8']) {
      const challenge = (await authorization(`Bearer ${text}`)).headers['www-authenticate'] ?? ''
      expect(challenge).toMatch(
        /^Bearer realm="api", error="invalid_request", error_description="[\x20-\x21\x23-\x7e]+"$/,
      )
    }
    const own = makeApp(make, {
      ...options,
      realm: 'a"b\\c\r\nSet-Cookie: x=1\u00e9',
      resourceMetadataUrl: 'https://api.test/"meta"',
    })
    const quoting = await serve(own)
    const answer = await sendRaw(quoting.port, getRequest([]))
    expect(answer.headers['www-authenticate']).toBe(
      String.raw`Bearer realm="a\"b\\cSet-Cookie: x=1", resource_metadata="https://api.test/\"meta\""`,
    )
    expect(answer.headers).not.toHaveProperty('set-cookie')
    await quoting.close()
  })

  test('B11 reads one place only: a getToken from a cookie ignores the header', async () => {
    const fromCookie = makeApp(make, {
      ...options,
      getToken: (req) => /(?:^|; )at=([^;]*)/.exec(req.headers.cookie ?? '')?.[1],
    })
    const cookies = await serve(fromCookie)
    const ask = async (...lines: string[]) => sendRaw(cookies.port, getRequest(lines))
    expect((await ask(`Authorization: Bearer ${token}`)).status).toBe(401)
    expect((await ask(`Authorization: Bearer ${token}`, `Cookie: at=${other}`)).body).toBe(
      '{"for":"bob"}',
    )
    expect((await ask(`Authorization: Bearer ${token}`, 'Cookie: at=garbage')).status).toBe(401)
    expect((await ask('Cookie: at=a b')).status).toBe(400)
    await cookies.close()
  })

  test('B12 guards OPTIONS, HEAD and 100-continue like every other request', async () => {
    for (const method of ['OPTIONS', 'HEAD', 'PUT']) {
      expect((await sendRaw(server.port, getRequest([], '/', method))).status).toBe(401)
      const withToken = getRequest([`Authorization: Bearer ${token}`], '/', method)
      expect((await sendRaw(server.port, withToken)).status).toBe(200)
    }
    expect((await send('Expect: 100-continue')).status).not.toBe(200)
  })

  test('B13 overwrites a req.auth that an earlier middleware planted', async () => {
    const asAdmin = (...lines: string[]) => sendRaw(server.port, getRequest(lines, '/admin'))
    expect((await asAdmin()).status).toBe(401)
    expect((await asAdmin(`Authorization: Bearer ${token}`)).status).toBe(403)
    const optional = await serve(makeApp(make, { ...options, credentials: 'optional' }))
    const anonymous = await sendRaw(optional.port, getRequest([], '/admin'))
    expect(anonymous.status).toBe(401)
    expect(anonymous.headers['www-authenticate']).toBe('Bearer realm="api", scope="admin"')
    await optional.close()
  })
})

test('B12 leaves an upgrade to its handler: no handler, no WebSocket', async () => {
  const server = createServer(makeApp(express))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(getRequest(['Upgrade: websocket', 'Connection: Upgrade']))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /)
  socket.destroy()
  server.close()
  await once(server, 'close')
})
