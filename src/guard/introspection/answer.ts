import type { JWTHeaderParameters, JWTPayload } from 'jose'
import type { Clock } from '../../clock.ts'
import { AuthError, type AuthErrorReason } from '../../errors.ts'
import { assertClaims, assertLifetime, type ClaimsPolicy, toFrozenRecord } from '../token/claims.ts'
import { toVerifiedToken, type Trust, type VerifiedToken } from '../token/verifier.ts'
import type { IntrospectionSettings } from './options.ts'

/** The one issuer of a guard that is asked about its tokens. */
export interface IntrospectedTrust extends Trust {
  readonly introspection: IntrospectionSettings
}

export interface AnswerPolicy extends ClaimsPolicy {
  readonly maxTokenAgeSeconds: number | undefined
}

/** What an opaque token has instead of a header. */
const noHeader: JWTHeaderParameters = toFrozenRecord({ alg: '' })
/** Stands where a signed token has the key that it was verified with; nothing retires it. */
const noKey = { kid: undefined, retired: false }

function refuse(reason: AuthErrorReason, message: string): never {
  throw new AuthError('invalid_token', reason, message)
}

/** A member that is `null` is an absent one: some servers write every member that they know of. */
function readClaims(answer: object): JWTPayload {
  const members: [string, unknown][] = Object.entries(answer)
  return Object.fromEntries(members.filter(([name, value]) => name !== 'active' && value !== null))
}

/** @throws AuthError `audience`; `aud` is not looked at where the guard has no audience */
function assertAudience({ aud }: JWTPayload, { audience }: IntrospectedTrust): void {
  if (audience.length === 0) return
  if (aud === undefined) {
    refuse(
      'audience',
      'The answer about the token has no "aud". If the issuer never sends one, the option "audience: []" accepts that',
    )
  }
  const named: unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!named.some((name) => audience.some((accepted) => accepted === name)))
    refuse('audience', 'The "aud" of the token names none of our audiences')
}

/** @throws AuthError `binding` for the token type DPoP without a key: the token is bound to a key that is not known */
function assertTokenType({ token_type: type, cnf }: JWTPayload): void {
  if (type === undefined) return
  if (typeof type !== 'string') refuse('claims', 'The "token_type" of the token is not a string')
  else if (
    type.toLowerCase() === 'dpop' &&
    (cnf as { jkt?: unknown } | undefined)?.jkt === undefined
  )
    refuse('binding', 'The "token_type" is DPoP, and no "cnf" says to which key the token is bound')
}

/**
 * Reads the answer about an active token: the same rules as for the claims of a JWT.
 *
 * @param source - whether the answer is still fresh, looked at before each use
 * @throws AuthError with the reason
 * @see RFC 7662 §2.2, RFC 9449 §6.2
 */
export function toIntrospectedToken(
  token: string,
  answer: object,
  trust: IntrospectedTrust,
  policy: AnswerPolicy,
  clock: Clock,
  source: { isUsable(exp: number): boolean },
): VerifiedToken {
  const claims = readClaims(answer)
  const now = clock.now() / 1000
  claims.iss ??= trust.issuer
  if (claims.iss !== trust.issuer) refuse('issuer', 'The "iss" of the token is not its issuer')
  const confirmation = assertClaims(noHeader, claims, policy, now, trust.allowIdTokenClaims)
  assertLifetime(claims, policy, now)
  assertAudience(claims, trust)
  assertTokenType(claims)
  const { exp = 0 } = claims
  return toVerifiedToken(
    { token, header: noHeader, payload: claims, confirmation },
    { key: noKey, keySet: { isUsable: () => source.isUsable(exp) } },
    trust,
    policy,
  )
}
