import cluster from 'node:cluster'
import type { ErrorRequestHandler, NextFunction, Request, RequestHandler, Response } from 'express'
import type { Auth } from '../auth.ts'
import { type Clock, systemClock } from '../clock.ts'
import { AuthError, isAuthError, UnavailableError } from '../errors.ts'
import { type Emit, emitterOf, type GuardEvent, lendEvents } from '../events.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { authenticate } from './authenticate.ts'
import { readBearer, readBearerOrDpop, type Scheme, schemeOf } from './bearer.ts'
import { acceptedMethods, Possession } from './binding/possession.ts'
import type { PresentingRequest } from './binding/presentation.ts'
import { setHeaders, toErrorBody, writeErrorHeaders, writeHeaders } from './challenge.ts'
import { withEnvironment } from './environment.ts'
import { TokenRouter } from './introspection/token-router.ts'
import type { Fetch } from './keys/fetch-json.ts'
import { IssuerDirectory } from './issuer-directory.ts'
import {
  findAuth,
  findGuardContext,
  type GuardContext,
  markAnonymous,
  markGuard,
  presentedSchemeOf,
  RequestAuth,
  type RequestAuthContext,
  setAuth,
} from './request-auth.ts'
import type { RequireAuthOptions } from './require-auth-options.ts'
import { type GuardSettings, readSettings } from './options.ts'
import type { RouteHandler } from './route-handler.ts'
import { canVouch, Signals } from './signals.ts'
import { GuardCounters, type GuardStats } from './stats.ts'
import { VerifiedCache } from './token/verified-cache.ts'
import { type VerifiedToken, Verifier, type VerifierSettings } from './token/verifier.ts'

/** The parts of a request that a guard reads, as Node's `IncomingMessage` has them. */
export interface AuthenticatedRequest extends PresentingRequest {
  /** The headers, as Node.js has joined them. */
  readonly headers: { readonly authorization?: string | undefined }
}

/** What `requireAuth` returns: a handler with a beginning and an end. */
export interface AuthHandler extends RouteHandler {
  /**
   * Makes every check of the middleware without a response: for WebSocket upgrades, other frameworks and tests. Sets no
   * `req.auth` and writes no header; the headers of a refusal stand on the error.
   *
   * @param options - `token`: checked instead of what the request carries
   * @throws AuthError, UnavailableError; `missing_token` also where `credentials` is `'optional'`
   */
  authenticate(req: AuthenticatedRequest, options?: { token?: string }): Promise<Auth>
  /**
   * Resolves when keys are fetched, the revocations are complete, and with `dpop` the replay store can vouch for new proofs,
   * however long that takes.
   *
   * @param options - `timeoutMs`: rejects after that time with an `UnavailableError` that names what is missing
   * @throws Error where waiting is no use, such as metadata of another issuer or an unfit Redis
   */
  ready(options?: { timeoutMs?: number }): Promise<void>
  /** What it has done since it was made, as numbers for a metric. Cheap: it copies some twenty numbers. */
  stats(): GuardStats
  /** Stops its own timers; every later request is 503. Never closes the `Revocations` it was given, only those that it made of `KICKOUT_REDIS_URL`. */
  close(): Promise<void>
}

export interface GuardDeps {
  readonly clock: Clock
  readonly fetch: Fetch
  /** Closed together with the guard. */
  readonly ownRevocations?: Revocations
}

const perProcess =
  'This process is one of several workers, and memoryRevocations() reach only the one that was asked: kick-outs are not ' +
  'in force in the others. Use redisRevocations() or postgresRevocations()'

const systemDeps: GuardDeps = { clock: systemClock, fetch: async (url, init) => fetch(url, init) }

/**
 * Makes the guard of a resource server: verifies the bearer token of each request locally, checks that it was not kicked
 * out, and sets `req.auth`. Refuses with `next(error)`, headers already on the response.
 *
 * @throws TypeError at creation for wrong, missing or unknown options
 * @see RFC 6750, RFC 9068
 */
export function requireAuth(options?: RequireAuthOptions): AuthHandler {
  const completed = withEnvironment(options)
  const settings = readSettings(completed)
  // Revocations that were made of the environment are known to this guard alone, so it closes them.
  const own = options?.revocations === undefined ? settings.revocations : undefined
  return createGuard(settings, own ? { ...systemDeps, ownRevocations: own } : systemDeps)
}

/**
 * Waits for all of them, within a time where one is given.
 *
 * @throws UnavailableError that names what is missing
 */
