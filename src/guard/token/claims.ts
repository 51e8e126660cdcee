import type { JWTHeaderParameters, JWTPayload } from 'jose'
import type { AccessTokenClaims } from '../../auth.ts'
import { AuthError, type AuthErrorReason } from '../../errors.ts'
import { isIdentifier } from '../../identifier.ts'
import {
  type Confirmation,
  type ConfirmationMethod,
  readConfirmation,
} from '../binding/confirmation.ts'

/** Whose tokens are accepted, for whom, and until when. */
export interface RegisteredClaimsPolicy {
  readonly issuer: string
  /** Empty: the audience is not looked at. */
  readonly audience: readonly string[]
  readonly clockToleranceSeconds: number
  /** How old a token may be by its `iat`, tolerance apart; `undefined`: any age. */
  readonly maxTokenAgeSeconds: number | undefined
}

/** What a guard asks of claims beyond the registered ones. */
export interface ClaimsPolicy {
  readonly strict: boolean
  readonly clockToleranceSeconds: number
  /** For how long kick-outs of a token that was issued at a moment (milliseconds) are kept; `undefined`: no limit. */
  readonly retentionSecondsFor: (issuedAtMs: number) => number | undefined
  readonly checksRevocations: boolean
  /** The bindings that are checked with each request; a token that is bound in another way is refused. None by default. */
  readonly confirmationMethods?: ReadonlySet<ConfirmationMethod>
}

const accessTokenTypes = /^(application\/)?at\+jwt$/i
const untypedTokenTypes = /^(application\/)?jwt$/i
/** A logout token or security event, whatever else the token says of itself. */
const eventClaims = ['events'] as const
/** Claims of ID tokens. An access token has them only where a provider copies them (Keycloak before 25, Dex). */
const idTokenClaims = ['nonce', 'at_hash', 'c_hash', 's_hash'] as const
/** Values of a `typ` *claim*, as Keycloak writes it. */
const foreignTypeClaims = ['ID', 'Refresh', 'Logout']
const idClaims = ['sub', 'jti', 'sid', 'client_id', 'azp', 'cid', 'appid'] as const
const none: ReadonlySet<ConfirmationMethod> = new Set()
/** @see RFC 9068 §2.2 */
const strictClaims = ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'] as const

function refuse(reason: AuthErrorReason, message: string): never {
  throw new AuthError('invalid_token', reason, message)
}

/**
 * Checks that a token says it is an access token.
 *
 * @throws AuthError `type`
 * @see RFC 9068 §4, RFC 8725 §3.11
 */
export function assertType(header: JWTHeaderParameters, strict: boolean): void {
  const typ: unknown = header.typ
  if (typ === undefined && !strict) return
  if (typeof typ === 'string') {
    if (accessTokenTypes.test(typ) || (!strict && untypedTokenTypes.test(typ))) return
  }
  refuse(
    'type',
    strict ? 'The "typ" of the token is not at+jwt' : 'The "typ" is not that of an access token',
  )
}

/** Whether the token says itself that it is an access token: by its header, or as Keycloak and Amazon Cognito do. */
function saysAccessToken(header: JWTHeaderParameters, payload: JWTPayload): boolean {
  return (
    (typeof header.typ === 'string' && accessTokenTypes.test(header.typ)) ||
    payload['typ'] === 'Bearer' ||
    payload['token_use'] === 'access'
  )
}

/**
 * Refuses what looks like an ID, refresh or logout token. What the token says of itself goes before the claims that it has.
 *
 * @throws AuthError `type`
 */
function assertNoOtherKind(
  header: JWTHeaderParameters,
  payload: JWTPayload,
  allowIdTokenClaims: readonly string[],
): void {
  const event = eventClaims.find((name) => payload[name] !== undefined)
  if (event) refuse('type', `The token has "${event}": it is a logout token, not an access token`)
  const typ: unknown = payload['typ']
  if (foreignTypeClaims.some((foreign) => foreign === typ)) {
    refuse('type', `The claim "typ" of the token is "${String(typ)}", not that of an access token`)
  }
  const use: unknown = payload['token_use']
  if (use !== undefined && use !== 'access') {
    refuse('type', 'The claim "token_use" of the token is not "access"')
  }
  if (saysAccessToken(header, payload)) return
  const foreign = idTokenClaims.find(
    (name) => payload[name] !== undefined && !allowIdTokenClaims.includes(name),
  )
  if (foreign) refuse('type', `The token has "${foreign}": it is an ID token, not an access token`)
}

/**
 * Checks issuer, audience and times of a token whose signature jose has verified. jose would check the same, and decode and
 * parse the payload once more for it.
 *
 * @throws AuthError `issuer`, `audience`, `claims`, `not_yet_valid` or `expired`
 * @see RFC 7519 §4.1
 */
export function assertRegisteredClaims(
  payload: JWTPayload,
  policy: RegisteredClaimsPolicy,
  nowSeconds: number,
): void {
  const { iss, aud } = payload
  const { issuer, audience } = policy
  if (iss !== issuer) refuse('issuer', 'The "iss" of the token is not its issuer')
  if (audience.length > 0 && ![aud].flat().some((name) => audience.includes(name as string))) {
    refuse('audience', 'The "aud" of the token names none of our audiences')
  }
  for (const name of ['exp', 'nbf', 'iat'] as const) {
    const value: unknown = payload[name]
    if (value === undefined ? name === 'exp' : typeof value !== 'number')
      refuse('claims', `The "${name}" of the token is missing or of a wrong type`)
  }
  assertLifetime(payload, policy, nowSeconds)
}

