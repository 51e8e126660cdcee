import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import express, { type ErrorRequestHandler } from 'express'
import { adminRouter } from '../../src/admin/index.ts'
import { authErrorHandler, requireAuth } from '../../src/index.ts'
import {
  createIssuer,
  generateSigningKey,
  hashClientSecret,
  type IssuerOptions,
  type SigningJwk,
  type TokenResponse,
} from '../../src/issuer/index.ts'
import { redisRevocationsFromUrl } from '../../src/redis/client/from-url.ts'
import { redisRevocations, redisStore } from '../../src/redis/index.ts'
import { type Answer, bearer, listen, postForm, send, type Sent } from '../support/http-client.ts'
import { useRedis } from '../support/redis-for-tests.ts'
import { waitUntil } from '../support/wait.ts'
import { beginSettledLog, useCleanup } from './support/deployment.ts'

const redis = useRedis()
const { closing, template } = useCleanup()

/** A secret that can be told from everything else. */
const newCanary = (kind: string): string =>
  `canary-${kind}-${randomBytes(18).toString('base64url')}`

/** All that must not be seen, and all that was. */
class Watch {
  readonly secrets = new Map<string, string>()
  readonly outputs: { readonly where: string; readonly text: string }[] = []

  secret(name: string, text = newCanary(name)): string {
    this.secrets.set(name, text)
    return text
  }

  /** Whatever tokens hold has to be there for its owner; their last part is what makes them good. */
  tokens(name: string, { access_token: access, refresh_token: refresh }: Partial<TokenResponse>) {
    if (access !== undefined) this.secret(`access token ${name}`, access.split('.')[2])
    if (refresh !== undefined) this.secret(`refresh token ${name}`, refresh)
  }

  see(where: string, value: unknown): void {
    const text =
      typeof value === 'string'
        ? value
        : `${inspect(value, { depth: 20, showHidden: true, maxStringLength: null })} ${String((value as Error | undefined)?.stack)} ${JSON.stringify(value)}`
    this.outputs.push({ where, text })
  }

  /** Of a login or a refresh the tokens themselves are left out, which are there for their owner. */
  seeAnswer(where: string, { status, headers, text, json }: Answer): void {
    if (status !== 200 || json?.access_token === undefined) {
      this.see(where, { status, headers, text })
      return
    }
    const { access_token: _access, refresh_token: _refresh, ...rest } = json
    const { 'set-cookie': cookies = [], ...others } = headers
    this.see(where, {
      headers: others,
      rest,
      cookies: cookies.map((it) => it.replace(/^[^;]*/, '')),
    })
  }

  leaks(): string[] {
    return this.outputs.flatMap(({ where, text }) =>
      [...this.secrets]
        .filter(([, secret]) => text.includes(secret))
        .map(([name]) => `${name} in ${where}`),
    )
  }
}

/** Everything that is printed, by whomever. */
function listenToPrinting(watch: Watch): () => void {
  const undo: (() => void)[] = []
  for (const name of ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const) {
    const original = console[name]
    console[name] = (...args: unknown[]) => watch.see(`console.${name}`, args)
    undo.push(() => (console[name] = original))
  }
  for (const stream of [process.stdout, process.stderr]) {
    const original = stream.write.bind(stream)
    stream.write = (text: string | Uint8Array, ...rest: []) => {
      watch.see('what was printed', String(text))
      return original(text, ...rest)
    }
    undo.push(() => (stream.write = original))
  }
  const onWarning = (warning: Error): void => watch.see('a warning', warning)
  process.on('warning', onWarning)
  undo.push(() => process.off('warning', onWarning))
  return () => {
    for (const act of undo) act()
  }
}

let watch: Watch
let stopListening: () => void

beforeEach(() => {
  watch = new Watch()
  stopListening = listenToPrinting(watch)
})
afterEach(() => stopListening())

async function seeFailure(where: string, act: () => unknown): Promise<void> {
  const error = await Promise.resolve()
    .then(act)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
  if (error === undefined) throw new Error(`${where} did not fail`)
  watch.see(where, error)
}

