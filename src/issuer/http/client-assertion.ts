import { decodeProtectedHeader } from 'jose/decode/protected_header'
import { decodeJwt } from 'jose/jwt/decode'
import { jwtVerify } from 'jose/jwt/verify'
import type { Clock } from '../../clock.ts'
import { isAuthError, isUnavailableError, UnavailableError } from '../../errors.ts'
import { supportedAlgorithms } from '../../guard/keys/jwks.ts'
import type { FoundKeys, KeySet } from '../../guard/keys/key-set.ts'
import { isIdentifier } from '../../identifier.ts'
import type { ReplayStore } from '../../replay/replay-store.ts'

/** The `client_assertion_type` of RFC 7523. */
export const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** How far away the `exp` of an assertion may be. */
const maxLifetimeSeconds = 300
const toleranceSeconds = 5
const maxAssertionLength = 8192
const acceptedTypes = [undefined, 'jwt', 'client-authentication+jwt']

export interface AssertionPolicy {
  readonly issuer: string
  /** What `aud` may be: the issuer or its token endpoint. */
  readonly audiences: readonly string[]
  readonly replay: ReplayStore
  readonly clock: Clock
}

/**
 * Reads whom an assertion claims to come from. Nothing is verified.
 *
 * @returns `undefined` for what is no assertion
 */
export function claimedClient(assertion: string): string | undefined {
  if (assertion.length > maxAssertionLength) return undefined
  try {
    const { iss, sub } = decodeJwt(assertion)
    return iss === sub && isIdentifier(sub) ? sub : undefined
  } catch {
    return undefined
  }
}

/** What does not fit is refused before a key is asked for. */
function algorithmOf(assertion: string): { alg: string; kid: string | undefined } | undefined {
  try {
    const { alg, kid, typ } = decodeProtectedHeader(assertion)
    const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
    const isAccepted = supportedAlgorithms.some((known) => known === alg)
    if (!isAccepted || alg === undefined || !acceptedTypes.includes(type)) return undefined
    if (kid !== undefined && typeof kid !== 'string') return undefined
    return { alg, kid }
  } catch {
    return undefined
  }
}

function soleAudience(aud: unknown): unknown {
  const [only, ...others] = Array.isArray(aud) ? (aud as unknown[]) : [aud]
  return others.length === 0 ? only : undefined
}

async function keysFor(
  keySet: KeySet,
  { alg, kid }: { alg: string; kid: string | undefined },
): Promise<FoundKeys | undefined> {
  try {
    return await keySet.find(alg, kid)
  } catch (error) {
    if (isAuthError(error) && !isUnavailableError(error)) return undefined
    throw error
  }
}

/**
 * Whether an assertion proves that the request comes from a client. Each is accepted once.
 *
 * @throws UnavailableError when the client's keys or the replay store cannot be had
 * @see RFC 7523 §3
 */
export async function provesClient(
  assertion: string,
  clientId: string,
  keySet: KeySet,
  { issuer, audiences, replay, clock }: AssertionPolicy,
): Promise<boolean> {
  const header = algorithmOf(assertion)
  if (!header) return false
  const nowMs = clock.now()
  const fits = (claims: ReturnType<typeof decodeJwt>): boolean => {
    const { aud, exp, jti } = claims
    const audience = soleAudience(aud)
    return (
      audiences.some((accepted) => accepted === audience) &&
      typeof exp === 'number' &&
      exp * 1000 <= nowMs + (maxLifetimeSeconds + toleranceSeconds) * 1000 &&
      exp * 1000 > nowMs - toleranceSeconds * 1000 &&
      typeof jti === 'string' &&
      jti !== ''
    )
  }
  // The signature is the last thing to be looked at, since it is the dearest.
  if (!fits(decodeJwt(assertion))) return false
  const keys = await keysFor(keySet, header)
  for (const key of keys ?? []) {
    try {
      const { payload } = await jwtVerify(assertion, await key.forAlgorithm(header.alg), {
        algorithms: [header.alg],
        issuer: clientId,
        subject: clientId,
        clockTolerance: toleranceSeconds,
        currentDate: new Date(nowMs),
        requiredClaims: ['exp', 'jti'],
      })
      const { iat, exp = 0, jti = '' } = payload
      if (iat !== undefined && iat * 1000 > nowMs + toleranceSeconds * 1000) return false
      const ttlMs = (exp + toleranceSeconds) * 1000 - nowMs + 1000
      const isFirst = await replay.claim(
        'client-assertion',
        JSON.stringify([issuer, clientId, jti]),
        ttlMs,
      )
      // One from before the store remembers may have been used: the client is asked for a younger one.
      const issuedMs = (iat ?? exp - maxLifetimeSeconds) * 1000
      if (isFirst && issuedMs + 1000 <= (replay.remembersSinceMs ?? Number.NEGATIVE_INFINITY)) {
        throw new UnavailableError('replay', 'A client assertion is older than the replay store')
      }
      return isFirst
    } catch (error) {
      if (isUnavailableError(error)) throw error
    }
  }
  return false
}