/**
 * Checks the times that a token names, to the tolerance.
 *
 * @throws AuthError `not_yet_valid`, `expired`, `claims`
 * @see RFC 7519 §4.1.4 and §4.1.5
 */
export function assertLifetime(
  { exp, nbf, iat }: JWTPayload,
  {
    clockToleranceSeconds: tolerance,
    maxTokenAgeSeconds: maxAge,
  }: Pick<RegisteredClaimsPolicy, 'clockToleranceSeconds' | 'maxTokenAgeSeconds'>,
  nowSeconds: number,
): void {
  if (nbf !== undefined && nbf > nowSeconds + tolerance)
    refuse('not_yet_valid', 'The "nbf" of the token is in the future')
  if (exp !== undefined && exp + tolerance <= nowSeconds) refuse('expired', 'The token has expired')
  if (maxAge === undefined) return
  if (iat === undefined)
    refuse('claims', 'The token has no "iat", which "maxTokenAgeSeconds" needs')
  if (iat + maxAge + tolerance < nowSeconds)
    refuse('expired', 'The token is older than "maxTokenAgeSeconds" of requireAuth')
}

function assertTimes(payload: JWTPayload, policy: ClaimsPolicy, nowSeconds: number): void {
  for (const name of ['exp', 'nbf', 'iat'] as const) {
    const value: unknown = payload[name]
    if (value !== undefined && !(typeof value === 'number' && Number.isFinite(value))) {
      refuse('claims', `The "${name}" of the token is not a finite number`)
    }
  }
  const { exp, iat } = payload
  if (exp === undefined) refuse('claims', 'The token has no "exp"')
  if (iat !== undefined && iat > nowSeconds + policy.clockToleranceSeconds) {
    refuse(
      'not_yet_valid',
      'The "iat" of the token is in the future: the clock of its issuer is ahead of ours',
    )
  }
  if (!policy.checksRevocations) return
  if (iat === undefined)
    refuse('claims', 'The token has no "iat", which kick-outs are compared with')
  const retentionSeconds = policy.retentionSecondsFor(iat * 1000)
  if (retentionSeconds === undefined) return
  // From the issue rather than from now: a kick-out may have come right after the issue.
  const lifetime = exp - Math.min(iat, nowSeconds) + 2 * policy.clockToleranceSeconds
  if (lifetime > retentionSeconds) {
    refuse(
      'claims',
      `The token lives for ${Math.ceil(lifetime)} s (tolerance included) but kick-outs are kept for ` +
        `${retentionSeconds} s, so the token could outlive its own kick-out. Raise "retentionSeconds" to ` +
        `${Math.ceil(lifetime)} or more in every process that makes Revocations or a session store`,
    )
  }
}

function assertIds(payload: JWTPayload): void {
  for (const name of idClaims) {
    if (payload[name] !== undefined && !isIdentifier(payload[name])) {
      refuse(
        'claims',
        `The "${name}" of the token is not a non-empty string of at most 255 well-formed characters`,
      )
    }
  }
}

/**
 * Checks the claims of a token whose signature, issuer, audience and expiry have been checked.
 *
 * @returns what the token is bound to, which is checked with each request
 * @throws AuthError `type`, `claims`, `not_yet_valid`, `audience` or `binding`
 * @see RFC 9068 §2.2 and §4, RFC 8725 §3.7 to §3.12, RFC 9449 §7.1
 */
export function assertClaims(
  header: JWTHeaderParameters,
  payload: JWTPayload,
  policy: ClaimsPolicy,
  nowSeconds: number,
  allowIdTokenClaims: readonly string[] = [],
): Confirmation | undefined {
  assertNoOtherKind(header, payload, allowIdTokenClaims)
  if (policy.strict) {
    const missing = strictClaims.find((name) => payload[name] === undefined)
    if (missing) refuse('claims', `The token has no "${missing}", which RFC 9068 requires`)
  }
  assertTimes(payload, policy, nowSeconds)
  assertIds(payload)
  if (Array.isArray(payload.aud) && !payload.aud.every((member) => typeof member === 'string')) {
    refuse('audience', 'The "aud" of the token has members that are not strings')
  }
  return readConfirmation(payload['cnf'], policy.confirmationMethods ?? none)
}

function deepFreeze(value: object): void {
  for (const name in value) {
    const member = (value as Record<string, unknown>)[name]
    if (typeof member === 'object' && member !== null) deepFreeze(member)
  }
  Object.freeze(value)
}

/** Freezes an object from outside, all the way down, and takes its prototype away: `constructor` is a claim like others. */
export function toFrozenRecord<Content extends object>(content: Content): Readonly<Content> {
  // Copied first and stripped then: an object that is created without a prototype is a slow one in V8.
  const record = Object.setPrototypeOf({ ...content }, null) as Content
  deepFreeze(record)
  return record
}

export function toAccessTokenClaims(payload: JWTPayload): AccessTokenClaims {
  return toFrozenRecord(payload) as unknown as AccessTokenClaims
}
