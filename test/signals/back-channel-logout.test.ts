import { Agent, request } from 'node:http'
import { afterEach, describe, expect, test } from '@jest/globals'
import express, { type RequestHandler } from 'express'
import { CompactSign, decodeJwt, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { UnavailableError } from '../../src/errors.ts'
import { memoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import type { Revocations } from '../../src/revocation/revocations.ts'
import {
  backChannelLogout,
  type BackChannelLogoutOptions,
  type SignalEvent,
} from '../../src/signals/index.ts'
import { type Answer, listen, type Listening, postForm, send } from '../support/http-client.ts'

const issuer = 'https://provider.example.com'
const logout = 'http://schemas.openid.net/event/backchannel-logout'
const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] }
const stranger = (await generateKeyPair('ES256')).privateKey
const open: Listening[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map(async (server) => server.close()))
})

const seconds = (): number => Math.floor(Date.now() / 1000)

interface Receiving {
  readonly url: string
  readonly revocations: Revocations
  readonly events: SignalEvent[]
  isOut(claims: JWTPayload): Promise<boolean>
}

async function receiving(
  options: Partial<BackChannelLogoutOptions> = {},
  before: RequestHandler[] = [],
): Promise<Receiving> {
  const events: SignalEvent[] = []
  const revocations = options.revocations ?? memoryRevocations()
  const handler = backChannelLogout({
    issuer,
    clientId: 'app',
    revocations,
    ...(options.jwksUri === undefined && { jwks }),
    onEvent: (event) => events.push(event),
    ...options,
  })
  const app = express()
  for (const parser of before) app.use(parser)
  app.all('/backchannel-logout', handler)
  const server = await listen(app)
  open.push(server)
  return {
    url: `${server.url}/backchannel-logout`,
    revocations,
    events,
    async isOut(claims) {
      const token = { iss: issuer, aud: 'api', exp: 4e9, iat: 1_000, ...claims }
      return (await revocations.check(token)).revoked
    },
  }
}

async function makeToken(
  claims: Record<string, unknown> = {},
  header: object = {},
  key: typeof privateKey = privateKey,
): Promise<string> {
  const payload = {
    iss: issuer,
    aud: 'app',
    iat: seconds(),
    exp: seconds() + 120,
    jti: crypto.randomUUID(),
    sub: 'u1',
    sid: 's1',
    events: { [logout]: {} },
    ...claims,
  }
  return new SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'logout+jwt', ...header })
    .sign(key)
}

async function deliver({ url }: Receiving, token: string): Promise<Answer> {
  return postForm(url, { logout_token: token })
}

