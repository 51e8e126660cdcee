import type { JWTPayload } from 'jose'
import { decodeProtectedHeader } from 'jose/decode/protected_header'
import { decodeJwt } from 'jose/jwt/decode'
import { jwtVerify } from 'jose/jwt/verify'
import type { Clock } from '../clock.ts'
import { isAuthError, isUnavailableError } from '../errors.ts'
import { supportedAlgorithms } from '../guard/keys/jwks.ts'
import type { FoundKeys, KeySet } from '../guard/keys/key-set.ts'
import { isIdentifier } from '../identifier.ts'

/** The tolerance of the guard, which holds for signals too. */
export const toleranceSeconds = 5
const maxSignalLength = 8192
const compactJws = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

/** Why a signal is refused. The text may be sent to its sender; it quotes nothing. */
export class SignalRefused extends Error {
  override readonly name = 'SignalRefused'
}

export function refuse(message: string): never {
  throw new SignalRefused(message)
}

export interface SignalPolicy {
  readonly issuer: string
  /** Compared with `aud`, which has to contain it. */
  readonly audience: string
  /** Types that `typ` may have, in lower case and without `application/`. `undefined`: it may be absent. */
  readonly types: readonly (string | undefined)[]
  readonly maxAgeSeconds: number
  readonly keySet: KeySet
  readonly clock: Clock
  /** Looks at the claims that are the signal's own. @throws SignalRefused */
  readonly assertKind: (claims: JWTPayload) => void
}

/** A signal that passed. */
export interface VerifiedSignal {
  readonly claims: JWTPayload & { readonly jti: string; readonly iat: number }
}

/** What a signal says of itself, unverified; `undefined` for what is no signed JWT. */
function readUnverified(
  token: string,
): { header: { alg?: unknown; kid?: unknown; typ?: unknown }; claims: JWTPayload } | undefined {
  if (token.length > maxSignalLength || !compactJws.test(token)) return undefined
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) }
  } catch {
    return undefined
  }
}

function assertClaims(claims: JWTPayload, policy: SignalPolicy): void {
  const { iss, aud, iat, exp, nbf, jti } = claims as Record<string, unknown>
  const { issuer, audience, maxAgeSeconds, clock } = policy
  const now = clock.now() / 1000
  if (iss !== issuer) refuse('The "iss" is not the trusted one')
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(audience)) refuse('The "aud" does not name this receiver')
  if (!isIdentifier(jti)) refuse('The "jti" is missing or of a wrong type')
  if (typeof iat !== 'number' || !Number.isFinite(iat))
    return refuse('The "iat" is missing or of a wrong type')
  if (iat > now + toleranceSeconds) refuse('The "iat" is in the future')
  if (iat <= now - maxAgeSeconds - toleranceSeconds) refuse('The signal is too old')
  for (const [name, time] of Object.entries({ exp, nbf })) {
    if (time !== undefined && !(typeof time === 'number' && Number.isFinite(time)))
      refuse(`The "${name}" is of a wrong type`)
  }
  if (typeof exp === 'number' && exp <= now - toleranceSeconds) refuse('The signal has expired')
  if (typeof nbf === 'number' && nbf > now + toleranceSeconds) refuse('The signal is not valid yet')
  policy.assertKind(claims)
}

async function keysFor(keySet: KeySet, alg: string, kid: string | undefined): Promise<FoundKeys> {
  try {
    return await keySet.find(alg, kid)
  } catch (error) {
    if (isAuthError(error) && !isUnavailableError(error))
      refuse('No key of the sender fits the signature')
    throw error
  }
}

/**
 * Verifies a signed signal. Whatever is wrong on its face is refused before a key is asked for or a signature is looked at,
 * so that a flood of forgeries costs neither.
 *
 * @throws SignalRefused for anything that is not such a signal
 * @throws UnavailableError when the keys of the sender cannot be had
 */
export async function verifySignal(token: string, policy: SignalPolicy): Promise<VerifiedSignal> {
  const unverified = readUnverified(token) ?? refuse('The token is not a signed JWT')
  const { alg, kid, typ } = unverified.header
  if (typeof alg !== 'string' || !supportedAlgorithms.some((known) => known === alg))
    return refuse('The algorithm is not accepted')
  if (kid !== undefined && typeof kid !== 'string') return refuse('The "kid" is of a wrong type')
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  if (!policy.types.some((accepted) => accepted === type)) refuse('The "typ" is another one')
  assertClaims(unverified.claims, policy)
  for (const key of await keysFor(policy.keySet, alg, kid)) {
    try {
      const { payload } = await jwtVerify(token, await key.forAlgorithm(alg), {
        algorithms: [alg],
        issuer: policy.issuer,
        audience: policy.audience,
        clockTolerance: toleranceSeconds,
        currentDate: new Date(policy.clock.now()),
        requiredClaims: ['iat', 'jti'],
      })
      return { claims: payload as VerifiedSignal['claims'] }
    } catch {
      // The next key, where the token names none.
    }
  }
  return refuse('The signature does not verify')
}

/** A time in whole seconds means the end of that second, never later than now. Milliseconds. */
export function momentOf(seconds: number, clock: Clock): number {
  return Math.min(Math.floor(seconds) * 1000 + 999, clock.now())
}
