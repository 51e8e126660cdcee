import { isIdentifier, maxIdentifierLength } from '../identifier.ts'
import { type RevocationLevel, revocationLevels } from './revocation.ts'

/** One access token, by its `jti`. */
export interface TokenTarget {
  /** The token's `jti`. */
  jti: string
  /** The token's `sub`, where it is known: on a cluster it finds the user's partition. */
  subject?: string
  /** The token's `exp`, seconds: the revocation need not outlive it. */
  exp?: number
}

/** Whom to kick out. `issuer` may be left out where the `Revocations` know theirs. */
export type KickOutTarget = { issuer?: string } & (
  | { token: TokenTarget; session?: never; subject?: never; client?: never; everyone?: never }
  | { session: string; token?: never; subject?: never; client?: never; everyone?: never }
  | { subject: string; token?: never; session?: never; client?: never; everyone?: never }
  | { client: string; token?: never; session?: never; subject?: never; everyone?: never }
  | { everyone: true; token?: never; session?: never; subject?: never; client?: never }
)

/** A checked target. */
export interface ResolvedTarget {
  readonly issuer: string
  readonly level: RevocationLevel
  readonly id: string
  /** Token level: the token's subject, where the caller knew it. */
  readonly subject?: string
  /** Token level: milliseconds. */
  readonly expiresAtMs?: number
}

const targetMark = Symbol.for('express-kickout.target-error')

/** A wrong target; `field` is what an HTTP answer names. */
export class TargetError extends TypeError {
  override readonly name = 'TypeError'
  readonly [targetMark] = true
  readonly field: string

  constructor(field: string, expectation: string) {
    super(`kickOut: "${field}" ${expectation}`)
    this.field = field
  }
}

/** Whether an error is a {@link TargetError}, across copies of the package. */
export function isTargetError(error: unknown): error is TargetError {
  return typeof error === 'object' && error !== null && targetMark in error
}

const idExpectation = `must be a non-empty string of at most ${maxIdentifierLength} well-formed characters`

function assertId(field: string, value: unknown): string {
  if (!isIdentifier(value)) throw new TargetError(field, idExpectation)
  return value
}

function assertKnown(where: string, value: object, known: readonly string[]): void {
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      throw new TargetError(`${where}${name}`, `is not known; known are ${known.join(', ')}`)
    }
  }
}

function readTokenTarget(value: unknown): Pick<ResolvedTarget, 'id' | 'subject' | 'expiresAtMs'> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TargetError('token', 'must be an object with a "jti"')
  }
  assertKnown('token.', value, ['jti', 'subject', 'exp'])
  const { jti, subject, exp } = value as Record<string, unknown>
  if (exp !== undefined && !(typeof exp === 'number' && Number.isFinite(exp) && exp > 0)) {
    throw new TargetError('token.exp', 'must be a NumericDate in seconds')
  }
  return {
    id: assertId('token.jti', jti),
    ...(subject !== undefined && { subject: assertId('token.subject', subject) }),
    ...(typeof exp === 'number' && { expiresAtMs: exp * 1000 }),
  }
}

/**
 * Checks whom a caller wants kicked out. Exactly one level, a proper id, a known issuer; an empty id is never everyone.
 *
 * @throws TargetError (a `TypeError`) that names the field
 */
export function resolveTarget(target: unknown, defaultIssuer: string | undefined): ResolvedTarget {
  if (typeof target !== 'object' || target === null || Array.isArray(target)) {
    throw new TargetError('target', 'must be an object such as { subject: "…" }')
  }
  assertKnown('', target, ['issuer', ...revocationLevels])
  const fields = target as Record<string, unknown>
  const named = revocationLevels.filter((level) => fields[level] !== undefined)
  const [level] = named
  if (level === undefined || named.length > 1) {
    throw new TargetError(
      named.length > 1 ? named.join('", "') : 'target',
      `must be exactly one of ${revocationLevels.join(', ')}`,
    )
  }
  const issuer = fields['issuer'] ?? defaultIssuer
  if (issuer === undefined) {
    throw new TargetError(
      'issuer',
      'is needed, since these Revocations were made without one: ids are unique within an issuer only',
    )
  }
  const resolved = { issuer: assertId('issuer', issuer), level }
  if (level === 'token') return { ...resolved, ...readTokenTarget(fields['token']) }
  if (level === 'everyone') {
    if (fields['everyone'] !== true) throw new TargetError('everyone', 'must be true')
    return { ...resolved, id: '' }
  }
  return { ...resolved, id: assertId(level, fields[level]) }
}

/** The longest reason that is kept, in characters; the rest is cut off. */
const maxReasonLength = 255

/** Checks the free text of a kick-out. Longer texts are cut, not refused. */
export function readReason(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string' || !value.isWellFormed()) {
    throw new TargetError('reason', 'must be a string of well-formed characters')
  }
  return Array.from(value.slice(0, maxReasonLength)).join('').toWellFormed()
}
