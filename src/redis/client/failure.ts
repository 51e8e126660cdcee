import { UnavailableError, type UnavailableReason } from '../../errors.ts'

const maxDetailLength = 160

/** Errors of sockets may come from another realm, where `instanceof` does not know them. */
function messageOf(error: unknown): string | undefined {
  const message = (error as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message : undefined
}

/** A Redis with a setting that express-kickout cannot work with. Waiting does not help: the operator has to change it. */
export class UnfitRedis extends Error {
  override readonly name = 'UnfitRedis'
}

/**
 * What went wrong, in one line. The error itself is never passed on: it has the command with all its arguments, which
 * would get into logs.
 */
export function describeFailure(error: unknown): string {
  const message = messageOf(error)
  if (message === undefined) return 'unknown'
  const partitions = /KICKOUTPARTITIONS (\S+)/.exec(message)?.[1]
  if (partitions !== undefined) {
    return `Redis holds data of ${partitions} partitions: set "partitions" to that, or use another "prefix"`
  }
  const [line = ''] = message.split(/\n|, with args beginning with/)
  return line.slice(0, maxDetailLength)
}

/** Whether the connection leads to a server that is not, or no longer, the primary. */
export function isDemoted(error: unknown): boolean {
  return (
    error instanceof Error && /^(READONLY|UNBLOCKED|MOVED|MASTERDOWN|LOADING)\b/.test(error.message)
  )
}

/** Whether a script needs a key that has moved to another primary already, while the Cluster moves the slot. */
export function isMoving(error: unknown): boolean {
  return error instanceof Error && error.message.includes('non local key')
}

/** Whether a command failed before anything was sent: ioredis found its connection closed. */
export function wasNeverSent(error: unknown): boolean {
  return /Stream isn't writeable/.test(messageOf(error) ?? '')
}

/** Whether the user of the connection lacks a permission (ACL). */
export function isForbidden(error: unknown): boolean {
  return (
    error instanceof Error &&
    /\bNOPERM\b|ACL failure|can't run this command|can't access at least one of the keys/.test(
      error.message,
    )
  )
}

/** Whether Redis has an unfit setting, or holds data of another number of partitions. */
export function isUnfit(error: unknown): boolean {
  return (
    error instanceof UnfitRedis ||
    (error instanceof Error && error.message.includes('KICKOUTPARTITIONS'))
  )
}

export function toUnavailable(
  reason: UnavailableReason,
  what: string,
  error: unknown,
): UnavailableError {
  if (error instanceof UnavailableError) return error
  return new UnavailableError(reason, `${what}: ${describeFailure(error)}`)
}

/** The same error without the command that ioredis attaches to it. */
export function toUnfit(error: unknown): UnfitRedis {
  return new UnfitRedis(describeFailure(error))
}
