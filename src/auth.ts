import type { JWTHeaderParameters } from 'jose'

/**
 * The claims of a verified access token: frozen, without a prototype, as the issuer wrote them.
 *
 * @see RFC 9068 §2.2
 */
export interface AccessTokenClaims {
  readonly iss: string
  readonly aud: string | string[]
  /** NumericDate, seconds. */
  readonly exp: number
  /** NumericDate, seconds. Always there where the guard has `revocations`. */
  readonly iat?: number
  readonly nbf?: number
  readonly sub?: string
  readonly jti?: string
  readonly client_id?: string
  readonly azp?: string
  /** The client at Okta. */
  readonly cid?: string
  /** The client at Entra ID, version 1 tokens. */
  readonly appid?: string
  readonly scope?: string | string[]
  readonly scp?: string | string[]
  readonly sid?: string
  /** Milliseconds by the session store's clock; a kick-out of the user raises it. */
  readonly session_version?: number
  readonly [claim: string]: unknown
}

/** What a guarded handler knows about the caller. A superset of what express-oauth2-jwt-bearer and the MCP SDK set. */
export interface Auth<Claims extends object = AccessTokenClaims> {
  /** The token as it was sent. */
  token: string
  header: JWTHeaderParameters
  payload: Claims
  issuer: string
  subject?: string
  /** The `sid` claim. */
  sessionId?: string
  /** The first there is of `client_id`, `azp`, `cid` (Okta) and `appid` (Entra ID); empty when the token names none. */
  clientId: string
  scopes: string[]
  /** The `exp` claim, seconds. */
  expiresAt: number
  /**
   * Aborts when this token is kicked out or expires, with an `AuthError` as its reason (`revoked` or `expired`). Made on
   * first use; close open streams with it. A refresh does not abort it.
   */
  readonly signal: AbortSignal
}
