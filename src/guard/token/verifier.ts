import type { JWTHeaderParameters, JWTPayload } from 'jose'
import * as errors from 'jose/errors'
import { compactVerify } from 'jose/jws/compact/verify'
import { LRUCache } from 'lru-cache'
import type { AccessTokenClaims, FrozenStrings } from '../../auth.ts'
import type { Clock } from '../../clock.ts'
import { AuthError, type AuthErrorReason } from '../../errors.ts'
import type { Confirmation } from '../binding/confirmation.ts'
import type { IntrospectionSettings } from '../introspection/options.ts'
import {
  assertClaims,
  assertRegisteredClaims,
  assertType,
  type ClaimsPolicy,
  toAccessTokenClaims,
} from './claims.ts'
import { readCompactJws } from './compact-jws.ts'
import type { VerificationKey } from '../keys/jwks.ts'
import type { FoundKeys, KeySet } from '../keys/key-set.ts'
import { isIdentifier } from '../../identifier.ts'
import type { ClaimNames } from '../require-auth-options.ts'
import { clientOf } from '../../revocation/revocation.ts'
import { readScopes } from '../scopes.ts'

/** One issuer that is trusted: its keys, and for whom its tokens must be. */
export interface Trust {
  readonly issuer: string
  /** Empty: the audience is not looked at. */
  readonly audience: readonly string[]
  /** `undefined`: any client will do. */
  readonly clientIds: readonly string[] | undefined
  /** Claims that name the user, session or token beside `sub`, `sid` and `jti`. */
  readonly claims: Required<ClaimNames>
  readonly allowIdTokenClaims: readonly string[]
  readonly keySet: KeySet
  /** How the issuer is asked about tokens that are not verified here. */
  readonly introspection?: IntrospectionSettings | undefined
}

/** Where a verifier looks issuers up. */
export interface Trusts {
  get(iss: string): Trust | undefined | Promise<Trust | undefined>
  /** A trusted issuer whose name differs by its last slash only. */
  nearest(iss: unknown): string | undefined
}

export interface VerifierSettings extends ClaimsPolicy {
  readonly trusts: Trusts
  readonly maxTokenBytes: number
  readonly algorithms: ReadonlySet<string>
  readonly maxTokenAgeSeconds: number | undefined
}

/** Headers differ by key, and so there are hardly more of them than keys. */
const maxHeaders = 64

/** A token that passed, and what has to be looked at again each time it is used. */
export interface VerifiedToken {
  readonly token: string
  readonly header: JWTHeaderParameters
  readonly claims: AccessTokenClaims
  /** The same claims under each further name of the user, session or token: a kick-out of any of them counts. */
  readonly aliases: readonly AccessTokenClaims[]
  readonly scopes: FrozenStrings
  readonly clientId: string
  /** The first audience that token and guard have in common and that is a URL. */
  readonly resource: string | undefined
  /** After the issuer has retired this key, the token is verified again. */
  readonly key: Pick<VerificationKey, 'kid' | 'retired'>
  /** Whether the verification still counts: the issuer's keys, or its answer about the token, are recent enough. */
  readonly keySet: Pick<KeySet, 'isUsable'>
  /** What the token is bound to. Absent: it is a plain bearer. */
  readonly confirmation?: Confirmation
  /** `exp` (or `iat` plus the largest age, whichever is sooner) plus the tolerance, milliseconds. */
  readonly validUntilMs: number
}

/**
 * Looked at after verification, and again at each later use. To the millisecond, where jose rounds seconds down.
 *
 * @throws AuthError `expired`
 */
export function assertNotExpired(verified: VerifiedToken, clock: Clock): void {
  if (clock.now() >= verified.validUntilMs) {
    throw new AuthError('invalid_token', 'expired', 'The token has expired')
  }
}

/** What jose says, in our words. Anything else that it throws is about the form of the token. */
function toAuthError(error: unknown): AuthError {
  const refuse = (reason: AuthErrorReason, message: string): AuthError =>
    // Without the cause: jose's errors carry the whole payload, which has no place in a log.
    new AuthError('invalid_token', reason, message)
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse('signature', 'The signature of the token does not verify')
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return refuse('algorithm', 'The algorithm is not accepted')
  return refuse('malformed', 'The token is not a signed JWT')
}

