import { afterEach, describe, expect, test } from '@jest/globals'
import * as dpop from 'dpop'
import express, { type Express } from 'express'
import * as oauth from 'oauth4webapi'
import {
  authErrorHandler,
  getAuth,
  memoryReplayStore,
  memoryRevocations,
  type ReplayStore,
  requireScope,
} from '../../../src/index.ts'
import type { DpopOptions } from '../../../src/guard/binding/options.ts'
import type { RequireAuthOptions } from '../../../src/guard/require-auth-options.ts'
import { expressVersions } from '../../support/express-versions.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { makeGuarded } from '../../support/guarded.ts'
import { type Answer, listen, type Listening, send } from '../../support/http-client.ts'
import { issuer, makeSigner } from '../../support/make-token.ts'
import { makeProofKey, type ProofClaims, type ProofKey } from '../../support/proofs.ts'

const publicUrl = 'https://api.test/svc2'
const secret = 'a secret of thirty-two bytes or more, for nonces'
const signer = makeSigner('ES256')
const open: { close(): unknown }[] = []

afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close()
})

interface Setup {
  readonly server: Listening
  readonly clock: FakeClock
  readonly key: ProofKey
  /** A token that is bound to the key. */
  readonly token: string
  makeToken(claims?: object): string
  prove(claims?: ProofClaims, header?: object): string
  call(headers: Record<string, string | string[]>, path?: string, method?: string): Promise<Answer>
  /** A call with the token and a good proof. */
  good(): Promise<Answer>
  readonly reasons: () => unknown[]
}

async function setUp(
  options: DpopOptions = {},
  {
    make = express as () => Express,
    ...others
  }: Partial<RequireAuthOptions> & { make?: () => Express } = {},
): Promise<Setup> {
  const clock = new FakeClock(Date.now())
  const guarded = makeGuarded({ dpop: { publicUrl, ...options }, ...others }, { clock, signer })
  const app = make().set('env', 'test')
  const answer: express.RequestHandler = (req, res) => {
    res.json({ subject: getAuth(req).subject })
  }
  const nested = express.Router()
  app.get('/twice', guarded.guard)
  nested.get('/below', answer)
  app.use('/nested', guarded.guard, nested)
  app.use(guarded.guard)
  app.all('/reports', answer)
  app.get('/scope', requireScope('admin'), answer)
  app.get('/:any', answer)
  app.use(authErrorHandler())
  const server = await listen(app)
  open.push(guarded.guard, server)
  const key = await makeProofKey('ES256', () => Math.floor(clock.seconds))
  const makeToken = (claims: object = {}) =>
    guarded.token({ cnf: { jkt: key.thumbprint }, ...claims })
  const token = makeToken()
  const prove: Setup['prove'] = (claims, header) =>
    key.prove({ token, htu: `${options.publicUrl ?? publicUrl}/reports`, ...claims }, header)
  const call: Setup['call'] = async (headers, path = '/reports', method = 'GET') =>
    send(server.url + path, { headers, method })
  return {
    ...{ server, clock, key, token, makeToken, prove, call },
    good: async () => call({ authorization: `DPoP ${token}`, dpop: prove() }),
    reasons: () => guarded.events.flatMap((event) => ('reason' in event ? event.reason : [])),
  }
}

/** What a refusal tells: status, and the errors of the challenge by scheme. */
function factsOf({ status, headers }: Answer): [number, string] {
  const challenge = headers['www-authenticate'] ?? ''
  const told = /(Bearer|DPoP) realm="[^"]*", error="([a-z_]+)"/.exec(challenge)
  return [status, told ? `${told[1]} ${told[2]}` : challenge]
}

const invalidProof: [number, string] = [401, 'DPoP invalid_dpop_proof']

describe.each(expressVersions)('a guard with dpop on %s', (_name, make) => {
  test('lets a bound token in with a proof of its key, and below a router too', async () => {
    const { good, call, token, prove } = await setUp({}, { make })
    expect(await good()).toMatchObject({ status: 200, json: { subject: 'user-1' } })
    const proof = prove({ htu: `${publicUrl}/nested/below` })
    const authorization = `dpop ${token}`
    expect(await call({ authorization, dpop: proof }, '/nested/below?a=b')).toMatchObject({
      status: 200,
    })
  })
})

