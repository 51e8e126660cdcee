import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express'
import { type Clock, systemClock } from '../clock.ts'
import { AuthError, isAuthError, UnavailableError } from '../errors.ts'
import { emitterOf } from '../events.ts'
import { authenticate } from './authenticate.ts'
import { readBearer } from './bearer.ts'
import { type ChallengeSettings, toErrorBody, writeHeaders } from './challenge.ts'
import { withEnvironment } from './environment.ts'
import type { Fetch } from './fetch-json.ts'
import { KeySet } from './key-set.ts'
import {
  findAuth,
  findChallengeSettings,
  markAnonymous,
  RequestAuth,
  setAuth,
} from './request-auth.ts'
import { readRequiredScopes } from './scopes.ts'
import { type GuardSettings, readSettings, type RequireAuthOptions } from './settings.ts'
import { Signals } from './signals.ts'
import { VerifiedCache } from './verified-cache.ts'
import { type Trust, type VerifiedToken, Verifier } from './verifier.ts'

/** What `requireAuth` returns: a handler with a beginning and an end. */
export interface AuthHandler extends RequestHandler {
  /**
   * Resolves when keys are fetched and the revocations are complete, however long that takes.
   *
   * @throws Error where waiting is no use, such as metadata of another issuer or an unfit Redis
   */
  ready(): Promise<void>
  /** Stops its own timers; every later request is 503. Never closes the `Revocations` it was given. */
  close(): Promise<void>
}

export interface GuardDeps {
  readonly clock: Clock
  readonly fetch: Fetch
}

const systemDeps: GuardDeps = { clock: systemClock, fetch: async (url, init) => fetch(url, init) }

/**
 * Makes the guard of a resource server: verifies the bearer token of each request locally, checks that it was not kicked
 * out, and sets `req.auth`. Refuses with `next(error)`, headers already on the response.
 *
 * @throws TypeError at creation for wrong, missing or unknown options
 * @see RFC 6750, RFC 9068
 */
export function requireAuth(options?: RequireAuthOptions): AuthHandler {
  return createGuard(readSettings(withEnvironment(options)), systemDeps)
}

export function createGuard(settings: GuardSettings, deps: GuardDeps): AuthHandler {
  const { clock } = deps
  const { revocations } = settings
  const emit = emitterOf(settings.onEvent)
  const trusts = new Map<string, Trust>(
    settings.trusts.map(({ audience, keySet }) => [
      keySet.issuer,
      { issuer: keySet.issuer, audience, keySet: new KeySet(keySet, { ...deps, emit }) },
    ]),
  )
  const verifier = new Verifier(
    {
      ...settings,
      trusts,
      checksRevocations: revocations !== undefined,
      retentionSeconds: revocations?.retentionSeconds,
    },
    clock,
  )
  const cache = new VerifiedCache(verifier, settings.maxCachedTokens)
  const signals = new Signals(revocations, clock)
  const context = {
    realm: settings.realm,
    resourceMetadataUrl: settings.resourceMetadataUrl,
    makeSignal: (verified: VerifiedToken, res: object) => signals.make(verified, res as Response),
  }
  const authenticateDeps = { cache, revocations, clock }
  const readToken: (req: Request) => unknown = settings.getToken ?? readBearer
  let started = false
  let closed = false

  /** Nothing is fetched before the first use; from then on keys and revocations come in side by side. */
  function start(): void {
    if (closed) throw new UnavailableError('revocations', 'The guard was closed')
    if (started) return
    started = true
    revocations?.ready().catch(() => undefined)
  }

  function readCredentials(req: Request): string | undefined {
    const token = readToken(req)
    if (token === undefined || token === '') {
      if (settings.credentials === 'optional') return undefined
      throw new AuthError('missing_token', 'missing', 'The request has no bearer token')
    }
    if (typeof token !== 'string') {
      throw new TypeError('requireAuth: option "getToken" must return a string or undefined')
    }
    return token
  }

  const handler: RequestHandler = function requireAuth(req, res, next) {
    const accept = (verified: VerifiedToken): void => {
      setAuth(req, new RequestAuth(verified, context, res))
      next()
    }
    const refuse = (error: unknown): void => {
      if (isAuthError(error)) {
        emit({ type: 'auth.rejected', code: error.code, reason: error.reason })
        writeHeaders(res, error, context)
      }
      next(error)
    }
    let outcome
    try {
      start()
      const token = readCredentials(req)
      if (token === undefined) {
        markAnonymous(req, context)
        next()
        return
      }
      outcome = authenticate(token, authenticateDeps)
    } catch (error) {
      refuse(error)
      return
    }
    if (outcome instanceof Promise) outcome.then(accept, refuse)
    else accept(outcome)
  }

  return Object.assign(handler, {
    async ready() {
      start()
      const keySets = [...trusts.values()].map(async ({ keySet }) => keySet.ready())
      await Promise.all([...keySets, revocations?.ready()])
    },
    async close() {
      closed = true
      signals.close()
      for (const { keySet } of trusts.values()) keySet.close()
      await Promise.resolve()
    },
  })
}