/** An `iss` is configuration rather than a secret, and the first thing that one looks for in a log. */
function untrusted(iss: unknown, trusts: Trusts): AuthError {
  const named = typeof iss === 'string' ? `"${iss.slice(0, 200)}"` : 'absent or not a string'
  const nearest = trusts.nearest(iss)
  const hint =
    nearest === undefined
      ? ''
      : `. It differs from "${nearest}" by a slash only; the option "issuer" must be exactly the "iss"`
  return new AuthError(
    'invalid_token',
    'issuer',
    `The "iss" of the token is not a trusted issuer: ${named}${hint}`,
  )
}

/** Refuses on unverified parts what could not pass anyway, before any key is asked for. */
function assertNotLongExpired(
  { exp }: JWTPayload,
  { clockToleranceSeconds }: VerifierSettings,
  nowSeconds: number,
): void {
  if (typeof exp === 'number' && exp + clockToleranceSeconds <= nowSeconds) {
    throw new AuthError('invalid_token', 'expired', 'The token has expired')
  }
}

/** @throws AuthError `audience` where nothing says which JWTs are meant for this server */
function assertHasAudience({ audience, clientIds }: Trust): void {
  if (audience.length > 0 || clientIds) return
  throw new AuthError(
    'invalid_token',
    'audience',
    'A JWT is accepted for an "audience" only, and the option is empty: name one, or have JWTs introspected with ' +
      '"jwt: true"',
  )
}

/** @throws AuthError `audience` where only some clients of the issuer are accepted and the token is of none of them */
function assertClient(claims: AccessTokenClaims, { clientIds }: Trust): void {
  if (!clientIds) return
  const client = clientOf(claims)
  if (client !== undefined && clientIds.includes(client)) return
  throw new AuthError(
    'invalid_token',
    'audience',
    'The client of the token is none of the "clientIds" of requireAuth',
  )
}

const urlAudiences = new WeakMap<readonly string[], ReadonlySet<string>>()

/** The audiences of a trust that are URLs, worked out once. */
function urlAudiencesOf({ audience }: Trust): ReadonlySet<string> {
  let urls = urlAudiences.get(audience)
  if (!urls) {
    urls = new Set(audience.filter((name) => URL.canParse(name)))
    urlAudiences.set(audience, urls)
  }
  return urls
}

function resourceOf({ aud }: AccessTokenClaims, trust: Trust): string | undefined {
  const urls = urlAudiencesOf(trust)
  if (urls.size === 0) return undefined
  return typeof aud === 'string'
    ? urls.has(aud)
      ? aud
      : undefined
    : aud.find((name) => urls.has(name))
}

/** The claims once more for each further id, in the place where kick-outs look for it. */
function readAliases(claims: AccessTokenClaims, names: Required<ClaimNames>): AccessTokenClaims[] {
  const places = [
    ['sub', names.subject],
    ['sid', names.session],
    ['jti', names.tokenId],
  ] as const
  return places.flatMap(([place, further]) =>
    further.flatMap((name) => {
      const id = claims[name]
      return isIdentifier(id) && id !== claims[place] ? [{ ...claims, [place]: id }] : []
    }),
  )
}

/** What a token says, checked. */
interface CheckedToken {
  readonly token: string
  readonly header: JWTHeaderParameters
  readonly payload: JWTPayload
  readonly confirmation: Confirmation | undefined
}

/**
 * Works out once what each request with the token needs.
 *
 * @throws AuthError `audience` for a client that is not accepted, `claims` for ill-typed scopes
 */