async function allWithin(
  timeoutMs: number | undefined,
  waited: Readonly<Record<string, Promise<void> | undefined>>,
): Promise<void> {
  const missing = new Set<string>()
  const all = Promise.all(
    Object.entries(waited).map(async ([name, promise]) => {
      missing.add(name)
      await promise
      missing.delete(name)
    }),
  )
  if (timeoutMs === undefined) {
    await all
    return
  }
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const reason = (['revocations', 'introspection'] as const).find((name) =>
        [...missing].some((one) => one.startsWith(name)),
      )
      const what = [...missing].join(', ')
      reject(
        new UnavailableError(
          reason ?? 'jwks',
          `Not ready within ${timeoutMs} ms: missing are ${what}`,
        ),
      )
    }, timeoutMs)
  })
  await Promise.race([all, late]).finally(() => clearTimeout(timer))
}

export function createGuard(settings: GuardSettings, deps: GuardDeps): AuthHandler {
  const { clock } = deps
  const { revocations, bindings, clockToleranceSeconds } = settings
  const events = emitterOf(settings.onEvent)
  const counters = new GuardCounters()
  const emit: Emit<GuardEvent> = (event) => {
    counters.note(event)
    events(event)
  }
  const keyDeps = { ...deps, fetch: settings.fetch ?? deps.fetch, emit }
  let closed = false
  const issuers = new IssuerDirectory(settings.trusts, keyDeps)
  const policy: VerifierSettings = {
    ...settings,
    trusts: issuers,
    checksRevocations: revocations !== undefined,
    retentionSecondsFor: (issuedAtMs) =>
      revocations?.retentionSecondsFor?.(issuedAtMs) ?? revocations?.retentionSeconds,
    confirmationMethods: acceptedMethods(bindings),
  }
  const verified = new VerifiedCache(new Verifier(policy, clock), settings.maxCachedTokens)
  const { introspected } = issuers
  const router =
    introspected && new TokenRouter(verified, introspected, { ...settings, ...keyDeps, policy })
  const cache = router ?? verified
  const signals = new Signals(revocations, clock)
  const context: RequestAuthContext = {
    realm: settings.realm,
    resourceMetadataUrl: settings.resourceMetadataUrl,
    challengeScope: settings.challengeScope,
    scopeIncludes: settings.scopeIncludes,
    clock,
    clockToleranceSeconds,
    schemes: {
      bearer: bindings.dpop?.isRequired !== true,
      dpopAlgorithms: bindings.dpop?.algorithms.join(' '),
    },
    trusts: (issuer) => issuers.trusts(issuer),
    rejected: ({ code, reason }) => {
      counters.forbid(reason)
      emit({ type: 'auth.rejected', code, reason })
    },
    vouches: (claims) => !closed && canVouch(revocations, claims),
    makeSignal: (verified: VerifiedToken, res: object | undefined) =>
      signals.make(verified, res as Response | undefined),
  }
  const possession =
    bindings.dpop || bindings.mtls
      ? new Possession(bindings, { clock, clockToleranceSeconds })
      : undefined
  const authenticateDeps = { cache, revocations, clock, possession }
  const readToken: (req: Request) => unknown =
    settings.getToken ?? (bindings.dpop ? readBearerOrDpop : readBearer)
  if (revocations?.isPerProcess === true && cluster.isWorker) {
    emit({ type: 'revocations.per_process', message: perProcess })
  }
  let started = false
  /** Nothing is fetched before the first use; from then on keys and revocations come in side by side. */
  function start(): void {
    if (closed) throw new UnavailableError('revocations', 'The guard was closed')
    if (started) return
    started = true
    revocations?.ready().catch(() => undefined)
  }

  function readCredentials(req: Request): string | undefined {
    return assertCredentials(readToken(req))
  }

  /** What "getToken" returns comes from the request: a list, as `?token=a&token=b` makes one, is the client's mistake. */
  function assertCredentials(token: unknown): string | undefined {
    if (token === undefined || token === null || token === '') {
      if (settings.credentials === 'optional') return undefined
      throw new AuthError('missing_token', 'missing', 'The request has no bearer token')
    }
    if (typeof token !== 'string') {
      throw new AuthError(
        'invalid_request',
        'malformed',
        'The option "getToken" of requireAuth returned neither a string nor undefined or null',
      )
    }
    return token
  }

  function presentedScheme(req: AuthenticatedRequest): Scheme | undefined {
    return settings.getToken || !bindings.dpop ? undefined : schemeOf(req)
  }

  /** Only where a guard checks what tokens are bound to; others do not look at it. */
  function authenticateRequest(
    token: string,
    req: AuthenticatedRequest,
    scheme: Scheme | undefined,
  ): ReturnType<typeof authenticate> {
    return authenticate(token, authenticateDeps, possession && { scheme, req })
  }

  function accept(verified: VerifiedToken, req: Request, res: Response, next: NextFunction): void {
    const nonce = possession?.nextNonce(verified)
    if (nonce !== undefined) setHeaders(res, { 'DPoP-Nonce': nonce })
    setAuth(req, new RequestAuth(verified, context, res))
    counters.accepted++
    next()
  }

  function noteRefusal(error: unknown): void {
    counters.refuse(error)
    if (isAuthError(error)) emit({ type: 'auth.rejected', code: error.code, reason: error.reason })
  }

  function refuse(error: unknown, req: Request, res: Response, next: NextFunction): void {
    noteRefusal(error)
    if (isAuthError(error)) {
      writeHeaders(res, error, context, { scheme: presentedScheme(req) })
    }
    next(error)
  }

  const handler: RequestHandler = function requireAuth(req, res, next) {
    let outcome
    try {
      start()
      const token = readCredentials(req)
      if (token === undefined) {
        markAnonymous(req, context)
        counters.anonymous++
        next()
        return
      }
      outcome = authenticateRequest(token, req, presentedScheme(req))
    } catch (error) {
      refuse(error, req, res, next)
      return
    }
    if (!(outcome instanceof Promise)) {
      accept(outcome, req, res, next)
      return
    }
    outcome
      .then(
        (verified) => accept(verified, req, res, next),
        (error: unknown) => refuse(error, req, res, next),
      )
      // A `req` that cannot be written to must not end in an unhandled rejection.
      .catch(next)
  }

  markGuard(handler, context)
  lendEvents(handler, events)
  return Object.assign(handler as RouteHandler, {
    async authenticate(req: Request, { token: given }: { token?: string } = {}) {
      const scheme = given === undefined ? presentedScheme(req) : undefined
      try {
        start()
        const token = given === undefined ? readCredentials(req) : assertCredentials(given)
        if (token === undefined) {
          throw new AuthError('missing_token', 'missing', 'The request has no bearer token')
        }
        const verified = await authenticateRequest(token, req, scheme)
        counters.accepted++
        return new RequestAuth(verified, context, undefined)
      } catch (error) {
        noteRefusal(error)
        if (isAuthError(error)) writeErrorHeaders(error, context, { scheme })
        throw error
      }
    },
    async ready({ timeoutMs }: { timeoutMs?: number } = {}) {
      start()
      await allWithin(timeoutMs, {
        'keys of the issuer': issuers.ready(),
        'introspection endpoint': router?.ready(),
        revocations: revocations?.ready(),
        'replay store': possession?.ready(),
      })
    },
    stats: () => counters.toStats(),
    async close() {
      closed = true
      signals.close()
      router?.close()
      issuers.close()
      await deps.ownRevocations?.close()
    },
  })
}