describe('a guard with dpop', () => {
  test('challenges with both schemes, and with DPoP alone where it is required', async () => {
    const algorithms = ['ES256', 'PS256']
    const { call } = await setUp({ algorithms })
    expect((await call({})).headers).toMatchObject({
      'www-authenticate': 'Bearer realm="api", DPoP realm="api", algs="ES256 PS256"',
      'access-control-expose-headers': 'WWW-Authenticate',
    })
    const required = await setUp({ algorithms, required: true })
    expect((await required.call({})).headers['www-authenticate']).toBe(
      'DPoP realm="api", algs="ES256 PS256"',
    )
  })

  test('refuses a bound token as a bearer, an unbound one with the scheme DPoP, and other bindings', async () => {
    const { call, prove, token, makeToken, key, reasons } = await setUp()
    const bearer = { authorization: `Bearer ${token}` }
    expect(factsOf(await call(bearer))).toEqual([401, 'Bearer invalid_token'])
    expect(factsOf(await call({ ...bearer, dpop: prove() }))).toEqual([401, 'Bearer invalid_token'])
    const thumbprint = key.thumbprint
    const refused = [undefined, {}, null, 'x', { jkt: 1 }, { jkt: 'x' }, { kid: 'x' }, { jkt: thumbprint, kid: 'x' }, { 'x5t#S256': thumbprint }, { jkt: thumbprint, 'x5t#S256': thumbprint }] // prettier-ignore
    for (const cnf of refused) {
      const other = makeToken({ cnf })
      const proof = prove({ token: other })
      const answer = await call({ authorization: `DPoP ${other}`, dpop: proof })
      expect([cnf, ...factsOf(answer)]).toEqual([cnf, 401, 'DPoP invalid_token'])
    }
    expect(new Set(reasons())).toEqual(new Set(['binding']))
    const unbound = makeToken({ cnf: undefined })
    expect(await call({ authorization: `Bearer ${unbound}` })).toMatchObject({ status: 200 })
  })

  test('refuses unbound tokens where it is required', async () => {
    const { call, makeToken, good, reasons } = await setUp({ required: true })
    const authorization = `Bearer ${makeToken({ cnf: undefined })}`
    expect(factsOf(await call({ authorization }))).toEqual([401, 'DPoP invalid_token'])
    expect(reasons()).toEqual(['binding'])
    expect(await good()).toMatchObject({ status: 200 })
  })

  test('without the option a bound token is refused, with whatever scheme and proof', async () => {
    const { token, prove, call, reasons } = await setUp({}, { dpop: undefined as never })
    expect(await call({ authorization: `DPoP ${token}`, dpop: prove() })).toMatchObject({
      status: 401,
    })
    expect(await call({ authorization: `Bearer ${token}`, dpop: prove() })).toMatchObject({
      status: 401,
    })
    expect(reasons()).toEqual(['missing', 'binding'])
  })

  test('refuses a proof that is missing, there twice, or made for another request', async () => {
    const { call, prove, token, server } = await setUp()
    const authorization = `DPoP ${token}`
    expect(factsOf(await call({ authorization }))).toEqual(invalidProof)
    expect(factsOf(await call({ authorization, dpop: [prove(), prove()] }))).toEqual(invalidProof)
    expect(factsOf(await call({ authorization, dpop: `${prove()}, ${prove()}` }))).toEqual(
      invalidProof,
    )
    expect(factsOf(await call({ authorization, dpop: prove() }, '/other'))).toEqual(invalidProof)
    expect(factsOf(await call({ authorization, dpop: prove() }, '/reports', 'POST'))).toEqual(
      invalidProof,
    )
    expect(factsOf(await call({ authorization, dpop: prove() }, '/%72eports'))[0]).toBe(200)
    const own = prove({ htu: `${server.url}/reports` })
    expect(factsOf(await call({ authorization, dpop: own }))).toEqual(invalidProof)
  })

  test('neither Host nor X-Forwarded headers nor an absolute target decide what htu has to be', async () => {
    const { call, prove, token, server } = await setUp()
    const dpop = prove({ htu: 'https://evil.test/reports' })
    const headers = {
      authorization: `DPoP ${token}`,
      ...{ dpop, host: 'evil.test', forwarded: 'host=evil.test;proto=https' },
      ...{
        'x-forwarded-host': 'evil.test',
        'x-forwarded-proto': 'https',
        'x-forwarded-prefix': '/',
      },
    }
    expect(factsOf(await call(headers))).toEqual(invalidProof)
    expect(await call({ ...headers, dpop: prove() })).toMatchObject({ status: 200 })
    const { sendRaw } = await import('../../support/raw-http.ts')
    const port = Number(new URL(server.url).port)
    const lines = [`Host: evil.test`, `Authorization: DPoP ${token}`, 'Connection: close']
    for (const htu of ['http://evil.test/reports', `${publicUrl}/reports`]) {
      const head = [...lines, `DPoP: ${prove({ htu })}`].join('\r\n')
      const answer = await sendRaw(port, `GET http://evil.test/reports HTTP/1.1\r\n${head}\r\n\r\n`)
      expect(answer.status).toBe(401)
    }
  })

  test('refuses the proof of another key as a token that is not theirs', async () => {
    const { call, token, clock, reasons } = await setUp()
    const thief = await makeProofKey('ES256', () => Math.floor(clock.seconds))
    const proof = thief.prove({ token, htu: `${publicUrl}/reports` })
    expect(factsOf(await call({ authorization: `DPoP ${token}`, dpop: proof }))).toEqual([
      401,
      'DPoP invalid_token',
    ])
    expect(reasons()).toEqual(['binding'])
  })

  test('refuses a proof that was used before, for as long as it would be accepted', async () => {
    const { call, prove, token, clock, reasons } = await setUp()
    const headers = {
      authorization: `DPoP ${token}`,
      dpop: prove({ iat: Math.floor(clock.seconds) + 5 }),
    }
    expect(await call(headers)).toMatchObject({ status: 200 })
    for (const seconds of [0, 30, 35]) {
      clock.advance(seconds * 1000)
      expect(factsOf(await call(headers))).toEqual(invalidProof)
      expect(reasons().at(-1)).toBe('replay')
    }
    clock.advance(10_000)
    expect(factsOf(await call(headers))).toEqual(invalidProof)
    expect(reasons().at(-1)).toBe('proof')
  })

  test('of fifty requests at once with one proof exactly one is let in', async () => {
    const { call, prove, token } = await setUp()
    const headers = { authorization: `DPoP ${token}`, dpop: prove() }
    const answers = await Promise.all(Array.from({ length: 50 }, async () => call(headers)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  test('a second guard on the way of a request does not take its proof for a replay', async () => {
    const { call, prove, token } = await setUp()
    const headers = { authorization: `DPoP ${token}`, dpop: prove({ htu: `${publicUrl}/twice` }) }
    expect(await call(headers, '/twice')).toMatchObject({ status: 200 })
    expect(factsOf(await call(headers, '/twice'))).toEqual(invalidProof)
  })

  test('two keys may use the same jti: none spends the proof of the other', async () => {
    const { call, makeToken, prove, token, clock } = await setUp()
    const other = await makeProofKey('ES256', () => Math.floor(clock.seconds))
    const stolen = makeToken({ cnf: { jkt: other.thumbprint } })
    const theirs = other.prove({ token: stolen, htu: `${publicUrl}/reports`, jti: 'same' })
    expect(await call({ authorization: `DPoP ${stolen}`, dpop: theirs })).toMatchObject({
      status: 200,
    })
    expect(
      await call({ authorization: `DPoP ${token}`, dpop: prove({ jti: 'same' }) }),
    ).toMatchObject({ status: 200 })
  })

  test('a request that fails elsewhere spends no jti, and a kicked-out token has no proof verified', async () => {
    const claims: string[] = []
    const memory = memoryReplayStore()
    const replay: ReplayStore = {
      claim: async (namespace, id, ttlMs) => {
        claims.push(id)
        return memory.claim(namespace, id, ttlMs)
      },
    }
    const revocations = memoryRevocations({ issuer })
    const { call, prove, token, makeToken, clock, key, reasons } = await setUp(
      { replay },
      { revocations },
    )
    const authorization = `DPoP ${token}`
    await call({ authorization, dpop: prove({ htm: 'POST' }) })
    await call({ authorization: `Bearer ${token}`, dpop: prove() })
    const expired = makeToken({ exp: clock.seconds - 10 })
    await call({ authorization: `DPoP ${expired}`, dpop: prove({ token: expired }) })
    expect(claims).toEqual([])
    expect(await call({ authorization, dpop: prove({ jti: 'j' }) })).toMatchObject({ status: 200 })
    expect(claims).toEqual([`${key.thumbprint} j`])
    await revocations.kickOut({ subject: 'user-1' })
    await call({ authorization, dpop: 'not looked at' })
    expect(reasons().at(-1)).toBe('revoked')
    expect(claims).toHaveLength(1)
  })

  test('a kick-out while the jti is being claimed counts', async () => {
    const revocations = memoryRevocations({ issuer })
    const replay: ReplayStore = {
      async claim() {
        await revocations.kickOut({ session: 'sid-1' })
        return true
      },
    }
    const { good, reasons } = await setUp({ replay }, { revocations })
    expect(await good()).toMatchObject({ status: 401 })
    expect(reasons()).toEqual(['revoked'])
  })

  test('a replay store that is full or fails is 503, and one that does not say true refuses', async () => {
    const full = await setUp({ replay: memoryReplayStore({ maxEntries: 1 }) })
    expect(await full.good()).toMatchObject({ status: 200 })
    expect(await full.good()).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    expect(full.reasons()).toEqual(['replay'])
    const broken = await setUp({ replay: { claim: () => { throw new Error('redis://secret') } } }) // prettier-ignore
    const answer = await broken.good()
    expect(answer).toMatchObject({ status: 503 })
    expect(answer.text).not.toContain('secret')
    const vague = await setUp({ replay: { claim: () => Promise.resolve('OK' as never) } })
    expect(factsOf(await vague.good())).toEqual(invalidProof)
  })

  test('a proof from before the store could remember is refused with a nonce, and a proof with that nonce is let in', async () => {
    const state = { remembersSinceMs: Number.POSITIVE_INFINITY, claim: () => Promise.resolve(true) }
    const { good, call, prove, token, clock } = await setUp({ replay: state })
    state.remembersSinceMs = Math.floor(clock.seconds) * 1000 + 1
    const answer = await good()
    expect(factsOf(answer)).toEqual([401, 'DPoP use_dpop_nonce'])
    const nonce = String(answer.headers['dpop-nonce'])
    expect(answer.headers['access-control-expose-headers']).toBe('DPoP-Nonce, WWW-Authenticate')
    const again = await call({ authorization: `DPoP ${token}`, dpop: prove({ nonce }) })
    expect(again).toMatchObject({ status: 200 })
    expect(again.headers).not.toHaveProperty('dpop-nonce')
    // One that was made ahead of a loss does not vouch for what came before it.
    state.remembersSinceMs = clock.now() + 1
    expect(await call({ authorization: `DPoP ${token}`, dpop: prove({ nonce }) })).toMatchObject({
      status: 401,
    })
  })

  test('asks for a nonce where there is a secret, bound to the key, and sends the next one ahead', async () => {
    const { good, call, prove, token, makeToken, clock, reasons } = await setUp({
      nonce: { secret },
    })
    const answer = await good()
    expect(factsOf(answer)).toEqual([401, 'DPoP use_dpop_nonce'])
    expect(reasons()).toEqual(['nonce'])
    const nonce = String(answer.headers['dpop-nonce'])
    const authorization = `DPoP ${token}`
    const second = await call({ authorization, dpop: prove({ nonce }) })
    expect(second).toMatchObject({ status: 200 })
    expect(second.headers['access-control-expose-headers']).toBe('DPoP-Nonce')
    const next = String(second.headers['dpop-nonce'])
    expect(await call({ authorization, dpop: prove({ nonce: next }) })).toMatchObject({
      status: 200,
    })
    const thief = await makeProofKey('ES256', () => Math.floor(clock.seconds))
    const theirs = makeToken({ cnf: { jkt: thief.thumbprint } })
    const proof = thief.prove({ token: theirs, htu: `${publicUrl}/reports`, nonce })
    expect(factsOf(await call({ authorization: `DPoP ${theirs}`, dpop: proof }))).toEqual([
      401,
      'DPoP use_dpop_nonce',
    ])
    clock.advance(300_001)
    expect(factsOf(await call({ authorization, dpop: prove({ nonce: next }) }))).toEqual([
      401,
      'DPoP use_dpop_nonce',
    ])
  })

  test('a scope guard challenges with the scheme that the token came with', async () => {
    const { call, prove, token, makeToken } = await setUp()
    const dpop = prove({ htu: `${publicUrl}/scope` })
    const bound = await call({ authorization: `DPoP ${token}`, dpop }, '/scope')
    expect(bound.headers['www-authenticate']).toMatch(
      /^Bearer realm="api", scope="admin", DPoP realm="api", error="insufficient_scope", scope="admin"/,
    )
    const plain = await call({ authorization: `Bearer ${makeToken({ cnf: undefined })}` }, '/scope')
    expect(factsOf(plain)).toEqual([403, 'Bearer insufficient_scope'])
  })

  test('a token from elsewhere than the header needs its proof all the same', async () => {
    const { call, prove, token } = await setUp({}, { getToken: (req) => req.get('x-token') })
    expect(await call({ 'x-token': token, dpop: prove() })).toMatchObject({ status: 200 })
    expect(factsOf(await call({ 'x-token': token }))).toEqual([401, 'Bearer invalid_token'])
  })

  test('without publicUrl on a loopback host the socket decides', async () => {
    const onLoopback = { issuer: 'http://localhost:3000', jwks: { keys: [signer.publicJwk] } }
    const { call, prove, makeToken, server } = await setUp(
      { publicUrl: undefined as never },
      onLoopback,
    )
    const own = makeToken({ iss: onLoopback.issuer })
    const { port } = new URL(server.url)
    const ask = async (htu: string) =>
      (
        await call({
          authorization: `DPoP ${own}`,
          dpop: prove({ token: own, htu }),
          host: 'evil.test',
        })
      ).status
    expect(await ask(`http://localhost:${port}/reports`)).toBe(200)
    expect(await ask(`http://127.0.0.1:${port}/reports`)).toBe(200)
    expect(await ask(`https://localhost:${port}/reports`)).toBe(401)
    expect(await ask(`http://localhost:1/reports`)).toBe(401)
    expect(await ask(`http://evil.test:${port}/reports`)).toBe(401)
    expect(await ask(`http://localhost:${port}/other`)).toBe(401)
  })
})

describe('clients of others', () => {
  test('the package dpop is let in, through a proxy that takes a prefix away', async () => {
    const { makeToken, call } = await setUp()
    for (const alg of ['ES256', 'Ed25519', 'PS256', 'RS256'] as const) {
      const keys = await dpop.generateKeyPair(alg)
      const token = makeToken({ cnf: { jkt: await dpop.calculateThumbprint(keys.publicKey) } })
      const proof = await dpop.generateProof(keys, `${publicUrl}/reports`, 'GET', undefined, token)
      expect(await call({ authorization: `DPoP ${token}`, dpop: proof })).toMatchObject({
        status: 200,
      })
    }
  })

  test('oauth4webapi repeats its request with the nonce and is let in', async () => {
    const { makeToken, server } = await setUp(
      { publicUrl: undefined as never, nonce: { secret } },
      {
        issuer: 'http://localhost:3000',
        jwks: { keys: [signer.publicJwk] },
      },
    )
    const keys = await oauth.generateKeyPair('ES256')
    const handle = oauth.DPoP({}, keys)
    const jkt = await dpop.calculateThumbprint(keys.publicKey)
    const token = makeToken({ iss: 'http://localhost:3000', cnf: { jkt } })
    const ask = async () =>
      oauth.protectedResourceRequest(
        token,
        'GET',
        new URL(`${server.url}/reports?a=b`),
        undefined,
        undefined,
        {
          DPoP: handle,
          // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so only to stand out; this is loopback
          [oauth.allowInsecureRequests]: true,
        },
      )
    const refusal: unknown = await ask().catch((error: unknown) => error)
    expect(oauth.isDPoPNonceError(refusal)).toBe(true)
    expect((await ask()).status).toBe(200)
    expect((await ask()).status).toBe(200)
  })
})

describe('guard.authenticate', () => {
  test('checks the proof of an upgrade, and of a token that is handed over', async () => {
    const clock = new FakeClock(Date.now())
    const { guard, token } = makeGuarded({ dpop: { publicUrl } }, { clock, signer })
    open.push(guard)
    const key = await makeProofKey('ES256', () => Math.floor(clock.seconds))
    const own = token({ cnf: { jkt: key.thumbprint } })
    const request = (url = '/socket?a=b') => {
      const proof = key.prove({ token: own, htu: `${publicUrl}/socket` })
      const authorization = `DPoP ${own}`
      return {
        method: 'GET',
        url,
        headers: { authorization },
        rawHeaders: ['Authorization', authorization, 'DPoP', proof],
      }
    }
    expect(await guard.authenticate(request())).toMatchObject({ subject: 'user-1' })
    expect(await guard.authenticate(request(), { token: own })).toMatchObject({ subject: 'user-1' })
    await expect(guard.authenticate(request('/other'))).rejects.toMatchObject({ reason: 'proof' })
    const handed = guard.authenticate({ headers: {}, rawHeaders: [] }, { token: own })
    await expect(handed).rejects.toMatchObject({ reason: 'binding', status: 401 })
  })
})
