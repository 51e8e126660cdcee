/**
 * Every error of this package. One class per HTTP meaning; what went wrong inside a class is its `reason`.
 *
 * Two texts: `message` is for logs and may say why; `description` may leave the server and says no more than
 * the RFC's code does. Neither ever holds a token, a cookie or a secret.
 */

/** Says of which kind an error is, to every copy of the package in the process. No request can spell a symbol. */
const brand = Symbol.for('express-kickout.error')

/** Why a request was refused (401, 403, 400). Bounded, so that it can be a metric label. */
export type AuthErrorReason =
  | 'missing'
  | 'malformed'
  | 'signature'
  | 'algorithm'
  | 'unknown_key'
  | 'type'
  | 'issuer'
  | 'audience'
  | 'expired'
  | 'not_yet_valid'
  | 'claims'
  | 'binding'
  | 'inactive'
  | 'proof'
  | 'replay'
  | 'nonce'
  | 'revoked'
  | 'scope'
  | 'claim'
  | 'acr'
  | 'auth_age'

/** The stable code of an {@link AuthError}: the `error` of the JSON body. */
export type AuthErrorCode =
  | 'missing_token'
  | 'invalid_request'
  | 'invalid_token'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'insufficient_scope'
  | 'insufficient_user_authentication'

/** Which of our own dependencies failed (503). */
export type UnavailableReason =
  | 'jwks'
  | 'introspection'
  | 'revocations'
  | 'sessions'
  | 'replay'
  | 'clients'
  /** No access token can be signed: a key management service or a key store failed. */
  | 'signing'

/** The `error` values of RFC 6749 §5.2 and §4.1.2.1 and RFC 9449 §5 that the issuer answers with. */
export type GrantErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'invalid_scope'
  | 'invalid_dpop_proof'
  | 'unsupported_grant_type'
  | 'unauthorized_client'
  | 'access_denied'

interface ErrorFacts {
  readonly status: number
  readonly code: string
  readonly description: string
  readonly headers?: Record<string, string>
  readonly cause?: unknown
}

/** The base class: what Express's own error handler needs (`status`, `headers`), and the two texts. */
export abstract class KickoutError extends Error {
  /** HTTP status. */
  readonly status: number
  /** The same, under the name that older error handlers read. */
  readonly statusCode: number
  /** Stable machine code, the `error` of the JSON body. */
  readonly code: string
  /** What may be told to the client. */
  readonly description: string
  /** Whether `message` may be sent to the client; it never may, `description` is for that. */
  readonly expose = false
  /** Response headers that belong to this error (`WWW-Authenticate`, `Retry-After`). */
  headers: Record<string, string>

  protected constructor(message: string, facts: ErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.status = facts.status
    this.statusCode = facts.status
    this.code = facts.code
    this.description = facts.description
    this.headers = facts.headers ?? {}
  }
}

const authFacts = {
  missing_token: { status: 401, description: 'An access token is required' },
  invalid_request: {
    status: 400,
    description: 'The request must carry exactly one well-formed bearer token',
  },
  // One text for malformed, expired and revoked tokens: an attacker must not learn the difference. The log has it.
  invalid_token: {
    status: 401,
    description: 'The access token is malformed, expired, revoked or not meant for this server',
  },
  invalid_dpop_proof: {
    status: 401,
    description: 'The DPoP proof is missing, malformed, too old, used before or not made for this',
  },
  use_dpop_nonce: {
    status: 401,
    description: 'The DPoP proof must carry the nonce of this answer',
  },
  insufficient_scope: { status: 403, description: 'The access token does not grant this' },
  insufficient_user_authentication: {
    status: 401,
    description: 'The user must sign in again, or in a stronger way',
  },
} as const satisfies Record<AuthErrorCode, { status: number; description: string }>

/**
 * The client's token, or the lack of one, is at fault.
 *
 * @see RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470 §3
 */
export class AuthError extends KickoutError {
  /** Always `AuthError`. */
  override readonly name = 'AuthError'
  declare readonly code: AuthErrorCode
  /** Why, for logs and metrics. */
  readonly reason: AuthErrorReason
  /** @internal */
  readonly [brand] = 'auth'