describe('a logout token', () => {
  test('kicks out the user, and is answered with 200', async () => {
    const at = await receiving()
    const answer = await deliver(at, await makeToken())
    expect([answer.status, answer.text, answer.headers['cache-control']]).toEqual([
      200,
      '',
      'no-store',
    ])
    expect(await at.isOut({ sub: 'u1' })).toBe(true)
    expect(await at.isOut({ sub: 'u2', sid: 's1' })).toBe(false)
    expect(at.events).toEqual([
      { type: 'signal.received', at: expect.any(Number), issuer, kickOuts: 1 },
    ])
  })

  test.each<[string, BackChannelLogoutOptions['target'], object, JWTPayload, JWTPayload]>([
    ['the session', 'session', {}, { sid: 's1' }, { sub: 'u1', sid: 's2' }],
    [
      'the user where it has no session',
      'session',
      { sid: undefined },
      { sub: 'u1' },
      { sid: 's1' },
    ],
    [
      'the session where it has no user',
      'subject',
      { sub: undefined },
      { sid: 's1' },
      { sub: 'u1' },
    ],
    ['whom a function says', () => ({ client: 'c1' }), {}, { client_id: 'c1' }, { sub: 'u1' }],
    ['several', () => [{ client: 'c1' }, { subject: 'u9' }], {}, { sub: 'u9' }, { sub: 'u1' }],
    ['nobody', () => undefined, {}, { sub: 'u1', never: 1 }, { sub: 'u1' }],
  ])('kicks out %s', async (name, target, claims, out, stays) => {
    const at = await receiving({ ...(target && { target }) })
    expect((await deliver(at, await makeToken({ ...claims }))).status).toBe(200)
    expect(await at.isOut(out)).toBe(name !== 'nobody')
    expect(await at.isOut(stays)).toBe(false)
  })

  test('O07 that arrives late, or again, leaves in who has signed in since', async () => {
    const at = await receiving()
    const iat = seconds() - 60
    const token = await makeToken({ iat })
    for (let round = 0; round < 3; round++) expect((await deliver(at, token)).status).toBe(200)
    expect(await at.isOut({ sub: 'u1', iat })).toBe(true)
    expect(await at.isOut({ sub: 'u1', iat: iat + 1 })).toBe(false)
    expect(at.events.map((event) => 'kickOuts' in event && event.kickOuts)).toEqual([1, 0, 0])
  })

  test('may come without exp and typ, with a list of audiences, and beside other fields', async () => {
    const at = await receiving({}, [express.urlencoded({ extended: false })])
    const token = await makeToken({ exp: undefined, aud: ['other', 'app'] }, { typ: undefined })
    const answer = await postForm(at.url, { other: 'field', logout_token: token })
    expect(answer.status).toBe(200)
  })

  const bad: [string, Record<string, unknown>, object?][] = [
    ['of another issuer', { iss: 'https://other.example.com' }],
    ['without an issuer', { iss: undefined }],
    ['for another client', { aud: 'other' }],
    ['for nobody', { aud: undefined }],
    ['with an audience that is no text', { aud: { app: true } }],
    ['without iat', { iat: undefined }],
    ['with iat as text', { iat: '1' }],
    ['from the future', { iat: 4e9 }],
    ['that is old', { iat: 1_000 }],
    ['that has expired', { exp: 1_000 }],
    ['with exp as text', { exp: 'soon' }],
    ['that is not valid yet', { nbf: 4e9 }],
    ['without jti', { jti: undefined }],
    ['with an empty jti', { jti: '' }],
    ['with a number as jti', { jti: 7 }],
    ['without events', { events: undefined }],
    ['with events as a list', { events: [logout] }],
    ['with another event', { events: { 'http://example.com/other': {} } }],
    ['with an event that is no object', { events: { [logout]: true } }],
    ['with a nonce', { nonce: 'n' }],
    ['with an empty nonce', { nonce: '' }],
    ['with neither user nor session', { sub: undefined, sid: undefined }],
    ['with an empty user', { sub: '' }],
    ['with a user that is no text', { sub: ['u1'] }],
    ['with a session that is no text', { sid: 7 }],
    ['with a user that is too long', { sub: 'x'.repeat(256) }],
    ['that is an access token', {}, { typ: 'at+jwt' }],
    ['that is a security event', {}, { typ: 'secevent+jwt' }],
    ['of an unknown key', {}, { kid: 'k2' }],
    ['with an issuer as a list', { iss: [issuer] }],
    ['with a number in its audience alone', { aud: [1] }],
    ['with iat null', { iat: null }],
    ['with nbf as text', { nbf: 'now' }],
    ['with exp null', { exp: null }],
    ['with jti as a list', { jti: ['a'] }],
    ['with events null', { events: null }],
    ['with an event that is a list', { events: { [logout]: [] } }],
    ['with an event that is null', { events: { [logout]: null } }],
    ['with a nonce that is null', { nonce: null }],
    ['with a session that is empty', { sid: '' }],
    ['with a lone surrogate as user', { sub: '\ud800' }],
    ['just past its age', { iat: seconds() - 306 }],
    ['just too far in the future', { iat: seconds() + 10 }],
  ]
  test.each(bad)('O01 %s is 400, and kicks out no one', async (_name, claims, header = {}) => {
    const at = await receiving()
    const answer = await deliver(at, await makeToken(claims, header))
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(at.revocations.status().entries).toBe(0)
    expect(at.events).toMatchObject([{ type: 'signal.rejected' }])
  })

  test('O02 with claims that are there twice is judged, and verified, by the last one', async () => {
    const at = await receiving()
    const doubled = async (twice: string): Promise<string> => {
      const good = decodeJwt(await makeToken())
      const text = `{${twice},${JSON.stringify(good).slice(1)}`
      const last = `${JSON.stringify(good).slice(0, -1)},${twice}}`
      const header = { alg: 'ES256', kid: 'k1', typ: 'logout+jwt' }
      const signed = async (payload: string): Promise<string> =>
        new CompactSign(new TextEncoder().encode(payload))
          .setProtectedHeader(header)
          .sign(privateKey)
      expect((await deliver(at, await signed(text))).status).toBe(200)
      return signed(last)
    }
    for (const twice of [
      '"iss":"https://evil.example.com"',
      '"aud":"other"',
      '"events":{}',
      '"iat":1',
      '"sub":7',
    ]) {
      expect((await deliver(at, await doubled(twice))).status).toBe(400)
    }
  })

  test('O03 that is forged, changed, symmetric or unsigned is 400', async () => {
    const at = await receiving()
    const [head = '', body = '', signature = ''] = (await makeToken()).split('.')
    const header = (facts: object): string =>
      Buffer.from(JSON.stringify(facts)).toString('base64url')
    const tokens = [
      await makeToken({}, {}, stranger),
      `${head}.${body}.${signature.slice(0, -4)}AAAA`,
      `${header({ alg: 'none' })}.${body}.`,
      `${header({ alg: 'HS256', kid: 'k1' })}.${body}.${signature}`,
      `${header({ alg: 'ES256', kid: 7 })}.${body}.${signature}`,
      `${head}.${body}`,
      `${head}.e30.${signature}`,
      'x',
      'x'.repeat(9_000),
    ]
    for (const token of tokens) expect((await deliver(at, token)).status).toBe(400)
    expect(at.revocations.status().entries).toBe(0)
  })
})

