import type { Request } from 'express'
import type { GuardEvent } from '../events.ts'
import {
  assertOptions,
  optionError,
  readBoolean,
  readChoice,
  readFunction,
  readNumber,
  readOptions,
  readString,
  readStrings,
} from '../options.ts'
import { maxClockToleranceSeconds } from '../revocation/revocation.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { type BindingSettings, readBindings } from './binding/options.ts'
import type { ChallengeSettings } from './challenge.ts'
import { supportedAlgorithms } from './keys/jwks.ts'
import type { JwksCacheOptions } from './keys/key-set.ts'
import type { RequireAuthOptions } from './require-auth-options.ts'
import { isScopeToken, type ScopeIncludes, splitScope } from './scopes.ts'
import { readTrusts, type TrustSource } from './trusts.ts'

const where = 'requireAuth'

/** Checked options, nothing optional about them. */
export interface GuardSettings extends Pick<
  ChallengeSettings,
  'realm' | 'resourceMetadataUrl' | 'challengeScope'
> {
  readonly scopeIncludes: ScopeIncludes | undefined
  readonly trusts: TrustSource
  readonly fetch: typeof fetch | undefined
  readonly maxTokenBytes: number
  readonly algorithms: ReadonlySet<string>
  readonly strict: boolean
  readonly clockToleranceSeconds: number
  readonly maxTokenAgeSeconds: number | undefined
  readonly credentials: 'required' | 'optional'
  readonly getToken: ((req: Request) => string | null | undefined) | undefined
  readonly revocations: Revocations | undefined
  readonly maxCachedTokens: number
  readonly onEvent: ((event: GuardEvent) => void) | undefined
  readonly bindings: BindingSettings
}

const optionNames = [
  'issuer',
  'audience',
  'clientIds',
  'jwksUri',
  'jwks',
  'claims',
  'allowIdTokenClaims',
  'introspection',
  'dangerouslyAllowHttp',
  'fetch',
  'algorithms',
  'strict',
  'clockToleranceSeconds',
  'maxTokenAgeSeconds',
  'maxTokenBytes',
  'credentials',
  'getToken',
  'revocations',
  'maxCachedTokens',
  'realm',
  'resourceMetadataUrl',
  'challengeScope',
  'scopeIncludes',
  'jwksCache',
  'dpop',
  'mtls',
  'onEvent',
] as const satisfies readonly (keyof RequireAuthOptions)[]

/** The default of every option that has one. docs/options.md is compared with these. */
export const guardDefaults = {
  strict: false,
  clockToleranceSeconds: 5,
  credentials: 'required',
  maxCachedTokens: 10_000,
  maxTokenBytes: 8192,
  dangerouslyAllowHttp: false,
  realm: 'api',
  jwksCache: { maxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: 5000, maxStaleSeconds: 86_400 },
} as const

function readAlgorithms(value: unknown): ReadonlySet<string> {
  if (value === undefined) return new Set(supportedAlgorithms)
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

function readCache(value: unknown): Required<JwksCacheOptions> {
  const defaults = guardDefaults.jwksCache
  const cache = readOptions(
    `${where}: jwksCache`,
    value === undefined ? {} : value,
    Object.keys(defaults),
  )
  const read = (name: keyof typeof defaults, min: number): number =>
    readNumber(where, `jwksCache.${name}`, cache[name], { fallback: defaults[name], min })
  return {
    maxAgeSeconds: read('maxAgeSeconds', 0.1),
    cooldownSeconds: read('cooldownSeconds', 0),
    timeoutMs: read('timeoutMs', 1),
    maxStaleSeconds: read('maxStaleSeconds', 0),
  }
}

function readChallengeScope(value: unknown): string | undefined {
  const scopes = splitScope(readString(where, 'challengeScope', value) ?? '')
  if (value === undefined) return undefined
  if (scopes.length > 0 && scopes.every(isScopeToken)) return scopes.join(' ')
  throw optionError(
    where,
    'challengeScope',
    "must hold scopes separated by spaces, such as 'reports:read reports:write'",
  )
}

function readRevocations(value: unknown): Revocations | undefined {
  if (value === undefined || value === false) return undefined
  const candidate = (value ?? {}) as Record<string, unknown>
  const methods = [candidate['check'], candidate['onKickOut'], candidate['ready']]
  if (!methods.every((method) => typeof method === 'function')) {
    throw optionError(
      where,
      'revocations',
      'must be Revocations: memoryRevocations(), redisRevocations(redis), or the "revocations" of an issuer',
    )
  }
  return value as Revocations
}

/** A kick-out of an issuer that this guard does not trust would be confirmed and would put no token out. */
function assertSameIssuer(revocations: Revocations | undefined, source: TrustSource): void {
  // A function says only later which issuers it trusts.
  if (source.kind === 'resolver') return
  const issuer = revocations?.issuer
  const trusted = source.trusts.map(({ keySet }) => keySet.issuer)
  if (issuer === undefined || trusted.includes(issuer)) return
  throw optionError(
    where,
    'revocations',
    `were made for the issuer "${issuer}", which this guard does not trust. It trusts ` +
      `${trusted.map((name) => `"${name}"`).join(', ')}; both must be the exact "iss" of the tokens, slashes included`,
  )
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
  const trusts = readTrusts(options, algorithms, cache)
  const revocations = readRevocations(options.revocations)
  assertSameIssuer(revocations, trusts)
  return {
    trusts,
    algorithms,
    strict: readBoolean(where, 'strict', options.strict, defaults.strict),
    clockToleranceSeconds: readNumber(
      where,
      'clockToleranceSeconds',
      options.clockToleranceSeconds,
      {
        fallback: defaults.clockToleranceSeconds,
        min: 0,
        max: maxClockToleranceSeconds,
      },
    ),
    maxTokenAgeSeconds:
      options.maxTokenAgeSeconds === undefined
        ? undefined
        : readNumber(where, 'maxTokenAgeSeconds', options.maxTokenAgeSeconds, {
            fallback: 0,
            min: 1,
          }),
    fetch: readFunction(where, 'fetch', options.fetch),
    maxTokenBytes: readNumber(where, 'maxTokenBytes', options.maxTokenBytes, {
      fallback: defaults.maxTokenBytes,
      min: 1,
      max: 65_536,
      integer: true,
    }),
    credentials: readChoice(
      where,
      'credentials',
      options.credentials,
      ['required', 'optional'],
      defaults.credentials,
    ),
    getToken: readFunction(where, 'getToken', options.getToken),
    revocations,
    maxCachedTokens: readNumber(where, 'maxCachedTokens', options.maxCachedTokens, {
      fallback: defaults.maxCachedTokens,
      min: 0,
      max: 10_000_000,
      integer: true,
    }),
    realm: readString(where, 'realm', options.realm) ?? defaults.realm,
    resourceMetadataUrl: readString(where, 'resourceMetadataUrl', options.resourceMetadataUrl),
    challengeScope: readChallengeScope(options.challengeScope),
    scopeIncludes: readFunction(where, 'scopeIncludes', options.scopeIncludes),
    onEvent: readFunction(where, 'onEvent', options.onEvent),
    bindings: readBindings(
      options,
      trusts.kind === 'list' ? trusts.trusts.map(({ keySet }) => keySet.issuer) : [],
    ),
  }
}
