import type { Request } from 'express'
import type { GuardEvent } from '../events.ts'
import {
  assertOptions,
  isSecureUrl,
  optionError,
  readBoolean,
  readChoice,
  readFunction,
  readNumber,
  readOptions,
  readString,
  readStrings,
} from '../options.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { ChallengeSettings } from './challenge.ts'
import { defaultAlgorithms, readJwks, supportedAlgorithms } from './jwks.ts'
import type { JwksCacheOptions, KeySetSettings } from './key-set.ts'

const where = 'requireAuth'

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
  /** Takes the token from somewhere else than `Authorization: Bearer`. */
  getToken?: (req: Request) => string | undefined
  /** What is kicked out. Without it tokens are good until they expire. */
  revocations?: Revocations
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
  /** Receives every rejection and every refresh of keys; never a token. */
  onEvent?: (event: GuardEvent) => void
}

export interface TrustSettings {
  readonly audience: readonly string[]
  readonly keySet: KeySetSettings
}

/** Checked options, nothing optional about them. */
export interface GuardSettings extends ChallengeSettings {
  readonly trusts: readonly TrustSettings[]
  readonly algorithms: ReadonlySet<string>
  readonly strict: boolean
  readonly clockToleranceSeconds: number
  readonly maxTokenAgeSeconds: number | undefined
  readonly credentials: 'required' | 'optional'
  readonly getToken: ((req: Request) => string | undefined) | undefined
  readonly revocations: Revocations | undefined
  readonly maxCachedTokens: number
  readonly onEvent: ((event: GuardEvent) => void) | undefined
}

const optionNames = [
  'issuer',
  'audience',
  'jwksUri',
  'jwks',
  'algorithms',
  'strict',
  'clockToleranceSeconds',
  'maxTokenAgeSeconds',
  'credentials',
  'getToken',
  'revocations',
  'maxCachedTokens',
  'realm',
  'resourceMetadataUrl',
  'jwksCache',
  'onEvent',
] as const satisfies readonly (keyof RequireAuthOptions)[]

/** The default of every option that has one. The README's tables are compared with these. */
export const guardDefaults = {
  strict: false,
  clockToleranceSeconds: 5,
  credentials: 'required',
  maxCachedTokens: 10_000,
  realm: 'api',
  jwksCache: { maxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: 5000, maxStaleSeconds: 86_400 },
} as const

function readAlgorithms(value: unknown): ReadonlySet<string> {
  if (value === undefined) return new Set(defaultAlgorithms)
  if (!Array.isArray(value))
    throw optionError(where, 'algorithms', 'must be a list of algorithm names')
  const algorithms = readStrings(where, 'algorithms', value) ?? []
  const unsupported = algorithms.find(
    (name) => !supportedAlgorithms.some((known) => known === name),
  )
  if (unsupported !== undefined) {
    throw optionError(
      where,
      'algorithms',
      `must hold asymmetric algorithms only, of ${supportedAlgorithms.join(', ')}: ` +
        'with a shared secret every server that verifies could also forge',
    )
  }
  return new Set(algorithms)
}

function readUrl(option: string, value: unknown): URL | undefined {
  if (value === undefined) return undefined
  const text = value instanceof URL ? value.href : readString(where, option, value)
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined
  if (!url || !isSecureUrl(url)) {
    throw optionError(where, option, 'must be an https: URL, or an http: one on a loopback host')
  }
  return url
}

function readKeySource(at: string, trusted: TrustedIssuer): KeySetSettings['source'] {
  if (trusted.jwks !== undefined && trusted.jwksUri !== undefined) {
    throw optionError(
      where,
      `${at}jwks`,
      'must not stand beside "jwksUri": the keys come from one place',
    )
  }
  if (trusted.jwks !== undefined) {
    try {
      readJwks(trusted.jwks)
    } catch (error) {
      throw optionError(where, `${at}jwks`, (error as Error).message)
    }
    return { kind: 'given', jwks: structuredClone(trusted.jwks) }
  }
  const url = readUrl(`${at}jwksUri`, trusted.jwksUri)
  return url ? { kind: 'address', url } : { kind: 'discovery' }
}

function assertIssuerUrl(at: string, issuer: string): void {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (!url || !isSecureUrl(url) || url.search !== '' || url.hash !== '') {
    throw optionError(
      where,
      `${at}issuer`,
      'must be an https: URL without query or fragment (http: only on a loopback host), exactly as in "iss"; ' +
        'any string will do where "jwks" gives the keys',
    )
  }
}