  constructor(
    code: AuthErrorCode,
    reason: AuthErrorReason,
    message: string,
    options: { cause?: unknown; headers?: Record<string, string> } = {},
  ) {
    const { cause, headers } = options
    super(message, { ...authFacts[code], code, cause, ...(headers && { headers }) })
    this.reason = reason
  }
}

const unavailableDescription = {
  jwks: 'The server cannot check access tokens right now',
  introspection: 'The server cannot check access tokens right now',
  revocations: 'The server cannot check access tokens right now',
  sessions: 'The server cannot reach its sessions right now',
  replay: 'The server cannot check proofs right now',
  clients: 'The server cannot look up clients right now',
  signing: 'The server cannot sign access tokens right now',
} as const satisfies Record<UnavailableReason, string>

/**
 * A dependency of ours failed: no usable keys, or freshness that cannot be proved. Always 503 with `Retry-After`,
 * never 401, since clients throw their session away on a 401.
 */
export class UnavailableError extends KickoutError {
  /** Always `UnavailableError`. */
  override readonly name = 'UnavailableError'
  declare readonly code: 'temporarily_unavailable'
  /** Which dependency failed. */
  readonly reason: UnavailableReason
  /** @internal */
  readonly [brand] = 'unavailable'

  constructor(
    reason: UnavailableReason,
    message: string,
    options: { retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    const retryAfter = Math.max(1, Math.ceil(options.retryAfterSeconds ?? 1))
    super(message, {
      status: 503,
      code: 'temporarily_unavailable',
      description: unavailableDescription[reason],
      headers: { 'Retry-After': String(retryAfter) },
      cause: options.cause,
    })
    this.reason = reason
  }
}

const grantStatus = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  invalid_scope: 400,
  invalid_dpop_proof: 400,
  unsupported_grant_type: 400,
  unauthorized_client: 400,
  access_denied: 403,
} as const satisfies Record<GrantErrorCode, number>

/**
 * The issuer refuses a request. `description` is the `error_description` of the answer.
 *
 * @see RFC 6749 §5.2
 */
export class GrantError extends KickoutError {
  /** Always `GrantError`. */
  override readonly name = 'GrantError'
  declare readonly code: GrantErrorCode
  /** Why, for events and logs: `reused`, `expired`, `ended`, `client`, … */
  readonly reason: string
  /** @internal */
  readonly [brand] = 'grant'

  constructor(
    code: GrantErrorCode,
    reason: string,
    description: string,
    options: { message?: string; headers?: Record<string, string>; status?: number } = {},
  ) {
    super(options.message ?? `${code}: ${description}`, {
      status: options.status ?? grantStatus[code],
      code,
      description,
      ...(options.headers && { headers: options.headers }),
    })
    this.reason = reason
  }
}

function brandOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null
    ? (error as { [brand]?: unknown })[brand]
    : undefined
}

/**
 * Whether an error was made by a guard of this package: any row of docs/errors.md, our own 503 included.
 * Works across copies and versions of the package, where `instanceof` does not.
 */
export function isAuthError(error: unknown): error is AuthError | UnavailableError {
  const kind = brandOf(error)
  return kind === 'auth' || kind === 'unavailable'
}

/** The same failure for another request. */
export function copyOf(error: AuthError | UnavailableError): AuthError | UnavailableError {
  const { message, cause } = error
  if (error.name === 'AuthError') return new AuthError(error.code, error.reason, message, { cause })
  const retryAfterSeconds = Number(error.headers['Retry-After'])
  return new UnavailableError(error.reason, message, { retryAfterSeconds, cause })
}

/** Whether an error is a {@link GrantError}, across copies of the package. */
export function isGrantError(error: unknown): error is GrantError {
  return brandOf(error) === 'grant'
}

/** Whether an error is an {@link UnavailableError}, across copies of the package. */
export function isUnavailableError(error: unknown): error is UnavailableError {
  return brandOf(error) === 'unavailable'
}