interface Service {
  readonly url: string
  readonly issuer: ReturnType<typeof createIssuer>
}

/** A login service, an API behind its guard and an admin's endpoints; what they tell and throw is watched. */
async function startService(
  key: SigningJwk,
  password: string,
  options: Partial<IssuerOptions> & { prefix: string },
): Promise<Service> {
  const { prefix, ...more } = options
  const app = express().set('env', 'development')
  const server = closing(await listen(app))
  const layout = { prefix, partitions: 2 }
  const issuer = closing(
    createIssuer({
      issuer: server.url,
      audience: 'https://api.example.com',
      signingKeys: [key],
      refreshTokenSecret: watch.secret('refreshTokenSecret'),
      store: redisStore(template(redis.server, { password }), layout),
      session: { reuseGraceMs: 0 },
      onEvent: (event) => watch.see(`issuer event ${event.type}`, event),
      ...more,
    }),
  )
  const revocations = closing(
    redisRevocations(template(redis.server, { password }), {
      ...layout,
      issuer: server.url,
      maxStalenessMs: 1000,
      onEvent: (event) => watch.see(`revocations event ${event.type}`, event),
    }),
  )
  const guard = requireAuth({
    issuer: server.url,
    audience: 'https://api.example.com',
    jwksUri: `${server.url}/.well-known/jwks.json`,
    revocations,
    onEvent: (event) => watch.see(`guard event ${event.type}`, event),
  })
  closing(guard)
  app.use(issuer.router)
  app.post('/login', (_req, res, next) => {
    issuer.startSession({ subject: 'u1' }).then((tokens) => issuer.send(res, tokens), next)
  })
  app.get('/me', guard, (_req, res) => void res.json({ ok: true }))
  app.get('/plain', guard, (_req, res) => void res.json({ ok: true }))
  app.use('/admin', guard, adminRouter({ issuer }))
  const seeError: ErrorRequestHandler = (error, req, _res, next) => {
    watch.see(`error of ${req.path}`, error)
    next(error)
  }
  app.use(seeError)
  const forApi = authErrorHandler()
  // One route is left to Express's own page, which shows the stack in development.
  app.use(((error, req, res, next) => {
    if (req.path === '/plain') next(error)
    else forApi(error, req, res, next)
  }) as ErrorRequestHandler)
  await guard.ready()
  return { url: server.url, issuer }
}

async function call(where: string, url: string, sent: Sent = {}): Promise<Answer> {
  const answer = await send(url, sent)
  watch.seeAnswer(where, answer)
  return answer
}

async function post(where: string, url: string, fields: Record<string, string>, headers = {}) {
  const answer = await postForm(url, fields, headers)
  watch.seeAnswer(where, answer)
  return answer
}

async function refresh(service: Service, token: string, fields = {}, headers = {}) {
  const grant = { grant_type: 'refresh_token', refresh_token: token, ...fields }
  const answer = await post('/token', `${service.url}/token`, grant, headers)
  if (answer.status === 200) watch.tokens('of a refresh', answer.json)
  return answer
}

const basic = (id: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
})

