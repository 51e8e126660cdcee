import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { IntrospectionOptions } from '../../../src/guard/introspection/options.ts'
import type { RequireAuthOptions } from '../../../src/guard/require-auth-options.ts'
import { createMemoryRevocations } from '../../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { factsOf, type Guarded, makeGuarded } from '../../support/guarded.ts'
import { listen, type Listening } from '../../support/http-client.ts'
import { claimsAt, issuer, makeSigner } from '../../support/make-token.ts'
import { waitUntil } from '../../support/wait.ts'

/** An endpoint of a test's own, which counts what it is asked. */
interface Endpoint {
  readonly url: string
  readonly asked: URLSearchParams[]
  answer: (form: URLSearchParams, res: ServerResponse, req: IncomingMessage) => void
}

const open: (Listening | Guarded['guard'])[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(async (one) => one.close()))
})

const inactive = { status: 401, code: 'invalid_token', reason: 'inactive' }
const unavailable = { status: 503, code: 'temporarily_unavailable', reason: 'introspection' }

async function startEndpoint(answer: Endpoint['answer']): Promise<Endpoint> {
  const asked: URLSearchParams[] = []
  const server = await listen((req, res) => {
    let body = ''
    req.on('data', (chunk: Buffer) => (body += chunk.toString()))
    req.on('end', () => {
      const form = new URLSearchParams(body)
      asked.push(form)
      endpoint.answer(form, res, req)
    })
  })
  open.push(server)
  const endpoint: Endpoint = { url: `${server.url}/introspect`, asked, answer }
  return endpoint
}

function json(value: unknown): Endpoint['answer'] {
  return (_form, res) => {
    res.setHeader('content-type', 'application/json').end(JSON.stringify(value))
  }
}

function asking(
  endpoint: Endpoint,
  options: Partial<IntrospectionOptions> = {},
  rest: Partial<RequireAuthOptions> = {},
  clock = new FakeClock(),
): Guarded {
  const made = makeGuarded(
    {
      introspection: {
        endpoint: endpoint.url,
        clientId: 'api',
        clientSecret: 'a secret',
        ...options,
      },
      ...rest,
    },
    { clock, fetch: async (url, init) => fetch(url, init) },
  )
  open.push(made.guard)
  return made
}

const active = (clock: FakeClock, changes: object = {}) => ({
  active: true,
  ...claimsAt(clock.seconds, changes),
})

describe('an answer', () => {
  test('is asked for once for 50 requests at once, and kept for cacheSeconds', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint(json(active(clock)))
    const { ask } = asking(endpoint, {}, {}, clock)
    const outcomes = await Promise.all(Array.from({ length: 50 }, async () => ask('opaque')))
    expect(outcomes.map(({ auth }) => auth?.subject)).toEqual(new Array(50).fill('user-1'))
    expect(endpoint.asked).toHaveLength(1)
    expect(Object.fromEntries(endpoint.asked[0] ?? [])).toEqual({
      token: 'opaque',
      token_type_hint: 'access_token',
    })
    clock.advance(29_999)
    expect((await ask('opaque')).error).toBeUndefined()
    expect(endpoint.asked).toHaveLength(1)
    clock.advance(1)
    expect((await ask('opaque')).error).toBeUndefined()
    expect(endpoint.asked).toHaveLength(2)
  })

  test('is kept no longer than the token lives', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint(json(active(clock, { exp: clock.seconds + 10 })))
    const { ask } = asking(endpoint, {}, {}, clock)
    await ask('opaque')
    clock.advance(9_999)
    await ask('opaque')
    expect(endpoint.asked).toHaveLength(1)
    endpoint.answer = json({ active: false })
    clock.advance(1)
    expect(factsOf((await ask('opaque')).error)).toEqual(inactive)
  })

  test('that a token is not active is kept for five seconds', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint(json({ active: false }))
    const { ask, events } = asking(endpoint, {}, {}, clock)
    for (const ms of [0, 4_999]) {
      clock.advance(ms)
      expect(factsOf((await ask('opaque')).error)).toEqual(inactive)
    }
    expect(endpoint.asked).toHaveLength(1)
    clock.advance(1)
    endpoint.answer = json(active(clock))
    expect((await ask('opaque')).error).toBeUndefined()
    expect(events).toContainEqual(expect.objectContaining({ reason: 'inactive' }))
  })

  test('is kept for no longer than one request with cacheSeconds 0', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint(json(active(clock)))
    const { ask } = asking(endpoint, { cacheSeconds: 0 }, {}, clock)
    for (let round = 1; round <= 3; round++) {
      await ask('opaque')
      expect(endpoint.asked).toHaveLength(round)
    }
  })

  test('E08 of a session that was kicked out is refused on the next use, cached, and while it was under way', async () => {
    const clock = new FakeClock()
    const revocations = createMemoryRevocations({}, { clock })
    const endpoint = await startEndpoint(json(active(clock)))
    const { ask } = asking(endpoint, {}, { revocations }, clock)
    const revoked = { status: 401, code: 'invalid_token', reason: 'revoked' }
    expect((await ask('opaque')).error).toBeUndefined()
    await revocations.kickOut({ issuer, session: 'sid-1' })
    expect(factsOf((await ask('opaque')).error)).toEqual(revoked)
    expect(endpoint.asked).toHaveLength(1)
    endpoint.answer = (form, res) => {
      void revocations.kickOut({ issuer, token: { jti: 'late' } }).then(() => {
        json(active(clock, { sid: 'other', jti: 'late' }))(form, res, undefined as never)
      })
    }
    expect(factsOf((await ask('another')).error)).toEqual(revoked)
  })
})

