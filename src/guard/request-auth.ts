import type { JWTHeaderParameters } from 'jose'
import type { AccessTokenClaims, Auth, FrozenStrings } from '../auth.ts'
import type { Clock } from '../clock.ts'
import type { AuthError, UnavailableError } from '../errors.ts'
import type { Scheme } from './bearer.ts'
import type { ChallengeSettings } from './challenge.ts'
import type { ScopeIncludes } from './scopes.ts'
import type { VerifiedToken } from './token/verifier.ts'

/** Marks what a guard of ours has set, across copies of the package; no request body can spell it. */
const guardMark = Symbol.for('express-kickout.guard')

/** What a guard lends to the route guards behind it: how to challenge, where events go, and which issuers it trusts. */
export interface GuardContext extends ChallengeSettings {
  readonly clock: Clock
  readonly clockToleranceSeconds: number
  /** Whether a granted scope includes another one. Absent: each scope includes itself alone. */
  readonly scopeIncludes?: ScopeIncludes | undefined
  trusts(issuer: string): boolean
  rejected(error: AuthError | UnavailableError): void
  /**
   * Whether what was accepted before may stay: `false` where freshness was lost and a request with this token would be
   * refused for that with 503, or the guard was closed. Asks no store.
   */
  vouches(claims: AccessTokenClaims): boolean
}

/** What one guard lends to each `req.auth` it makes. */
export interface RequestAuthContext extends GuardContext {
  makeSignal(verified: VerifiedToken, res: object | undefined): AbortSignal
}

/** `req.auth`: frozen, a fresh object per request, since its `signal` belongs to one response. */
export class RequestAuth implements Auth {
  readonly token: string
  readonly header: JWTHeaderParameters
  readonly payload: AccessTokenClaims
  readonly issuer: string
  declare readonly subject?: string
  declare readonly sessionId?: string
  readonly clientId: string
  readonly scopes: FrozenStrings
  readonly expiresAt: number
  declare readonly resourceMetadataUrl?: string
  readonly #context: RequestAuthContext
  readonly #verified: VerifiedToken
  readonly #res: object | undefined
  #signal: AbortSignal | undefined
  #resource: URL | undefined

  constructor(verified: VerifiedToken, context: RequestAuthContext, res: object | undefined) {
    const { claims } = verified
    this.token = verified.token
    this.header = verified.header
    this.payload = claims
    this.issuer = claims.iss
    if (claims.sub !== undefined) this.subject = claims.sub
    if (claims.sid !== undefined) this.sessionId = claims.sid
    this.clientId = verified.clientId
    this.scopes = verified.scopes
    this.expiresAt = claims.exp
    const { resourceMetadataUrl } = context
    if (resourceMetadataUrl !== undefined) this.resourceMetadataUrl = resourceMetadataUrl
    this.#context = context
    this.#verified = verified
    this.#res = res
    Object.freeze(this)
  }

  /** Made on first use, since most requests never look at it, and not shared, since a `URL` can be changed. */
  get resource(): NonNullable<Auth['resource']> {
    const { resource } = this.#verified
    if (resource !== undefined) this.#resource ??= new URL(resource)
    return this.#resource as URL // `Auth` says that it may be absent; a getter cannot.
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#context.makeSignal(this.#verified, this.#res)
    return this.#signal
  }

  get [guardMark](): GuardContext {
    return this.#context
  }
}

/** What a guard leaves on a request that it let through without a token. */
interface MarkedRequest {
  auth?: unknown
  [guardMark]?: GuardContext
}

/** Takes away whatever stood in `req.auth` and notes that a guard has been here. */
export function markAnonymous(req: object, context: GuardContext): void {
  const marked = req as MarkedRequest
  delete marked.auth
  marked[guardMark] = context
}

/** Lets route guards, and what authenticates beside the handler, find the guard itself. */
export function markGuard(guard: object, context: GuardContext): void {
  Object.defineProperty(guard, guardMark, { value: context })
}

export function setAuth(req: object, auth: Auth): void {
  ;(req as MarkedRequest).auth = auth
}

/** The `req.auth` that a guard of ours has set, or `undefined`: whatever others have put there does not count. */
export function findAuth(req: object): (Auth & { readonly [guardMark]: GuardContext }) | undefined {
  const { auth } = req as MarkedRequest
  return typeof auth === 'object' && auth !== null && guardMark in auth
    ? (auth as RequestAuth)
    : undefined
}

/** The guard in front, or `undefined` where there is none. */
export function findGuardContext(req: object, auth = findAuth(req)): GuardContext | undefined {
  return auth ? auth[guardMark] : (req as MarkedRequest)[guardMark]
}

/**
 * What a guard lends to those that check tokens with it beside its handler.
 *
 * @throws TypeError where it is no guard of ours
 */
export function contextOf(where: string, guard: unknown): GuardContext {
  const context =
    typeof guard === 'function' || (typeof guard === 'object' && guard !== null)
      ? findGuardContext(guard)
      : undefined
  if (!context) throw new TypeError(`${where}: the guard must be what requireAuth() returned`)
  return context
}

/**
 * The same `Auth` with all of its properties its own, for libraries that copy it (`{ ...auth }`): a copy has no getters of a
 * class. A copy makes the `signal` at once.
 */
export function withOwnProperties(auth: Auth): Auth {
  const { resource } = auth
  return Object.freeze({
    ...auth,
    ...(resource && { resource }),
    get signal() {
      return auth.signal
    },
    [guardMark]: findGuardContext({ auth }),
  })
}

/** The scheme that a token was accepted with: a guard lets a token that is bound to a key in with `DPoP` only. */
export function presentedSchemeOf(auth: Auth | undefined): Scheme | undefined {
  if (!auth) return undefined
  const cnf = auth.payload['cnf'] as { jkt?: unknown } | undefined
  return cnf?.jkt === undefined ? 'Bearer' : 'DPoP'
}

/**
 * What `requireAuth` found out about the caller.
 *
 * @throws Error when there is no `requireAuth` in front, or the request came without a token to an optional one
 */
export function getAuth<Claims extends object = AccessTokenClaims>(req: object): Auth<Claims> {
  const auth = findAuth(req)
  if (!auth) {
    throw new Error(
      'getAuth: this request has no req.auth. Mount requireAuth() in front of the handler; ' +
        "after requireAuth({ credentials: 'optional' }) look whether req.auth is there first",
    )
  }
  return auth as unknown as Auth<Claims>
}
