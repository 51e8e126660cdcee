import { errors, type JWTHeaderParameters, type JWTPayload, jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import type { AccessTokenClaims } from '../../auth.ts'
import type { Clock } from '../../clock.ts'
import { AuthError, type AuthErrorReason } from '../../errors.ts'
import type { Confirmation } from '../binding/confirmation.ts'
import { assertClaims, assertType, type ClaimsPolicy, toAccessTokenClaims } from './claims.ts'
import { readCompactJws } from './compact-jws.ts'
import type { VerificationKey } from '../keys/jwks.ts'
import type { KeySet } from '../keys/key-set.ts'
import { clientOf } from '../../revocation/revocation.ts'
import { readScopes } from '../scopes.ts'

/** One issuer that is trusted: its keys, and for whom its tokens must be. */
export interface Trust {
  readonly issuer: string
  readonly audience: readonly string[]
  readonly keySet: KeySet
}

export interface VerifierSettings extends ClaimsPolicy {
  readonly trusts: ReadonlyMap<string, Trust>
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
  readonly scopes: string[]
  readonly clientId: string
  readonly key: VerificationKey
  readonly keySet: KeySet
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
  if (error instanceof errors.JWTExpired) return refuse('expired', 'The token has expired')
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse('signature', 'The signature of the token does not verify')
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return refuse('algorithm', 'The algorithm is not accepted')
  if (!(error instanceof errors.JWTClaimValidationFailed)) {
    return refuse('malformed', 'The token is not a signed JWT')
  }
  const { claim, reason } = error
  if (claim === 'iss') return refuse('issuer', 'The "iss" of the token is not its issuer')
  if (claim === 'aud')
    return refuse('audience', 'The "aud" of the token names none of our audiences')
  const isTime = claim === 'nbf' || claim === 'iat'
  return isTime && reason === 'check_failed'
    ? refuse('not_yet_valid', `The "${claim}" of the token is in the future`)
    : refuse('claims', `The "${claim}" of the token is missing or of a wrong type`)
}

/** Refuses on unverified parts what could not pass anyway, before any key is asked for. */
function trustOf(settings: VerifierSettings, payload: JWTPayload, nowSeconds: number): Trust {
  const trust = settings.trusts.get(payload.iss as string)
  if (!trust)
    throw new AuthError('invalid_token', 'issuer', 'The "iss" of the token is not a trusted issuer')
  const { exp } = payload
  if (typeof exp === 'number' && exp + settings.clockToleranceSeconds <= nowSeconds) {
    throw new AuthError('invalid_token', 'expired', 'The token has expired')
  }
  return trust
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
    const { header, payload: unverified } = readCompactJws(token, this.#headers)
    const algorithm: unknown = header.alg
    if (typeof algorithm !== 'string' || !settings.algorithms.has(algorithm)) {
      throw new AuthError(
        'invalid_token',
        'algorithm',
        'The algorithm of the token is not accepted',
      )
    }
    assertType(header, settings.strict)
    const trust = trustOf(settings, unverified, this.#clock.now() / 1000)
    const found = trust.keySet.find(algorithm, header.kid)
    const key = found instanceof Promise ? await found : found
    const payload = await this.#verifySignature(token, await key.forAlgorithm(algorithm), trust)
    const confirmation = assertClaims(header, payload, settings, this.#clock.now() / 1000)
    const unbound = this.#toVerifiedToken(token, header, payload, key, trust)
    const verified = confirmation === undefined ? unbound : { ...unbound, confirmation }
    assertNotExpired(verified, this.#clock)
    return verified
  }

  async #verifySignature(
    token: string,
    key: Awaited<ReturnType<VerificationKey['forAlgorithm']>>,
    trust: Trust,
  ): Promise<JWTPayload> {
    const { clockToleranceSeconds, maxTokenAgeSeconds } = this.#settings
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: this.#algorithms,
        issuer: trust.issuer,
        audience: trust.audience as string[],
        clockTolerance: clockToleranceSeconds,
        requiredClaims: ['exp'],
        currentDate: new Date(this.#clock.now()),
        ...(maxTokenAgeSeconds !== undefined && { maxTokenAge: maxTokenAgeSeconds }),
      })
      return payload
    } catch (error) {
      throw toAuthError(error)
    }
  }

  #toVerifiedToken(
    token: string,
    header: JWTHeaderParameters,
    payload: JWTPayload,
    key: VerificationKey,
    trust: Trust,
  ): VerifiedToken {
    const { clockToleranceSeconds, maxTokenAgeSeconds } = this.#settings
    const claims = toAccessTokenClaims(payload)
    const oldest =
      maxTokenAgeSeconds === undefined
        ? Number.POSITIVE_INFINITY
        : (claims.iat ?? 0) + maxTokenAgeSeconds
    return {
      token,
      header,
      claims,
      scopes: Object.freeze(readScopes(claims)) as string[],
      clientId: clientOf(claims) ?? '',
      key,
      keySet: trust.keySet,
      validUntilMs: (Math.min(claims.exp, oldest) + clockToleranceSeconds) * 1000,
    }
  }
}