describe('which tokens are asked about', () => {
  test('those of three parts are not, unless jwt is true', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint(json(active(clock, { sub: 'by the issuer' })))
    const local = asking(endpoint, {}, {}, clock)
    expect((await local.ask(local.token())).auth?.subject).toBe('user-1')
    expect(factsOf((await local.ask('a.b.c')).error)).toMatchObject({ reason: 'malformed' })
    expect(endpoint.asked).toHaveLength(0)
    const all = asking(endpoint, { jwt: true }, {}, clock)
    expect((await all.ask(all.token())).auth?.subject).toBe('by the issuer')
    expect((await all.ask('a.b.c')).auth?.subject).toBe('by the issuer')
    expect(endpoint.asked).toHaveLength(2)
  })

  test('E09 a JWT of another issuer never is: its own keys decide', async () => {
    const clock = new FakeClock()
    const other = makeSigner('ES256', 'other')
    const endpoint = await startEndpoint(json(active(clock)))
    const { ask } = asking(
      endpoint,
      {},
      {
        introspection: undefined as never,
        issuer: [
          {
            issuer,
            jwks: { keys: [makeSigner('ES256').publicJwk] },
            introspection: {
              endpoint: endpoint.url,
              clientId: 'api',
              clientSecret: 'a secret',
              jwt: true,
            },
          },
          { issuer: 'https://other.test', jwks: { keys: [other.publicJwk] } },
        ],
      },
      clock,
    )
    const foreign = other.sign(claimsAt(clock.seconds, { iss: 'https://other.test' }))
    expect((await ask(foreign)).auth?.issuer).toBe('https://other.test')
    const unknown = other.sign(claimsAt(clock.seconds, { iss: 'https://evil.test' }))
    expect(factsOf((await ask(unknown)).error)).toMatchObject({ reason: 'issuer' })
    expect(endpoint.asked).toHaveLength(0)
    expect((await ask('opaque')).auth?.issuer).toBe(issuer)
  })

  test('E10 one that is no b64token, or too long, never is', async () => {
    const endpoint = await startEndpoint(json({ active: false }))
    const { ask } = asking(endpoint)
    for (const bad of ['ö', 'a b', 'a"b', 'a,b']) {
      expect(factsOf((await ask(bad)).error)).toMatchObject({ status: 400 })
    }
    expect(factsOf((await ask('a'.repeat(8193))).error)).toMatchObject({ reason: 'malformed' })
    expect(endpoint.asked).toHaveLength(0)
    expect(factsOf((await ask('a'.repeat(8192))).error)).toEqual(inactive)
  })
})