describe('a request', () => {
  test('O06 without exactly one token in a form of at most 16 KiB is 400', async () => {
    const at = await receiving()
    const token = await makeToken()
    const bodies = [
      '',
      'x',
      'logout_token=',
      `logout_token=${token}&logout_token=${token}`,
      `x=${'x'.repeat(20_000)}&logout_token=${token}`,
    ]
    for (const body of bodies) expect((await postForm(at.url, body)).status).toBe(400)
    const json = await send(at.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ logout_token: token }),
    })
    expect(json.status).toBe(400)
    const nested = await receiving({}, [express.urlencoded({ extended: true })])
    expect((await postForm(nested.url, `logout_token[a]=${token}`)).status).toBe(400)
    const got = await send(at.url)
    expect([got.status, got.headers.allow]).toEqual([405, 'POST'])
    expect(at.revocations.status().entries).toBe(0)
  })

  test('O08 is 503 while the store is away, and is taken in when it is sent again', async () => {
    const revocations = memoryRevocations()
    let isAway = true
    const failing: Revocations = {
      ...revocations,
      kickOut: async (target, options) => {
        if (isAway) throw new UnavailableError('revocations', 'away')
        return revocations.kickOut(target, options)
      },
    }
    const at = await receiving({ revocations: failing })
    const token = await makeToken()
    const answer = await deliver(at, token)
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    isAway = false
    expect((await deliver(at, token)).status).toBe(200)
    expect(await at.isOut({ sub: 'u1' })).toBe(true)
  })

  test('O05 of a flood of forgeries costs one fetch of keys, and that only where all but the signature fits', async () => {
    let fetches = 0
    const keys = await listen((_req, res) => {
      fetches++
      res.writeHead(500).end()
    })
    open.push(keys)
    const at = await receiving({ jwksUri: `${keys.url}/jwks` })
    const foreign = await makeToken({ iss: 'https://other.example.com' })
    for (let round = 0; round < 100; round++) {
      expect((await deliver(at, foreign)).status).toBe(400)
    }
    expect(fetches).toBe(0)
    const fitting = await makeToken({}, {}, stranger)
    for (let round = 0; round < 50; round++) expect((await deliver(at, fitting)).status).toBe(503)
    expect(fetches).toBe(1)
  })
})

describe('ready()', () => {
  const deps = { issuer, clientId: 'app' }

  test('fetches the keys and waits for the revocations, so that the first logout waits for neither', async () => {
    let fetches = 0
    const keys = await listen((_req, res) => {
      fetches++
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(jwks))
    })
    let areReady = 0
    const revocations = memoryRevocations()
    const watched: Revocations = Object.create(revocations) as Revocations
    watched.ready = async () => {
      areReady++
      await revocations.ready()
    }
    const handler = backChannelLogout({
      ...deps,
      revocations: watched,
      jwksUri: `${keys.url}/jwks`,
    })
    const server = await listen(express().post('/backchannel-logout', handler))
    open.push(server)
    expect(fetches).toBe(0)
    await handler.ready()
    expect({ fetches, areReady }).toEqual({ fetches: 1, areReady: 1 })
    await keys.close()
    const body = { logout_token: await makeToken() }
    expect((await postForm(`${server.url}/backchannel-logout`, body)).status).toBe(200)
  })

  test('rejects where waiting is no use', async () => {
    const none = { keys: jwks.keys.map((key) => ({ ...key, use: 'enc' })) }
    const handler = backChannelLogout({ ...deps, revocations: memoryRevocations(), jwks: none })
    await expect(handler.ready()).rejects.toThrow(/No usable key/)
  })
})

