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

/** What changes an array. Calling one of these on a frozen array throws. */
type Mutator =
  'push' | 'pop' | 'shift' | 'unshift' | 'splice' | 'sort' | 'reverse' | 'fill' | 'copyWithin'

/**
 * A frozen array of strings. It is an array to whatever asks for `string[]`, such as the `AuthInfo` of the MCP SDK, and a
 * call that would change it does not compile.
 */
export type FrozenStrings = string[] & { readonly [Name in Mutator]: never }

/** What a guarded handler knows about the caller. A superset of what express-oauth2-jwt-bearer and the MCP SDK set. */
export interface Auth<Claims extends object = AccessTokenClaims> {
  /** The token as it was sent. */
  readonly token: string
  /** Of a token that was introspected: `alg` is empty, and nothing else is there. */
  readonly header: JWTHeaderParameters
  readonly payload: Claims
  readonly issuer: string
  readonly subject?: string
  /** The `sid` claim. */
  readonly sessionId?: string
  /** The first there is of `client_id`, `azp`, `cid` (Okta) and `appid` (Entra ID); empty when the token names none. */
  readonly clientId: string
  readonly scopes: FrozenStrings
  /** The `exp` claim, seconds. */
  readonly expiresAt: number
  /** The audience of this server that the token was made for, where it is a URL (RFC 8707). */
  readonly resource?: URL
  /** The guard's option of this name (RFC 9728). */
  readonly resourceMetadataUrl?: string
  /**
   * Aborts when this token is kicked out or expires, with an `AuthError` as its reason (`revoked` or `expired`). Made on
   * first use; close open streams with it. A refresh does not abort it.
   */
  readonly signal: AbortSignal
}
