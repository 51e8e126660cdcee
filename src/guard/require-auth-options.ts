import type { Request } from 'express'
import type { GuardEvent } from '../events.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { DpopOptions, MtlsOptions } from './binding/options.ts'
import type { JwksCacheOptions } from './keys/key-set.ts'

/** A public key set, RFC 7517 §5. */
export interface JwksDocument {
  keys: readonly object[]
}

/** One of several issuers whose tokens are accepted. */
export interface TrustedIssuer {
  issuer: string
  /** The guard's `audience` unless given. */
  audience?: string | string[]
  /** Discovered unless given. */
  jwksUri?: string | URL
  /** Keys given directly, no network. */
  jwks?: JwksDocument
}

export interface RequireAuthOptions {
  /** The exact `iss` accepted, or several issuers. From `ISSUER_BASE_URL` unless given. */
  issuer?: string | TrustedIssuer[]
  /** The token's `aud` must contain one of them. From `AUDIENCE` unless given. */
  audience?: string | string[]
  /** Where the keys are. From `JWKS_URI` unless given; else discovered (RFC 8414, then OpenID Connect). */
  jwksUri?: string | URL
  /** Keys given directly, no network. */
  jwks?: JwksDocument
  /**
   * Accepted signature algorithms, asymmetric only.
   *
   * @defaultValue RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA
   */
  algorithms?: string[]
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
  jwksCache?: JwksCacheOptions
  /** Accepts tokens that are bound to a key, and asks for a proof of it with each request (RFC 9449). */
  dpop?: DpopOptions
  /** Accepts tokens that are bound to a client certificate, and compares it with each request (RFC 8705). */
  mtls?: MtlsOptions
  /** Receives every rejection and every refresh of keys; never a token. */
  onEvent?: (event: GuardEvent) => void
}
