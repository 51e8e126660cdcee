import { UnavailableError, type UnavailableReason } from '../../errors.ts'

const maxDetailLength = 300

/** A database whose schema or rights do not fit. Waiting does not help: the operator has to change them. */
export class UnfitDatabase extends Error {
  override readonly name = 'UnfitDatabase'
}

/** Answers after which it is certain that nothing was written, and worth a further attempt. */
const repeatable = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '53300', // too_many_connections
  '57P03', // cannot_connect_now
  '25006', // read_only_sql_transaction: a standby that may be promoted
])

/** SQLSTATEs of an object that does not exist: the schema, a function, a table. */
const missing = new Set(['3F000', '42883', '42P01'])

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** The connection could not be made, so nothing was sent. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected'
}

export function isRepeatable(error: unknown): boolean {
  return error instanceof NotConnected || repeatable.has(codeOf(error) ?? '')
}

/** Whether the role of the connection lacks a right. */
export function isForbidden(error: unknown): boolean {
  return codeOf(error) === '42501'
}

export function isUnfit(error: unknown): boolean {
  return error instanceof UnfitDatabase
}

export function isMissing(error: unknown): boolean {
  return missing.has(codeOf(error) ?? '')
}

/** What went wrong, in one line. The error itself is never passed on: it may hold values of the statement. */
export function describeFailure(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown }
  if (typeof message !== 'string' || message === '') return codeOf(error) ?? 'unknown'
  // A message of this package ends with what to do, so it is not cut.
  if (error instanceof UnfitDatabase) return message
  const [line = ''] = message.split('\n')
  return line.slice(0, maxDetailLength)
}

export function toUnavailable(
  reason: UnavailableReason,
  what: string,
  error: unknown,
): UnavailableError {
  if (error instanceof UnavailableError) return error
  return new UnavailableError(reason, `${what}: ${describeFailure(error)}`)
}