async function useWithTokens(service: Service, clientSecret: string): Promise<void> {
  const { url, issuer } = service
  const login = await issuer.startSession({
    subject: 'u1',
    clientId: 'web',
    scope: 'sessions:admin',
  })
  watch.tokens('of a login', login)
  const client = basic('web', clientSecret)
  const refreshed = await refresh(service, login.refresh_token, {}, client)
  expect(refreshed.status).toBe(200)
  const admin = { ...bearer(refreshed.json.access_token), 'content-type': 'application/json' }
  for (const path of ['/me', '/plain']) {
    expect((await call(path, url + path, { headers: admin })).status).toBe(200)
    await call(path, `${url}${path}?access_token=${watch.secret('query token')}`)
    await call(path, url + path, { headers: bearer(`${watch.secret('junk token')}.b.c`) })
    await call(path, url + path, { headers: bearer(`${refreshed.json.access_token}x`) })
    await call(path, url + path, {
      headers: { Authorization: [`Bearer ${watch.secret('first of two')}`, 'Bearer b'] },
    })
    await call(path, url + path, {
      headers: { authorization: `Bearer  ${watch.secret('spaces')}` },
    })
  }
  const body = JSON.stringify({ session: 'nobody', reason: 'why' })
  await call('/admin/kick-out', `${url}/admin/kick-out`, { method: 'POST', headers: admin, body })
  for (const path of ['kick-outs', 'nodes', 'sessions?subject=u1', 'users/u1/sessions']) {
    await call(`/admin/${path}`, `${url}/admin/${path}`, { headers: admin })
  }
  await refresh(
    service,
    refreshed.json.refresh_token,
    {},
    basic('web', watch.secret('wrong secret')),
  )
  await refresh(service, refreshed.json.refresh_token, {
    client_secret: watch.secret('form secret'),
  })
  await refresh(service, watch.secret('forged refresh token'), {}, client)
  await refresh(service, refreshed.json.refresh_token, { scope: 'more than granted' }, client)
  await post('/revoke', `${url}/revoke`, { token: refreshed.json.access_token }, client)
  // Used a second time, which ends the session.
  expect((await refresh(service, login.refresh_token, {}, client)).status).toBe(400)
  for (const path of ['/me', '/plain']) {
    await waitUntil(async () => (await call(path, url + path, { headers: admin })).status === 401, {
      what: 'the session to be over',
    })
  }
}

async function useWithCookie({ url }: Service): Promise<void> {
  const signIn = await send(`${url}/login`, { method: 'POST' })
  watch.tokens('of a cookie login', signIn.json)
  const [cookie = ''] = (signIn.headers['set-cookie']?.[0] ?? '').split(';')
  watch.secret('cookie', cookie.split('=')[1])
  watch.seeAnswer('/login', signIn)
  const own = { origin: url, 'sec-fetch-site': 'same-origin', cookie }
  const form = { grant_type: 'refresh_token' }
  const refreshed = await post('/token by cookie', `${url}/token`, form, own)
  expect(refreshed.status).toBe(200)
  watch.tokens('of a cookie refresh', refreshed.json)
  await post('/token from elsewhere', `${url}/token`, form, { ...own, origin: 'https://evil.test' })
  await post('/token twice', `${url}/token`, { ...form, refresh_token: cookie.slice(20) }, own)
  const junk = `${cookie.split('=')[0]}=${watch.secret('forged cookie')}`
  await post('/token forged', `${url}/token`, form, { ...own, cookie: junk })
  await post('/token two cookies', `${url}/token`, form, { ...own, cookie: `${cookie}; ${junk}` })
  await call('/logout', `${url}/logout`, { method: 'POST', headers: own })
}

async function makeWrongOptions(key: SigningJwk): Promise<void> {
  const good = { issuer: 'https://i.test', audience: 'a', signingKeys: [key] }
  const wrong: Partial<Record<keyof IssuerOptions, unknown>>[] = [
    { refreshTokenSecret: 'canary-short' },
    { signingKeys: [{ ...key, d: watch.secret('broken key') }] },
    { signingKeys: [watch.secret('key as text')] },
    { clients: [{ clientId: 'web', secretHashes: [watch.secret('secret instead of hash')] }] },
    { clients: [{ clientId: 'web', secret: watch.secret('secret in clear') }] },
    { [watch.secret('as a name')]: 1 },
  ]
  watch.secret('short secret', 'canary-short')
  watch.secrets.delete('as a name')
  for (const options of wrong) {
    const all = { ...good, refreshTokenSecret: watch.secret('beside a wrong option'), ...options }
    await seeFailure('createIssuer', async () => {
      const made = createIssuer(all as unknown as IssuerOptions)
      closing(made)
      await made.startSession({ subject: 'u' })
    })
  }
  const jwk = { kty: 'oct', k: watch.secret('symmetric key') }
  await seeFailure('requireAuth', async () => {
    const guard = requireAuth({ issuer: 'https://i.test', audience: 'a', jwks: { keys: [jwk] } })
    await guard.ready()
  })
  await seeFailure('requireAuth', async () => {
    const guard = requireAuth({ issuer: 'https://i.test', audience: 'a', jwks: { keys: [key] } })
    await guard.ready()
  })
}

