import { describe, expect, test } from '@jest/globals'
import type { ErrorRequestHandler, Request, RequestHandler } from 'express'
import {
  type Auth,
  authErrorHandler,
  getAuth,
  isAuthError,
  memoryRevocations,
  requireAnyScope,
  requireAuth,
  requireClaim,
  requireScope,
  type Revocations,
  UnavailableError,
} from '../../src/index.ts'
import { expressVersions } from '../support/express-versions.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { bearer, factsOf, makeGuarded, run } from '../support/guarded.ts'
import { audience, issuer, makeSigner } from '../support/make-token.ts'
import { getRequest, sendRaw, serve } from '../support/raw-http.ts'

const metadataUrl = 'https://api.test/.well-known/oauth-protected-resource'
const description = (text: string) => `error_description="${text}"`
const badToken = `error="invalid_token", ${description('The access token is malformed, expired, revoked or not meant for this server')}`

describe.each(expressVersions)('the error table of the contract on %s', (_name, make) => {
  const revocations = memoryRevocations({ issuer })
  const broken: Revocations = { ...revocations, check: () => { throw new Error('redis: secret') } } // prettier-ignore
  const now = new FakeClock(Date.now())
  const cases: [string, { token?: string; lines?: string[]; path?: string; revocations?: Revocations; jwksUri?: string; status: number; challenge?: string; code: string; reason: string }][] = [
    ['no token', { status: 401, challenge: '', code: 'missing_token', reason: 'missing' }],
    ['no b64token', { lines: ['Authorization: Bearer a b'], status: 400, challenge: `error="invalid_request", ${description('The request must carry exactly one well-formed bearer token')}`, code: 'invalid_request', reason: 'malformed' }],
    ['a bad token', { lines: ['Authorization: Bearer a.b.c'], status: 401, challenge: badToken, code: 'invalid_token', reason: 'malformed' }],
    ['a kicked out one', { token: 'out', status: 401, challenge: badToken, code: 'invalid_token', reason: 'revoked' }],
    ['a missing scope', { token: 'good', path: '/scope', status: 403, challenge: `error="insufficient_scope", scope="a b", ${description('The access token does not grant this')}`, code: 'insufficient_scope', reason: 'scope' }],
    ['a missing scope of any', { token: 'good', path: '/any', status: 403, challenge: `error="insufficient_scope", scope="c d", ${description('The access token does not grant this')}`, code: 'insufficient_scope', reason: 'scope' }],
    ['a missing claim', { token: 'good', path: '/claim', status: 403, challenge: `error="insufficient_scope", ${description('The access token does not grant this')}`, code: 'insufficient_scope', reason: 'claim' }],
    ['a check that failed', { token: 'good', revocations: broken, status: 503, code: 'temporarily_unavailable', reason: 'revocations' }],
    ['no keys', { token: 'good', jwksUri: 'https://issuer.test/jwks', status: 503, code: 'temporarily_unavailable', reason: 'jwks' }],
  ] // prettier-ignore

  test.each(cases)(
    '%s',
    async (
      _case,
      { token, lines = [], path = '/', status, challenge, code, reason, ...options },
    ) => {
      for (const resourceMetadataUrl of [undefined, metadataUrl]) {
        for (const ownHandler of [true, false]) {
          const { jwksUri } = options
          const guarded = makeGuarded(
            {
              revocations: options.revocations ?? revocations,
              ...(jwksUri !== undefined && { jwksUri }),
              ...(resourceMetadataUrl !== undefined && { resourceMetadataUrl }),
            },
            { clock: now },
          )
          await revocations.kickOut({ session: 'out' })
          const seen: unknown[] = []
          const app = make().set('env', 'production').use(guarded.guard)
          app.get('/scope', requireScope('a b'), (_req, res) => void res.end())
          app.get('/any', requireAnyScope('c', 'd'), (_req, res) => void res.end())
          app.get('/claim', requireClaim('tenant', 'x'), (_req, res) => void res.end())
          app.use(((error, _req, _res, next) => {
            seen.push(error)
            next(error)
          }) as ErrorRequestHandler)
          if (ownHandler) app.use(authErrorHandler())
          // What Express itself would write to the console.
          app.set('env', 'test')
          const server = await serve(app)
          const sent =
            token === undefined ? lines : [`Authorization: Bearer ${guarded.token({ sid: token })}`]
          const answer = await sendRaw(server.port, getRequest(sent, path))
          await server.close()
          await guarded.guard.close()
          expect(answer.status).toBe(status)
          const parameters = [
            'realm="api"',
            challenge,
            resourceMetadataUrl && `resource_metadata="${metadataUrl}"`,
          ]
          expect(answer.headers['www-authenticate']).toBe(
            challenge === undefined ? undefined : `Bearer ${parameters.filter(Boolean).join(', ')}`,
          )
          if (status === 503)
            expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
          else expect(answer.headers).not.toHaveProperty('retry-after')
          if (ownHandler) {
            const error_description = (seen[0] as { description: string }).description
            expect(JSON.parse(answer.body)).toEqual({ error: code, error_description })
          }
          expect(seen.map(factsOf)).toEqual([{ status, code, reason }])
          expect(isAuthError(seen[0])).toBe(true)
          expect(guarded.events).toContainEqual(
            expect.objectContaining({ type: 'auth.rejected', code, reason }),
          )
        }
      }
    },
  )

  test('req.auth has what the contract says, and nothing else to write to', async () => {
    const guarded = makeGuarded({ revocations }, { clock: now })
    let auth: Auth | undefined
    const app = make().use(guarded.guard)
    app.get(
      '/',
      requireScope('reports:read'),
      requireAnyScope('x', 'reports:read'),
      requireClaim('client_id', 'web'),
      (req, res) => {
        auth = getAuth(req)
        res.end()
      },
    )
    const server = await serve(app)
    const token = guarded.token({ azp: 'other' })
    expect(
      (await sendRaw(server.port, getRequest([`Authorization: Bearer ${token}`]))).status,
    ).toBe(200)
    await server.close()
    expect(auth).toMatchObject({
      token,
      header: { alg: 'ES256', typ: 'at+jwt' },
      payload: { sub: 'user-1', azp: 'other' },
      issuer,
      subject: 'user-1',
      sessionId: 'sid-1',
      clientId: 'web',
      scopes: ['reports:read'],
      expiresAt: Math.floor(now.seconds) + 600,
    })
    expect(
      Object.isFrozen(auth) && Object.isFrozen(auth?.payload) && Object.isFrozen(auth?.header),
    ).toBe(true)
    expect(auth?.signal).toBe(auth?.signal)
    // Assignable to the AuthInfo of the MCP SDK.
    const info: { token: string; clientId: string; scopes: string[]; expiresAt?: number; resource?: URL; extra?: Record<string, unknown> } = auth! // prettier-ignore
    expect(info.clientId).toBe('web')
  })

  test('route guards without requireAuth in front are a mistake of ours: 500', async () => {
    for (const guard of [requireScope('a'), requireAnyScope('a'), requireClaim('a', 'b')]) {
      const messages: string[] = []
      const app = make().use(guard)
      app.use(((error: Error, _req, res, _next) => {
        messages.push(error.message)
        res.status(factsOf(error).status === undefined ? 500 : 200).end()
      }) as ErrorRequestHandler)
      const server = await serve(app)
      expect((await sendRaw(server.port, getRequest([]))).status).toBe(500)
      await server.close()
      expect(messages).toEqual([expect.stringContaining('no requireAuth() in front')])
    }
  })
})