type Decision = (auth: NonNullable<ReturnType<typeof findAuth>>) => AuthError | undefined

/** The frame of every route guard: it needs a `requireAuth` in front, and challenges the way that one does. */
function routeGuard(name: string, decide: Decision, scopes?: readonly string[]): RequestHandler {
  const refuse = (error: AuthError, settings: ChallengeSettings, res: Response): AuthError => {
    writeHeaders(res, error, settings, scopes)
    return error
  }
  const handler: RequestHandler = (req, res, next) => {
    const auth = findAuth(req)
    const settings = findChallengeSettings(req)
    if (!settings) {
      next(new Error(`${name}: there is no requireAuth() in front of this route`))
      return
    }
    const error = auth
      ? decide(auth)
      : new AuthError('missing_token', 'missing', 'The request has no bearer token')
    if (error) next(refuse(error, settings, res))
    else next()
  }
  Object.defineProperty(handler, 'name', { value: name })
  return handler
}

/**
 * Lets a request through that has *all* of the scopes. Each argument may hold several, separated by spaces.
 *
 * @throws TypeError at creation when no scope is named
 * @see RFC 6750 §3.1 insufficient_scope
 */
export function requireScope(...scopes: string[]): RequestHandler {
  const required = readRequiredScopes('requireScope', scopes)
  const decide: Decision = (auth) =>
    required.every((scope) => auth.scopes.includes(scope)) ? undefined : insufficientScope(required)
  return routeGuard('requireScope', decide, required)
}

/**
 * Lets a request through that has *at least one* of the scopes.
 *
 * @throws TypeError at creation when no scope is named
 * @see RFC 6750 §3.1 insufficient_scope
 */
export function requireAnyScope(...scopes: string[]): RequestHandler {
  const sufficient = readRequiredScopes('requireAnyScope', scopes)
  const decide: Decision = (auth) =>
    sufficient.some((scope) => auth.scopes.includes(scope))
      ? undefined
      : insufficientScope(sufficient)
  return routeGuard('requireAnyScope', decide, sufficient)
}

function insufficientScope(scopes: readonly string[]): AuthError {
  return new AuthError(
    'insufficient_scope',
    'scope',
    `The token lacks a scope of: ${scopes.join(' ')}`,
  )
}

/** What a claim has to be: this very string, number or boolean, or whatever a predicate accepts. */
export type ClaimExpectation = string | number | boolean | ((value: unknown) => boolean)

/**
 * Lets a request through whose claim has a value, or satisfies a predicate. An absent claim reaches the predicate as
 * `undefined`.
 *
 * @throws TypeError at creation for a wrong name or expectation
 */
export function requireClaim(name: string, expected: ClaimExpectation): RequestHandler {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(
      'requireClaim: the claim must have a name, such as requireClaim("tenant", "acme")',
    )
  }
  if (!['string', 'number', 'boolean', 'function'].includes(typeof expected)) {
    throw new TypeError('requireClaim: expected a string, a number, a boolean or a predicate')
  }
  const decide: Decision = (auth) => {
    const value = auth.payload[name]
    const fits = typeof expected === 'function' ? expected(value) : value === expected
    return fits
      ? undefined
      : new AuthError(
          'insufficient_scope',
          'claim',
          `The token's claim "${name}" is not as required`,
        )
  }
  return routeGuard('requireClaim', decide)
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
    for (const [name, value] of Object.entries(error.headers)) res.setHeader(name, value)
    res.status(error.status).json(toErrorBody(error))
  }
}