/** Wrong passwords, and a Redis that goes away in the middle. */
async function breakRedis(service: Service, token: string): Promise<void> {
  const { host, port } = redis.server
  const wrong = watch.secret('wrong Redis password')
  const store = closing(redisStore(template(redis.server, { password: wrong })))
  await seeFailure('a store', async () => store.find('0-a'))
  const revocations = closing(redisRevocations(template(redis.server, { password: wrong })))
  await seeFailure('a kick-out', async () => revocations.kickOut({ issuer: 'i', subject: 'u' }))
  const url = `redis://user:${wrong}@${host}:${port}`
  const byUrl = closing(await redisRevocationsFromUrl(url, { issuer: 'i' }))
  await seeFailure('a kick-out by URL', async () => byUrl.kickOut({ subject: 'u' }))
  const login = await service.issuer.startSession({ subject: 'u2', clientId: 'spa' })
  watch.tokens('before the end', login)
  await redis.server.kill9()
  await seeFailure('a login', async () => service.issuer.startSession({ subject: 'u3' }))
  await seeFailure('a kick-out', async () => service.issuer.kickOut({ subject: 'u2' }))
  expect((await refresh(service, login.refresh_token, { client_id: 'spa' })).status).toBe(503)
  await waitUntil(
    async () => {
      const answer = await call('/plain', `${service.url}/plain`, { headers: bearer(token) })
      await call('/me', `${service.url}/me`, { headers: bearer(token) })
      return answer.status === 503
    },
    { what: 'the copy to be stale' },
  )
}

test('Q24 L03 I09 no secret, token or cookie is in anything that is told, printed, thrown, answered or stored', async () => {
  const password = watch.secret('Redis password')
  const admin = redis.client()
  await admin.config('SET', 'requirepass', password)
  // What is dumped is to be read as it is.
  await admin.config('SET', 'rdbcompression', 'no')
  const monitor = await redis.client({ password }).monitor()
  monitor.on('monitor', (_time: string, args: string[]) =>
    watch.see('a Redis command', args.join(' ')),
  )
  const [one, two] = [redis.uniquePrefix(), redis.uniquePrefix()]
  for (const prefix of [one, two]) await beginSettledLog(admin, { prefix, partitions: 2 })
  const key = await generateSigningKey('ES256')
  watch.secret('signing key', key.d)
  const clientSecret = watch.secret('client secret')
  const clients = [
    { clientId: 'web', secretHashes: [hashClientSecret(clientSecret)] },
    { clientId: 'spa' },
  ]
  const claims = () => ({ tenant: 'acme' })
  const byToken = await startService(key, password, { prefix: one, clients, claims })
  const byCookie = await startService(key, password, { prefix: two, cookie: {} })

  await useWithTokens(byToken, clientSecret)
  await useWithCookie(byCookie)
  await makeWrongOptions(key)
  const { access_token: token, ...login } = await byToken.issuer.startSession({
    subject: 'u2',
    clientId: 'spa',
  })
  watch.tokens('at the end', { access_token: token, ...login })
  for (const name of await admin.keys('*')) {
    watch.see('a Redis value', [name, await admin.dump(name)])
  }
  monitor.disconnect()
  await breakRedis(byToken, token)

  // What the watch is worth: it has seen every kind of thing, and would have said so.
  const kinds = watch.outputs.map(({ where }) => where)
  for (const kind of [
    'issuer event refresh.reused',
    'guard event auth.rejected',
    'revocations event revocations.state',
    'error of /plain',
    'a Redis command',
    '/token',
  ]) {
    expect(kinds).toContain(kind)
  }
  expect(watch.secrets.size).toBeGreaterThan(25)
  expect(watch.leaks()).toEqual([])
  watch.see('a control', `x${token}x${password}`)
  expect(watch.leaks()).toEqual([
    'Redis password in a control',
    'access token at the end in a control',
  ])
}, 60_000)