export function toVerifiedToken(
  { token, header, payload, confirmation }: CheckedToken,
  source: Pick<VerifiedToken, 'key' | 'keySet'>,
  trust: Trust,
  {
    clockToleranceSeconds,
    maxTokenAgeSeconds,
  }: Pick<VerifierSettings, 'clockToleranceSeconds' | 'maxTokenAgeSeconds'>,
): VerifiedToken {
  const claims = toAccessTokenClaims(payload)
  assertClient(claims, trust)
  const oldest =
    maxTokenAgeSeconds === undefined
      ? Number.POSITIVE_INFINITY
      : (claims.iat ?? 0) + maxTokenAgeSeconds
  const verified: VerifiedToken = {
    token,
    header,
    claims,
    aliases: readAliases(claims, trust.claims),
    scopes: Object.freeze(readScopes(claims)) as FrozenStrings,
    clientId: clientOf(claims) ?? '',
    resource: resourceOf(claims, trust),
    key: source.key,
    keySet: source.keySet,
    validUntilMs: (Math.min(claims.exp, oldest) + clockToleranceSeconds) * 1000,
  }
  return confirmation === undefined ? verified : { ...verified, confirmation }
}

/**
 * Verifies tokens: form, algorithm, issuer, key, signature, claims. Remembers nothing. The key set is chosen by
 * *configured issuer* and then by `kid`; never by searching all keys.
 */
export class Verifier {
  readonly #settings: VerifierSettings
  readonly #clock: Clock
  readonly #algorithms: string[]
  readonly #headers = new LRUCache<string, JWTHeaderParameters>({ max: maxHeaders })

  constructor(settings: VerifierSettings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
    this.#algorithms = [...settings.algorithms]
  }

  /**
   * @throws AuthError `invalid_token` with the reason
   * @throws UnavailableError when no usable key is held
   * @see RFC 9068 §4, RFC 8725
   */
  async verify(token: string): Promise<VerifiedToken> {
    const settings = this.#settings
    // One parse for the checks before and after the signature: jose verifies this very text.
    const { header, payload } = readCompactJws(token, this.#headers, settings.maxTokenBytes)
    const algorithm: unknown = header.alg
    if (typeof algorithm !== 'string' || !settings.algorithms.has(algorithm)) {
      throw new AuthError(
        'invalid_token',
        'algorithm',
        'The algorithm of the token is not accepted',
      )
    }
    assertType(header, settings.strict)
    const iss: unknown = payload.iss
    const asked = typeof iss === 'string' ? settings.trusts.get(iss) : undefined
    const trust = asked instanceof Promise ? await asked : asked
    if (!trust) throw untrusted(iss, settings.trusts)
    assertNotLongExpired(payload, settings, this.#clock.now() / 1000)
    assertHasAudience(trust)
    const found = trust.keySet.find(algorithm, header.kid)
    const keys = found instanceof Promise ? await found : found
    const key = await this.#verifyWithOneOf(keys, token, algorithm)
    const nowSeconds = this.#clock.now() / 1000
    const { clockToleranceSeconds, maxTokenAgeSeconds } = settings
    const { issuer, audience } = trust
    assertRegisteredClaims(
      payload,
      { issuer, audience, clockToleranceSeconds, maxTokenAgeSeconds },
      nowSeconds,
    )
    const confirmation = assertClaims(
      header,
      payload,
      settings,
      nowSeconds,
      trust.allowIdTokenClaims,
    )
    const verified = toVerifiedToken(
      { token, header, payload, confirmation },
      { key, keySet: trust.keySet },
      trust,
      settings,
    )
    assertNotExpired(verified, this.#clock)
    return verified
  }

  /** Several keys are tried only for a token that names none. */
  async #verifyWithOneOf(
    [key, ...others]: FoundKeys,
    token: string,
    algorithm: string,
  ): Promise<VerificationKey> {
    try {
      await this.#verifySignature(token, await key.forAlgorithm(algorithm))
      return key
    } catch (error) {
      const [next, ...rest] = others
      if (!next || !(error instanceof AuthError) || error.reason !== 'signature') throw error
      return this.#verifyWithOneOf([next, ...rest], token, algorithm)
    }
  }

  async #verifySignature(
    token: string,
    key: Awaited<ReturnType<VerificationKey['forAlgorithm']>>,
  ): Promise<void> {
    try {
      await compactVerify(token, key, { algorithms: this.#algorithms })
    } catch (error) {
      throw toAuthError(error)
    }
  }
}
