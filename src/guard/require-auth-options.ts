import type { Request } from 'express'
import type { GuardEvent } from '../events.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { DpopOptions, MtlsOptions } from './binding/options.ts'
import type { IntrospectionOptions } from './introspection/options.ts'
import type { JwksCacheOptions } from './keys/key-set.ts'
import type { ScopeIncludes } from './scopes.ts'

/** A public key set, RFC 7517 §5. */
export interface JwksDocument {
  /** Public JWKs. */
  readonly keys: readonly object[]
}

/** Names of claims beside `sub`, `sid` and `jti` in which an issuer's tokens name the same thing. */
export interface ClaimNames {
  /** Further names of the user, such as `['oid']` at Entra ID. */
  readonly subject?: readonly string[]
  /** Further names of the session, such as `['session_id']` at Supabase or `['origin_jti']` at Amazon Cognito. */
  readonly session?: readonly string[]
  /** Further names of the token, such as `['uti']` at Entra ID. */
  readonly tokenId?: readonly string[]
}

/** One of several issuers whose tokens are accepted. */
export interface TrustedIssuer {
  /** The exact `iss` of its tokens. */
  readonly issuer: string
  /** The guard's `audience` unless given. */
  readonly audience?: string | readonly string[]
  /** The guard's `clientIds` unless given. */
  readonly clientIds?: readonly string[]
  /** Discovered unless given. */
  readonly jwksUri?: string | URL
  /** Keys given directly: without `jwksUri` there is no network, beside it they are used until the first fetch. */
  readonly jwks?: JwksDocument
  /** Claims in which a kick-out may name the user, session or token, beside `sub`, `sid` and `jti`. */
  readonly claims?: ClaimNames
  /**
   * Claims of ID tokens that this issuer copies into access tokens, such as `['nonce']` (Keycloak before 25) or
   * `['at_hash']` (Dex). A token that says of itself that it is an access token needs no exception.
   *
   * @defaultValue none: a token with `nonce`, `at_hash`, `c_hash` or `s_hash` is refused
   */
  readonly allowIdTokenClaims?: readonly string[]
  /** Asks this issuer about tokens that cannot be verified here. One entry of a list may have it. */
  readonly introspection?: IntrospectionOptions
}

/**
 * Decides about issuers that are not known in advance, such as the tenants of Entra ID. It is asked once for each `iss`, of
 * which the last 1 000 are remembered; for `undefined` nothing is fetched and the token is refused.
 */
export type IssuerResolver = (
  iss: string,
) => TrustedIssuer | undefined | Promise<TrustedIssuer | undefined>

/** What `requireAuth` is given. */
export interface RequireAuthOptions {
  /** The exact `iss` accepted, several issuers, or a function that decides. From `ISSUER_BASE_URL` unless given. */
  issuer?: string | readonly TrustedIssuer[] | IssuerResolver
  /** The token's `aud` must contain one of them. From `AUDIENCE` unless given. */
  audience?: string | readonly string[]
  /**
   * The token's client must be one of them. For providers whose access tokens have no `aud` (Amazon Cognito); it stands
   * beside `audience` or instead of it.
   */
  clientIds?: readonly string[]
  /** Where the keys are. From `JWKS_URI` unless given; else discovered (RFC 8414, then OpenID Connect). */
  jwksUri?: string | URL
  /** Keys given directly: without `jwksUri` there is no network, beside it they are used until the first fetch. */
  jwks?: JwksDocument
  /** Claims in which a kick-out may name the user, session or token, beside `sub`, `sid` and `jti`. */
  claims?: ClaimNames
  /** Claims of ID tokens that the issuer copies into access tokens, see {@link TrustedIssuer}. */
  allowIdTokenClaims?: readonly string[]
  /**
   * Asks the issuer about tokens that cannot be verified here (RFC 7662). `audience: []` then accepts answers that name no
   * audience.
   */
  introspection?: IntrospectionOptions
  /**
   * Accepts `http:` issuers and key addresses on any host, for containers in development.
   *
   * @defaultValue false
   */
  dangerouslyAllowHttp?: boolean
  /**
   * Used instead of the global `fetch` for metadata and keys: for a proxy or a private certificate authority. Time-out,
   * size limit and the refusal of redirects stay the guard's.
   */
  fetch?: typeof fetch
  /**
   * Accepted signature algorithms, asymmetric only.
   *
   * @defaultValue RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519
   */
  algorithms?: readonly string[]
  /**
   * `true` asks for RFC 9068 in full: `typ` `at+jwt` and all required claims.
   *
   * @defaultValue false
   */
  strict?: boolean
  /**
   * For `exp`, `nbf` and `iat`.
   *
   * @defaultValue 5
   */
  clockToleranceSeconds?: number
  /** The oldest token accepted, from its `iat`. */
  maxTokenAgeSeconds?: number
  /**
   * The longest token that is looked at, bytes, 1 to 65536. Node.js itself refuses headers of more than 16 KiB unless
   * it is started with `--max-http-header-size`.
   *
   * @defaultValue 8192
   */
  maxTokenBytes?: number
  /**
   * `'optional'` lets a request without a token through, without `req.auth`; a bad token is still 401.
   *
   * @defaultValue 'required'
   */
  credentials?: 'required' | 'optional'
  /**
   * Takes the token from another place than `Authorization: Bearer`. `undefined`, `null` and `''` mean that there is none;
   * anything but a string is 400 `invalid_request`.
   */
  getToken?: (req: Request) => string | null | undefined
  /**
   * What is kicked out. Made of `KICKOUT_REDIS_URL` unless given; `false`: none, whatever the environment says. Without it
   * tokens are good until they expire.
   */
  revocations?: Revocations | false
  /**
   * Verified tokens that are remembered; 0 remembers none.
   *
   * @defaultValue 10000
   */
  maxCachedTokens?: number
  /**
   * In the challenge.
   *
   * @defaultValue 'api'
   */
  realm?: string
  /** `resource_metadata` of every challenge (RFC 9728 §5.1). */
  resourceMetadataUrl?: string
  /**
   * What a client is advised to ask for, separated by spaces: the `scope` of the 401 that answers a request without a token
   * (RFC 6750 §3). A scope guard that answers such a request names its own scopes.
   *
   * @defaultValue none
   */
  challengeScope?: string
  /**
   * Scope hierarchies: whether a scope that was granted includes another one that is wanted. Asked by every scope guard and
   * by `adminRouter`, synchronously; only `true` is a yes. A scope always includes itself.
   *
   * @defaultValue each scope includes itself alone
   */
  scopeIncludes?: ScopeIncludes
  /** How long keys are kept, and how often they are asked for. */
  jwksCache?: JwksCacheOptions
  /** Accepts tokens that are bound to a key, and asks for a proof of it with each request (RFC 9449). */
  dpop?: DpopOptions
  /** Accepts tokens that are bound to a client certificate, and compares it with each request (RFC 8705). */
  mtls?: MtlsOptions
  /** Receives every rejection and every refresh of keys; never a token. */
  onEvent?: (event: GuardEvent) => void
}
