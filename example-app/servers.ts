import { randomBytes } from 'node:crypto'
import { createIssuer, generateSigningKey, type Issuer } from 'express-kickout/issuer'
import { createApi } from './api.ts'
import { listen } from './listen.ts'
import { liveSocket } from './live-socket.ts'
import { createLoginService } from './login-service.ts'
import { Notebook } from './notebook.ts'
import { SessionEnds } from './session-ends.ts'
import { StalenessRecord } from './staleness-record.ts'
import { memoryState, type State } from './state.ts'

export interface ServersOptions {
  /** 0 takes a free one. */
  loginPort?: number
  /** One API server for each. Two need `redisUrl` or `databaseUrl`. */
  apiPorts?: readonly number[]
  redisUrl?: string | undefined
  /** PostgreSQL, instead of Redis. */
  databaseUrl?: string | undefined
  /** Starts the provider of another company too, by which a user can sign in. */
  providerPort?: number
  /** `false` hands refresh tokens out in JSON, as to a native app. */
  cookie?: boolean
  demo?: boolean
  accessTokenTtlSeconds?: number
  /** How old an API server's proof may be that it knows of every kick-out. */
  maxStalenessMs?: number
}

export interface Servers {
  loginUrl: string
  apiUrls: string[]
  /** Where there is one. */
  providerUrl: string | undefined
  issuer: Issuer
  close(): Promise<void>
}

const audience = 'https://notes.example'

/** Starts the login service and its APIs; resolves when all of them can answer. */
export async function startServers(options: ServersOptions = {}): Promise<Servers> {
  const { loginPort = 3000, cookie = true, demo = true } = options
  const isShared = (options.redisUrl ?? options.databaseUrl) !== undefined
  const apiPorts = options.apiPorts ?? (isShared ? [3001, 3002] : [3001])

  // Two hosts, not just two ports: cookies do not know ports, and an API should never even be sent the refresh cookie.
  const login = await listen(loginPort, 'localhost')
  const apis = await Promise.all(apiPorts.map(async (port) => listen(port, '127.0.0.1')))
  const apiUrls = apis.map(({ url }) => url)

  const state = await createState(options)
  const ends = new SessionEnds()
  const issuer = createIssuer({
    issuer: login.url,
    audience,
    store: state.store,
    // Made at each start, which is good enough for a demo. Yours come from where you keep secrets.
    signingKeys: [await generateSigningKey('ES256')],
    refreshTokenSecret: randomBytes(32),
    accessTokenTtlSeconds: options.accessTokenTtlSeconds ?? 120,
    ...(cookie && { cookie: {} }),
    onEvent: ends.onEvent,
  })
  const staleness = new StalenessRecord(issuer.revocations)

  const acme = await startProvider(options.providerPort, login.url)

  const loginService = createLoginService({
    issuer,
    issuerUrl: login.url,
    audience,
    revocations: state.revocationsForLogin(issuer, login.url),
    replay: state.replay,
    apiUrls,
    ends,
    staleness,
    provider: acme?.registration,
    demo,
  })
  login.server.on('request', loginService.app)

  const notebook = new Notebook()
  const guards = [loginService.guard]
  const stopSockets: (() => void)[] = []
  for (const { server, url } of apis) {
    const name = new URL(url).host
    const api = createApi({
      name,
      issuer: login.url,
      audience,
      revocations: state.revocationsForApi(issuer, login.url),
      publicUrl: url,
      replay: state.replay,
      notebook,
      pageOrigin: login.url,
    })
    server.on('request', api.app)
    guards.push(api.guard)
    const { guard } = api
    stopSockets.push(
      liveSocket({ server, guard, notebook, serverName: name, pageOrigin: login.url }),
    )
  }
  await Promise.all(guards.map(async (guard) => guard.ready()))

  return {
    loginUrl: login.url,
    apiUrls,
    providerUrl: acme?.registration.issuer,
    issuer,
    async close() {
      for (const stop of stopSockets) stop()
      for (const { server } of [login, ...apis]) {
        server.close()
        server.closeAllConnections()
      }
      staleness.close()
      await Promise.all(guards.map(async (guard) => guard.close()))
      await acme?.close()
      await issuer.close()
      await state.close()
    },
  }
}

async function startProvider(port: number | undefined, loginUrl: string) {
  if (port === undefined) return undefined
  const { startAcme } = await import('./provider/acme.ts')
  return startAcme(port, loginUrl)
}

async function createState({
  redisUrl,
  databaseUrl,
  maxStalenessMs = 5000,
}: ServersOptions): Promise<State> {
  if (databaseUrl !== undefined) {
    const { postgresState } = await import('./postgres-state.ts')
    return postgresState(databaseUrl, maxStalenessMs)
  }
  if (redisUrl === undefined) return memoryState()
  const { redisState } = await import('./redis-state.ts')
  return redisState(redisUrl, maxStalenessMs)
}