describe('E02 E03 an endpoint that fails is our failure, 503', () => {
  const html: Endpoint['answer'] = (_form, res) => {
    res.setHeader('content-type', 'text/html').end('<html>signed out</html>')
  }
  const status = (code: number, body = '{"active":false}'): Endpoint['answer'] => {
    return (_form, res) => {
      res.writeHead(code, { 'content-type': 'application/json', location: '/elsewhere' }).end(body)
    }
  }
  test.each<[string, Endpoint['answer']]>([
    ['a page of HTML', html],
    ['a 401 to us', status(401, '{"error":"invalid_client"}')],
    ['a 403 to us', status(403)],
    ['a 500', status(500)],
    ['a 404', status(404)],
    ['a 204', status(204, '')],
    ['a redirect, which is not followed', status(302)],
    ['an empty body', status(200, '')],
    ['half a body', status(200, '{"active":tr')],
    ['null', json(null)],
    ['a list', json([{ active: true }])],
    ['a text', json('active')],
    ['no "active"', json({ sub: 'user-1' })],
    ['"active" as a text', json({ active: 'true' })],
    ['"active" as a number', json({ active: 1 })],
    ['more than 512 KiB', json({ active: true, filler: 'x'.repeat(513 * 1024) })],
    [
      'a connection that breaks',
      (_form, res) => {
        res.destroy()
      },
    ],
  ])('%s', async (_name, answer) => {
    const endpoint = await startEndpoint(answer)
    const { ask, events } = asking(endpoint)
    const { error, headers } = await ask('opaque-and-secret')
    expect(factsOf(error)).toEqual(unavailable)
    expect(headers['Retry-After']).toBe('1')
    expect(headers).not.toHaveProperty('WWW-Authenticate')
    expect(String(error)).not.toContain('opaque-and-secret')
    expect(events).toContainEqual(expect.objectContaining({ reason: 'introspection' }))
    expect(endpoint.asked).toHaveLength(1)
  })

  test('E01 one that hangs, or sends its body drop by drop, is given up after timeoutMs', async () => {
    const drip: Endpoint['answer'] = (_form, res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => res.write(' '), 20)
      res.on('close', () => {
        clearInterval(timer)
      })
    }
    for (const answer of [() => undefined, drip]) {
      const endpoint = await startEndpoint(answer)
      const { ask } = asking(endpoint, { timeoutMs: 150 })
      const began = performance.now()
      expect(factsOf((await ask('opaque')).error)).toEqual(unavailable)
      expect(performance.now() - began).toBeLessThan(1000)
    }
  })

  test('a fetch of the application that never settles is given up too', async () => {
    const endpoint = await startEndpoint(() => undefined)
    const { ask } = asking(
      endpoint,
      { timeoutMs: 50 },
      { fetch: async () => new Promise<Response>(() => undefined) },
    )
    expect(factsOf((await ask('opaque')).error)).toEqual(unavailable)
  })

  test('and an answer that was kept goes on working until it is too old', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint(json(active(clock)))
    const { ask } = asking(endpoint, {}, {}, clock)
    await ask('opaque')
    endpoint.answer = status(500)
    clock.advance(29_999)
    expect((await ask('opaque')).error).toBeUndefined()
    clock.advance(1)
    expect(factsOf((await ask('opaque')).error)).toEqual(unavailable)
    endpoint.answer = json(active(clock))
    expect((await ask('opaque')).error).toBeUndefined()
  })
})

describe('a flood', () => {
  test('E04 of different tokens makes at most maxConcurrent calls at once, and known tokens go on', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint(json(active(clock)))
    const { ask } = asking(endpoint, { maxConcurrent: 3 }, {}, clock)
    await ask('known')
    const held: (() => void)[] = []
    let release = (): void => undefined
    const full = new Promise<void>((resolve) => (release = resolve))
    endpoint.answer = (form, res, req) => {
      held.push(() => {
        json({ active: false })(form, res, req)
      })
      if (held.length === 3) release()
    }
    const first = Array.from({ length: 3 }, async (_, index) => ask(`slow-${index}`))
    await full
    const others = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => ask(`more-${index}`)),
    )
    expect(others.map(({ error }) => factsOf(error))).toEqual(new Array(100).fill(unavailable))
    expect((await ask('known')).error).toBeUndefined()
    expect(endpoint.asked).toHaveLength(4)
    for (const answer of held) answer()
    for (const { error } of await Promise.all(first)) expect(factsOf(error)).toEqual(inactive)
    endpoint.answer = json({ active: false })
    expect(factsOf((await ask('more-1')).error)).toEqual(inactive)
  })

  test('E04 of tokens that are not active evicts no good one', async () => {
    const clock = new FakeClock()
    const endpoint = await startEndpoint((form, res, req) => {
      json(form.get('token') === 'good' ? active(clock) : { active: false })(form, res, req)
    })
    const { ask } = asking(endpoint, {}, { maxCachedTokens: 1 }, clock)
    await ask('good')
    for (let index = 0; index < 100; index++) await ask(`bad-${index}`)
    expect(endpoint.asked).toHaveLength(101)
    await ask('good')
    expect(endpoint.asked).toHaveLength(101)
  })
})