describe('a jti that was seen', () => {
  test('O07 is answered like the first time, and does nothing, whatever else the token says', async () => {
    const asked: unknown[] = []
    const at = await receiving({
      target: ({ sub = '' }) => {
        asked.push(sub)
        return { subject: sub }
      },
    })
    const jti = 'once'
    for (const sub of ['u1', 'u1', 'u2']) {
      expect((await deliver(at, await makeToken({ jti, sub }))).status).toBe(200)
    }
    expect(asked).toEqual(['u1'])
    expect(await at.isOut({ sub: 'u2' })).toBe(false)
    expect((await deliver(at, await makeToken({ jti: 'another', sub: 'u2' }))).status).toBe(200)
    expect(await at.isOut({ sub: 'u2' })).toBe(true)
  })

  test('is seen by every process that shares a store, and by receivers of other providers not', async () => {
    const replay = memoryReplayStore()
    const [one, other] = [await receiving({ replay }), await receiving({ replay })]
    const elsewhere = await receiving({ replay, clientId: 'another' })
    const token = await makeToken({ aud: ['app', 'another'] })
    expect((await deliver(one, token)).status).toBe(200)
    expect((await deliver(other, token)).status).toBe(200)
    expect((await deliver(elsewhere, token)).status).toBe(200)
    expect(other.revocations.status().entries).toBe(0)
    expect(elsewhere.revocations.status().entries).toBe(1)
  })

  test('is not seen where the kick-out failed, and a store that fails or is full delays none', async () => {
    const full = memoryReplayStore({ maxEntries: 1 })
    await full.claim('other', 'id', 60_000)
    const away = {
      claim: async () => Promise.reject(new UnavailableError('replay', 'away')),
      has: async () => Promise.reject(new UnavailableError('replay', 'away')),
    }
    for (const replay of [full, away, { claim: async () => Promise.resolve(true) }]) {
      const at = await receiving({ replay })
      const token = await makeToken()
      for (let round = 0; round < 2; round++) expect((await deliver(at, token)).status).toBe(200)
      expect(await at.isOut({ sub: 'u1' })).toBe(true)
    }
  })
})

test('O04 a flood of 10 000 unsigned logout tokens fetches no key, verifies nothing and kicks out no one', async () => {
  let fetches = 0
  const keys = await listen((_req, res) => {
    fetches++
    res.writeHead(500).end()
  })
  open.push(keys)
  const at = await receiving({ jwksUri: `${keys.url}/jwks` })
  const [, body = ''] = (await makeToken()).split('.')
  const agent = new Agent({ keepAlive: true, maxSockets: 20 })
  const statuses = new Map<number | undefined, number>()
  const deliverUnsigned = async (index: number): Promise<void> => {
    const alg = ['none', 'None', 'HS256', ''][index % 4]
    const header = Buffer.from(JSON.stringify({ alg, typ: 'logout+jwt', kid: `k${index}` }))
    const form = `logout_token=${header.toString('base64url')}.${body}.${index % 2 ? 'AAAA' : ''}`
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const req = request(at.url, { method: 'POST', agent, headers }, (res) => {
        res.resume().on('end', () => {
          resolve(res.statusCode)
        })
      })
      req.on('error', reject).end(form)
    })
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  for (let sent = 0; sent < 10_000; sent += 100) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => deliverUnsigned(sent + index)),
    )
  }
  agent.destroy()
  expect([...statuses]).toEqual([[400, 10_000]])
  // Without a key there is nothing to verify a signature with.
  expect(fetches).toBe(0)
  expect(at.revocations.status().entries).toBe(0)
}, 60_000)

test.each<[string, object, RegExp]>([
  ['no issuer', { issuer: undefined }, /"issuer" is missing/],
  ['an issuer that is no URL', { issuer: 'x', jwks: undefined }, /"issuer" must be an https: URL/],
  ['no client', { clientId: undefined }, /"clientId" is missing/],
  ['no revocations', { revocations: {} }, /"revocations"/],
  ['another target', { target: 'everyone' }, /"target"/],
  ['an age beyond the retention', { maxAgeSeconds: 90_000 }, /"maxAgeSeconds"/],
  ['keys twice', { jwksUri: 'https://provider.example.com/jwks' }, /"jwks"/],
  ['a store that is none', { replay: 'memory' }, /"replay"/],
  ['an unknown option', { audience: 'app' }, /unknown option "audience"/],
])('options with %s are a TypeError', (_name, options, message) => {
  const given = { issuer, clientId: 'app', revocations: memoryRevocations(), jwks, ...options }
  const make = () => backChannelLogout(given)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})