function readTrust(
  at: string,
  trusted: TrustedIssuer,
  algorithms: ReadonlySet<string>,
  cache: Required<JwksCacheOptions>,
): TrustSettings {
  const issuer = readString(where, `${at}issuer`, trusted.issuer)
  const audience = readStrings(where, `${at}audience`, trusted.audience)
  if (issuer === undefined) {
    throw optionError(where, `${at}issuer`, 'is missing: give it, or set ISSUER_BASE_URL')
  }
  if (audience === undefined) {
    throw optionError(
      where,
      `${at}audience`,
      'is missing: give it, or set AUDIENCE. Without it any token of the issuer would do, whatever it was made for',
    )
  }
  const source = readKeySource(at, trusted)
  if (source.kind !== 'given') assertIssuerUrl(at, issuer)
  return { audience, keySet: { issuer, source, algorithms, cache } }
}

function readTrusts(
  options: RequireAuthOptions,
  algorithms: ReadonlySet<string>,
  cache: Required<JwksCacheOptions>,
): TrustSettings[] {
  const { issuer, audience } = options
  if (!Array.isArray(issuer)) {
    return [readTrust('', options as TrustedIssuer, algorithms, cache)]
  }
  for (const option of ['jwksUri', 'jwks'] as const) {
    if (options[option] !== undefined) {
      throw optionError(
        where,
        option,
        'must not stand beside a list of issuers: put it into the list',
      )
    }
  }
  if (issuer.length === 0) throw optionError(where, 'issuer', 'must not be an empty list')
  const trusts = issuer.map((trusted, index) => {
    const at = `issuer[${index}].`
    assertOptions(`${where}: issuer[${index}]`, trusted, ['issuer', 'audience', 'jwksUri', 'jwks'])
    const own = {
      ...trusted,
      ...(trusted.audience === undefined && audience !== undefined && { audience }),
    }
    return readTrust(at, own, algorithms, cache)
  })
  const names = trusts.map((trust) => trust.keySet.issuer)
  if (new Set(names).size < names.length)
    throw optionError(where, 'issuer', 'lists an issuer twice')
  return trusts
}

function readCache(value: unknown): Required<JwksCacheOptions> {
  const defaults = guardDefaults.jwksCache
  const cache = readOptions(`${where}: jwksCache`, value ?? {}, Object.keys(defaults))
  const read = (name: keyof typeof defaults, min: number): number =>
    readNumber(where, `jwksCache.${name}`, cache[name], { fallback: defaults[name], min })
  return {
    maxAgeSeconds: read('maxAgeSeconds', 0.1),
    cooldownSeconds: read('cooldownSeconds', 0),
    timeoutMs: read('timeoutMs', 1),
    maxStaleSeconds: read('maxStaleSeconds', 0),
  }
}

function readRevocations(value: unknown): Revocations | undefined {
  if (value === undefined) return undefined
  const candidate = value as Partial<Revocations> | null
  if (typeof candidate?.check !== 'function' || typeof candidate.onKickOut !== 'function') {
    throw optionError(
      where,
      'revocations',
      'must be Revocations: memoryRevocations(), redisRevocations(redis), or the "revocations" of an issuer',
    )
  }
  return value as Revocations
}

/**
 * Checks options and completes them.
 *
 * @throws TypeError that names the option
 */
export function readSettings(options: RequireAuthOptions): GuardSettings {
  assertOptions(where, options, optionNames)
  const algorithms = readAlgorithms(options.algorithms)
  const cache = readCache(options.jwksCache)
  const defaults = guardDefaults
  return {
    trusts: readTrusts(options, algorithms, cache),
    algorithms,
    strict: readBoolean(where, 'strict', options.strict, defaults.strict),
    clockToleranceSeconds: readNumber(
      where,
      'clockToleranceSeconds',
      options.clockToleranceSeconds,
      {
        fallback: defaults.clockToleranceSeconds,
        min: 0,
        max: 600,
      },
    ),
    maxTokenAgeSeconds:
      options.maxTokenAgeSeconds === undefined
        ? undefined
        : readNumber(where, 'maxTokenAgeSeconds', options.maxTokenAgeSeconds, {
            fallback: 0,
            min: 1,
          }),
    credentials: readChoice(
      where,
      'credentials',
      options.credentials,
      ['required', 'optional'],
      defaults.credentials,
    ),
    getToken: readFunction(where, 'getToken', options.getToken),
    revocations: readRevocations(options.revocations),
    maxCachedTokens: readNumber(where, 'maxCachedTokens', options.maxCachedTokens, {
      fallback: defaults.maxCachedTokens,
      min: 0,
      max: 10_000_000,
      integer: true,
    }),
    realm: readString(where, 'realm', options.realm) ?? defaults.realm,
    resourceMetadataUrl: readString(where, 'resourceMetadataUrl', options.resourceMetadataUrl),
    onEvent: readFunction(where, 'onEvent', options.onEvent),
  }
}