describe('discovery', () => {
  async function provider(metadata: (url: string) => unknown) {
    const clock = new FakeClock()
    const paths: string[] = []
    const server = await listen((req, res) => {
      paths.push(req.url ?? '')
      const isMetadata = req.url?.includes('/.well-known/') === true
      const body = isMetadata ? metadata(server.url) : active(clock, { iss: server.url })
      if (body === undefined) res.writeHead(503).end()
      else res.setHeader('content-type', 'application/json').end(JSON.stringify(body))
    })
    open.push(server)
    const made = makeGuarded(
      {
        issuer: server.url,
        jwks: { keys: [makeSigner('ES256').publicJwk] },
        introspection: { clientId: 'api', clientSecret: 'a secret' },
      },
      { clock, fetch: async (url, init) => fetch(url, init) },
    )
    open.push(made.guard)
    return { ...made, paths }
  }
  const metadataOf = (url: string) => ({ issuer: url, introspection_endpoint: `${url}/introspect` })

  test('finds the endpoint once, ahead of time with ready', async () => {
    const { guard, ask, paths } = await provider(metadataOf)
    await guard.ready()
    expect(paths).toEqual(['/.well-known/oauth-authorization-server'])
    for (const token of ['one', 'two']) expect((await ask(token)).error).toBeUndefined()
    expect(paths.slice(1)).toEqual(['/introspect', '/introspect'])
  })

  test.each<[string, (url: string) => unknown]>([
    ['names no endpoint', (url) => ({ issuer: url })],
    ['is of another issuer', (url) => ({ ...metadataOf(url), issuer: 'https://evil.test' })],
    [
      'names an address that is not safe',
      (url) => ({ ...metadataOf(url), introspection_endpoint: 'http://evil.test/' }),
    ],
  ])('that %s is 503, and ready says so', async (_name, metadata) => {
    const { guard, ask } = await provider(metadata)
    expect(factsOf((await ask('opaque')).error)).toEqual(unavailable)
    await expect(guard.ready()).rejects.toMatchObject({ reason: 'introspection' })
  })

  test('that fails is repeated once per cool-down, however many tokens come', async () => {
    let isUp = false
    const { ask, paths, clock } = await provider((url) => (isUp ? metadataOf(url) : undefined))
    for (let index = 0; index < 20; index++) {
      expect(factsOf((await ask(`opaque-${index}`)).error)).toEqual(unavailable)
    }
    expect(paths).toHaveLength(2)
    clock.advance(29_999)
    expect(factsOf((await ask('opaque')).error)).toEqual(unavailable)
    expect(paths).toHaveLength(2)
    clock.advance(1)
    isUp = true
    expect((await ask('opaque')).error).toBeUndefined()
  })

  test('that never succeeds ends with the guard', async () => {
    const { guard } = await provider(() => undefined)
    const waiting = guard.ready()
    await Promise.all([expect(waiting).rejects.toMatchObject({ status: 503 }), guard.close()])
  })
})

test('a closed guard gives up the calls that are under way', async () => {
  const endpoint = await startEndpoint(() => undefined)
  const { ask, guard } = asking(endpoint, { timeoutMs: 60_000 })
  const pending = ask('opaque')
  await waitUntil(() => endpoint.asked.length === 1, { what: 'the call' })
  await guard.close()
  expect(factsOf((await pending).error)).toEqual(unavailable)
})
