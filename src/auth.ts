import type { JWTHeaderParameters } from 'jose'

// What the types of the main entry mention, so that declaration files which infer them can name it.
export type { JWTHeaderParameters }

/**
 * The claims of a verified access token: frozen, without a prototype, as the issuer wrote them.
 *
 * @see RFC 9068 §2.2
 */
export interface AccessTokenClaims {
  /** The issuer, exactly as it was configured. */
  readonly iss: string
  /** For whom the token was made; one of them is this server. */
  readonly aud: string | string[]
  /** NumericDate, seconds. */
  readonly exp: number
  /** NumericDate, seconds. Always there where the guard has `revocations`. */
  readonly iat?: number
  /** NumericDate, seconds. */
  readonly nbf?: number
  /** The user; for a machine its client. */
  readonly sub?: string
  /** The token's own id. */
  readonly jti?: string
  /** The client that the token was made for. */
  readonly client_id?: string
  /** The client at Auth0, Keycloak and Entra ID. */
  readonly azp?: string
  /** The client at Okta. */
  readonly cid?: string
  /** The client at Entra ID, version 1 tokens. */
  readonly appid?: string
  /** What the token grants, separated by spaces. */
  readonly scope?: string | string[]
  /** The same, at Okta and Entra ID. */
  readonly scp?: string | string[]
  /** The session that the token belongs to. */
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
  /** The claims, verified and frozen. */
  readonly payload: Claims
  /** The `iss` claim. */
  readonly issuer: string
  /** The `sub` claim. */
  readonly subject?: string
  /** The `sid` claim. */
  readonly sessionId?: string
  /** The first there is of `client_id`, `azp`, `cid` (Okta) and `appid` (Entra ID); empty when the token names none. */
  readonly clientId: string
  /** The members of `scope`, else of `scp`. */
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