describe('requireAuth', () => {
  test("credentials: 'optional' lets a request without a token on, and no bad one", async () => {
    const guarded = makeGuarded({ credentials: 'optional' })
    for (const req of [
      { headers: {}, rawHeaders: [] },
      { headers: { authorization: 'Basic x' }, rawHeaders: [] },
    ]) {
      const planted = { ...req, auth: { subject: 'planted' } }
      const outcome = await run([guarded.guard], planted)
      expect(outcome.error).toBeUndefined()
      expect(outcome.req).not.toHaveProperty('auth')
      expect(() => getAuth(planted)).toThrow('no req.auth')
      const { error, headers } = await run(requireScope('a', 'b'), planted)
      expect(factsOf(error)).toEqual({ status: 401, code: 'missing_token', reason: 'missing' })
      expect(headers).toMatchObject({ 'WWW-Authenticate': 'Bearer realm="api", scope="a b"' })
    }
    expect(factsOf((await guarded.ask('a.b.c')).error)).toMatchObject({ status: 401 })
    expect(factsOf((await guarded.ask('a b')).error)).toMatchObject({ status: 400 })
    expect((await guarded.ask(guarded.token())).auth?.subject).toBe('user-1')
  })

  test('getToken stands in for the header; what it throws or returns wrongly is a 400, and null is no token', async () => {
    const failure = new Error('mine')
    const asked = async (getToken: (req: Request) => unknown) => {
      const guarded = makeGuarded({ getToken: getToken as (req: Request) => string })
      const outcome = await run(guarded.guard, bearer(guarded.token()))
      return outcome.error
    }
    expect(factsOf(await asked(() => undefined))).toMatchObject({ code: 'missing_token' })
    expect(factsOf(await asked(() => ''))).toMatchObject({ code: 'missing_token' })
    expect(factsOf(await asked(() => null))).toMatchObject({ code: 'missing_token' })
    expect(factsOf(await asked(() => 'a b'))).toMatchObject({ status: 400 })
    expect(await asked(() => { throw failure })).toBe(failure) // prettier-ignore
    for (const wrong of [7, {}, Promise.resolve('x'), ['x'], ['a', 'b'], false]) {
      expect(factsOf(await asked(() => wrong))).toMatchObject({
        status: 400,
        code: 'invalid_request',
      })
    }
  })

  test('a foreign check that answers nonsense lets no one in', async () => {
    const signer = makeSigner('ES256')
    const thenable = (verdict: unknown) => ({
      then: (resolve: (value: unknown) => void) => {
        resolve(verdict)
      },
    })
    const reject = Promise.reject(new Error('x'))
    reject.catch(() => undefined)
    const answers: [unknown, unknown][] = [
      [undefined, 'revocations'],
      [null, 'revocations'],
      [{}, 'revocations'],
      [{ revoked: 'false' }, 'revocations'],
      [Promise.resolve(undefined), 'revocations'],
      [reject, 'revocations'],
      [thenable({ revoked: true, level: 'session', at: 0 }), 'revoked'],
      [Promise.resolve({ revoked: true, level: 'session', at: 0 }), 'revoked'],
      [thenable({ revoked: false }), undefined],
      [{ revoked: false }, undefined],
    ]
    for (const [answer, expected] of answers) {
      const revocations = { ...memoryRevocations(), check: () => answer } as unknown as Revocations
      const guarded = makeGuarded({ revocations }, { signer })
      for (let use = 0; use < 2; use++) {
        const { error } = await guarded.ask(guarded.token({ jti: 'one' }))
        expect(factsOf(error).reason).toBe(expected)
      }
    }
  })

  test('a response that was answered in between ends in next(error), not in a crash', async () => {
    const guarded = makeGuarded()
    const sent = {
      headersSent: true,
      setHeader: () => {
        throw new Error('ERR_HTTP_HEADERS_SENT')
      },
    }
    const { error } = await run(guarded.guard, bearer('a.b.c'), sent)
    expect(factsOf(error)).toMatchObject({ reason: 'malformed' })
  })

  test('a req that cannot be written to ends in next(error), not in a crash', async () => {
    const guarded = makeGuarded()
    const req = Object.defineProperty(bearer(guarded.token()), 'auth', { get: () => 'theirs' })
    expect((await run(guarded.guard, req)).error).toBeInstanceOf(TypeError)
  })

  test('is closed for good by close(), which leaves the revocations alone', async () => {
    const revocations = memoryRevocations()
    const guarded = makeGuarded({ revocations })
    const token = guarded.token()
    expect((await guarded.ask(token)).error).toBeUndefined()
    await guarded.guard.close()
    for (const text of [token, 'a.b.c']) {
      expect(factsOf((await guarded.ask(text)).error)).toMatchObject({ status: 503 })
    }
    await expect(guarded.guard.ready()).rejects.toBeInstanceOf(UnavailableError)
    expect(revocations.status().state).toBe('live')
    await guarded.guard.close()
  })

  test('ready() waits for the revocations as well', async () => {
    let release: () => void = () => undefined
    const loaded = new Promise<void>((resolve) => (release = resolve))
    const guarded = makeGuarded({
      revocations: { ...memoryRevocations(), ready: async () => loaded },
    })
    let ready = false
    const waiting = guarded.guard.ready().then(() => (ready = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(ready).toBe(false)
    release()
    await waiting
  })

  test('does nothing before its first use', () => {
    let started = 0
    const revocations = {
      ...memoryRevocations(),
      ready: async () => {
        started++
      },
    }
    const guarded = makeGuarded({ revocations, jwksUri: 'https://issuer.test/jwks' })
    expect([started, guarded.fetched]).toEqual([0, []])
  })

  test('a listener that throws, or rejects, changes nothing', async () => {
    const throwing = () => {
      throw new Error('x')
    }
    const rejecting = (): unknown => Promise.reject(new Error('x'))
    for (const onEvent of [throwing, rejecting]) {
      const guarded = makeGuarded({ onEvent })
      expect(factsOf((await guarded.ask('a.b.c')).error)).toMatchObject({ reason: 'malformed' })
      expect((await guarded.ask(guarded.token())).error).toBeUndefined()
    }
  })

  test('remembers nothing with maxCachedTokens 0, and one token with 1', async () => {
    for (const [maxCachedTokens, verifiesAgain] of [
      [0, true],
      [1, false],
    ] as const) {
      const clock = new FakeClock()
      let reads = 0
      const guarded = makeGuarded({ maxCachedTokens }, { clock })
      const [now, token] = [clock.now.bind(clock), guarded.token()]
      await guarded.ask(token)
      clock.now = () => {
        reads++
        return now()
      }
      await guarded.ask(token)
      // A remembered token looks at the clock once.
      expect(reads > 1).toBe(verifiesAgain)
    }
  })

  test('waits for keys when the held ones have grown too old, also for a remembered token', async () => {
    const clock = new FakeClock()
    let broken = false
    const guarded = makeGuarded(
      { jwksUri: 'https://issuer.test/jwks', jwksCache: { maxStaleSeconds: 0, maxAgeSeconds: 60 } },
      {
        clock,
        fetch: async () => {
          if (broken) throw new Error('down')
          return Response.json({ keys: [guarded.signer.publicJwk] })
        },
      },
    )
    const token = guarded.token()
    expect((await guarded.ask(token)).error).toBeUndefined()
    clock.advance(60_001)
    expect((await guarded.ask(token)).error).toBeUndefined()
    expect(guarded.fetched).toHaveLength(2)
    broken = true
    clock.advance(60_001)
    expect(factsOf((await guarded.ask(token)).error)).toMatchObject({ status: 503, reason: 'jwks' })
    await guarded.guard.close()
  })

  test('makes a handler named requireAuth, from real options', async () => {
    const signer = makeSigner('ES256')
    const guard = requireAuth({ issuer, audience, jwks: { keys: [signer.publicJwk] } })
    expect(guard.name).toBe('requireAuth')
    await guard.ready()
    await guard.close()
  })
})

describe('requireClaim', () => {
  const decide = async (guard: RequestHandler, claims: object) => {
    const guarded = makeGuarded()
    const { error } = await run([guarded.guard, guard], bearer(guarded.token(claims)))
    return error === undefined ? 'in' : factsOf(error).reason
  }
  test('compares strictly', async () => {
    expect(await decide(requireClaim('n', 1), { n: 1 })).toBe('in')
    expect(await decide(requireClaim('n', 1), { n: '1' })).toBe('claim')
    expect(await decide(requireClaim('n', true), { n: 1 })).toBe('claim')
    expect(await decide(requireClaim('n', 'a'), { n: ['b'] })).toBe('claim')
    expect(await decide(requireClaim('n', 'a'), { n: [['a']] })).toBe('claim')
    expect(
      await decide(
        requireClaim('constructor', (value) => value !== undefined),
        {},
      ),
    ).toBe('claim')
  })
  test('takes true from a predicate, and neither a promise nor anything truthy', async () => {
    const predicate = (answer: unknown) => requireClaim('n', (() => answer) as () => boolean)
    expect(await decide(predicate(true), { n: 1 })).toBe('in')
    for (const answer of [
      false,
      undefined,
      1,
      'yes',
      {},
      Promise.resolve(true),
      Promise.resolve(false),
    ]) {
      expect(await decide(predicate(answer), { n: 1 })).toBe('claim')
    }
  })
  test.each([
    ['', 'x'],
    [7, 'x'],
    [undefined, 'x'],
    ['a', undefined],
    ['a', null],
    ['a', {}],
    ['a', ['x']],
  ])('is a mistake with %j and %j', (name, expected) => {
    expect(() => requireClaim(name as string, expected as string)).toThrow(TypeError)
  })
})

test('requireScope wants all, requireAnyScope one; each argument may hold several', async () => {
  const guarded = makeGuarded()
  const can = async (guard: RequestHandler) =>
    (await run([guarded.guard, guard], bearer(guarded.token({ scope: 'a b' })))).error === undefined
  expect(await can(requireScope('a'))).toBe(true)
  expect(await can(requireScope('a', 'b'))).toBe(true)
  expect(await can(requireScope('b a'))).toBe(true)
  expect(await can(requireScope('a', 'c'))).toBe(false)
  expect(await can(requireScope('a c'))).toBe(false)
  expect(await can(requireAnyScope('c', 'b'))).toBe(true)
  expect(await can(requireAnyScope('c b'))).toBe(true)
  expect(await can(requireAnyScope('c', 'd'))).toBe(false)
  for (const guard of [requireScope, requireAnyScope]) {
    expect(() => guard()).toThrow(TypeError)
    expect(() => guard(['a'] as unknown as string)).toThrow(TypeError)
    expect(guard('a').name).toBe(guard.name)
  }
})