/** What an answer of a refusal must not inherit from the answer that was to come. */
const headersOfBody = ['Content-Length', 'Content-Encoding', 'Content-Disposition', 'ETag']

/** Refuses a request that was let in, while nothing of its answer has been sent. */
function refuseLate(error: AuthError, context: GuardContext, auth: Auth, res: Response): void {
  context.rejected(error)
  for (const name of headersOfBody) res.removeHeader(name)
  writeHeaders(res, error, context, { scheme: presentedSchemeOf(auth) })
  res.status(error.status).json(toErrorBody(error))
}

/**
 * Ends a response that is still open when its token is kicked out or expires: Server-Sent Events, long polls, downloads.
 * Mount it behind `requireAuth()`. A request without `req.auth` (after `credentials: 'optional'`) passes.
 *
 * Where nothing of the answer has been sent, the answer is the 401 of the guard. Where a body of known length is under way,
 * the connection is closed rather than the response ended, since the client must not take a part of it for all of it.
 *
 * A handler that sets headers afterwards gets `ERR_HTTP_HEADERS_SENT` from Node, as of every response that has ended. It can
 * stop its work with `auth.signal`.
 */
export function cutOnKickOut(): RouteHandler {
  return function cutOnKickOut(req, res, next) {
    const auth = findAuth(req)
    const context = findGuardContext(req, auth)
    if (!auth || !context) {
      if (context) next()
      else next(new Error('cutOnKickOut: there is no requireAuth() in front of this route'))
      return
    }
    const { signal } = auth
    const cut = () => {
      if (!res.headersSent) refuseLate(signal.reason as AuthError, context, auth, res)
      else if (res.hasHeader('Content-Length')) res.destroy()
      else res.end()
    }
    signal.addEventListener('abort', cut, { once: true })
    res.once('close', () => signal.removeEventListener('abort', cut))
    next()
  }
}

/**
 * Answers errors of this package as JSON, `{ error, error_description }`, and leaves all others to the next handler.
 */
export function authErrorHandler(): ErrorRequestHandler {
  return function authErrorHandler(error: unknown, _req, res, next) {
    if (!isAuthError(error) || res.headersSent) {
      next(error)
      return
    }
    setHeaders(res, error.headers)
    res.status(error.status).json(toErrorBody(error))
  }
}
