import { afterEach } from '@jest/globals'
import defaultExpress, { type Express, type RequestHandler } from 'express'
import { decodeJwt } from 'jose'
import { adminRouter } from '../../src/admin/index.ts'
import { type AuthHandler, authErrorHandler, createGuard } from '../../src/guard/middleware.ts'
import { getAuth } from '../../src/guard/request-auth.ts'
import { readSettings } from '../../src/guard/options.ts'
import type { RequireAuthOptions } from '../../src/guard/require-auth-options.ts'
import {
  createIssuer,
  generateSigningKey,
  type Issuer,
  type IssuerEvent,
  type IssuerOptions,
  type SessionStore,
  type StartSessionInput,
  type TokenResponse,
} from '../../src/issuer/index.ts'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import {
  type Answer,
  bearer,
  listen,
  type Listening,
  postForm,
  send,
  type Sent,
} from './http-client.ts'
import { FakeClock } from './fake-clock.ts'

export const audience = 'https://api.example.com'
export const secret = 'a secret of thirty-two bytes or more, for tests only'
export const signingKey = await generateSigningKey('ES256')

export interface KitOptions {
  /** Over the kit's own. Unless it names an `issuer`, the issuer's URL is the server's. */
  issuer?: Partial<IssuerOptions>
  /** Below which path the router is mounted and the issuer's URL ends. */
  path?: string
  clock?: FakeClock
  store?: SessionStore
  /** Express 4 or 5; what this file imports unless given. */
  express?: typeof defaultExpress
  /** Mounted before everything else, as an application's own parsers are. */
  before?: RequestHandler[]
  /** Further routes of the application, in front of the handler of errors. */
  routes?: (app: Express, parts: { guard: AuthHandler; issuer: Issuer; clock: FakeClock }) => void
  /** Over the guard's own options. */
  guard?: Partial<RequireAuthOptions>
  /** Where the guard finds keys: by discovery unless the issuer has an address of its own. */
  discovery?: boolean
}

export interface Kit {
  readonly url: string
  /** The server's URL with the issuer's path. */
  readonly base: string
  readonly issuer: Issuer
  readonly clock: FakeClock
  readonly store: SessionStore
  readonly events: IssuerEvent[]
  /** The events `grant.rejected`, apart from the story of sessions that the others tell. */
  readonly refusals: IssuerEvent[]
  readonly app: Express
  startSession(input?: Partial<StartSessionInput>): Promise<TokenResponse>
  refresh(
    token: string,
    fields?: Record<string, string>,
    headers?: Sent['headers'],
  ): Promise<Answer>
  revoke(token: string, fields?: Record<string, string>, headers?: Sent['headers']): Promise<Answer>
  /** Calls the guarded API. */
  call(accessToken: string, path?: string): Promise<Answer>
  /** An access token with the admin's scope, of a user of its own. */
  admin(): Promise<Record<string, string>>
  close(): Promise<void>
}

const open: { close(): Promise<void> }[] = []

/** Closes what a test has opened, however it ends. Call it once in each file that uses kits. */
export function closeKitsAfterEach(): void {
  afterEach(async () => {
    await Promise.all(open.splice(0).map(async (kit) => kit.close()))
  })
}

/** Serves an application of a test's own until the test ends. */
export async function serve(app: Express): Promise<Listening> {
  const server = await listen(app)
  open.push(server)
  return server
}

/** An issuer, an API behind a guard, a stream and an admin router on one server, all on one clock. */
export async function createKit(options: KitOptions = {}): Promise<Kit> {
  const {
    path = '',
    clock = new FakeClock(Date.UTC(2026, 0, 1) + 500),
    express = defaultExpress,
  } = options
  const store = options.store ?? new MemorySessionStore({}, clock)
  const events: IssuerEvent[] = []
  const refusals: IssuerEvent[] = []
  const app = express()
  const server = await listen(app)
  const base = server.url + path
  const name = options.issuer?.issuer ?? base
  const issuer = createIssuer({
    issuer: name,
    audience,
    signingKeys: [signingKey],
    refreshTokenSecret: secret,
    store,
    onEvent: (event) => (event.type === 'grant.rejected' ? refusals : events).push(event),
    ...options.issuer,
  })
  const keys = options.discovery ? {} : { jwksUri: `${base}/.well-known/jwks.json` }
  const guard = createGuard(
    readSettings({
      issuer: name,
      audience,
      ...keys,
      revocations: issuer.revocations,
      ...options.guard,
    }),
    { clock, fetch: async (input, init) => fetch(input, init) },
  )
  for (const handler of options.before ?? []) app.use(handler)
  app.use(path === '' ? '/' : path, issuer.router)
  app.post('/login', express.json(), (req, res, next) => {
    issuer.startSession(req.body as StartSessionInput).then((tokens) => {
      issuer.send(res, tokens)
    }, next)
  })
  app.get('/me', guard, (req, res) => {
    const { subject, sessionId, scopes, clientId, payload } = getAuth(req)
    res.json({ subject, sessionId, scopes, clientId, payload })
  })
  app.get('/stream', guard, (req, res) => {
    const { signal } = getAuth(req)
    res.set('Content-Type', 'text/event-stream').write('data: open\n\n')
    signal.addEventListener('abort', () => res.end('data: closed\n\n'))
  })
  app.use('/admin', guard, adminRouter({ issuer }))
  options.routes?.(app, { guard, issuer, clock })
  app.use(authErrorHandler())

  const kit: Kit = {
    url: server.url,
    base,
    issuer,
    clock,
    store,
    events,
    refusals,
    app,
    startSession: async (input) => issuer.startSession({ subject: 'u1', ...input }),
    refresh: async (token, fields, headers) =>
      postForm(
        `${base}/token`,
        { grant_type: 'refresh_token', refresh_token: token, ...fields },
        headers,
      ),
    revoke: async (token, fields, headers) =>
      postForm(`${base}/revoke`, { token, ...fields }, headers),
    call: async (accessToken, where = '/me') =>
      send(server.url + where, { headers: bearer(accessToken) }),
    async admin() {
      const tokens = await issuer.startSession({ subject: 'the-admin', scope: 'sessions:admin' })
      return bearer(tokens.access_token)
    },
    async close() {
      await Promise.all([guard.close(), issuer.close(), server.close()])
    },
  }
  open.push(kit)
  return kit
}

/** A token's claims, unverified. */
export function claimsOf(answer: Answer | TokenResponse): Record<string, unknown> {
  const token: string = 'json' in answer ? answer.json.access_token : answer.access_token
  return decodeJwt(token)
}

/** The types of the events so far. */
export function typesOf({ events }: Pick<Kit, 'events'>): string[] {
  return events.map(({ type }) => type)
}

/** The refresh cookie's name at an issuer on loopback. */
export function loopbackCookieOf({ base }: Pick<Kit, 'base'>): string {
  return `refresh_token_${new URL(base).port}`
}
