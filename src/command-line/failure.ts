/** How the command ends, for scripts. */
export const exitCodes = { done: 0, refused: 1, usage: 2, unreachable: 3 } as const

/** An end that is not `done`. Its message is for the terminal and holds no secret. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly exitCode: number

  constructor(kind: keyof typeof exitCodes, message: string) {
    super(message)
    this.exitCode = exitCodes[kind]
  }
}

export function usageError(message: string): CommandFailure {
  return new CommandFailure('usage', message)
}

export function refusal(message: string): CommandFailure {
  return new CommandFailure('refused', message)
}

export function unreachable(message: string): CommandFailure {
  return new CommandFailure('unreachable', message)
}

/** What an answer says that was given, but is a no. Waiting does not change it. */
const refusing =
  /NOPERM|NOAUTH|WRONGPASS|READONLY|\bOOM\b|KICKOUTPARTITIONS|data of \d+ partitions|maxmemory-policy|permission denied|password authentication|standby|read-only|ACL failure|can't run this command|can't access at least|replicas have it|The PostgreSQL schema|does not exist|MISCONF|NOREPLICAS|no password was provided|SASL/i

/**
 * An error of a store in the words of this command.
 *
 * @param where - the store, as it may be shown
 */
export function storeFailure(where: string, error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error
  const message = firstLine(error)
  return refusing.test(message)
    ? refusal(`${where} refuses: ${message}`)
    : unreachable(`${where} cannot be reached: ${message}`)
}

/** An error in one line. What ioredis hangs on its errors, the command with its arguments, stays out. */
export function firstLine(error: unknown): string {
  const { message, code, errors } = (error ?? {}) as {
    message?: unknown
    code?: unknown
    errors?: unknown[]
  }
  // Several addresses were tried, each failed: the first says enough.
  if (Array.isArray(errors) && errors.length > 0) return firstLine(errors[0])
  if (typeof message !== 'string' || message === '')
    return typeof code === 'string' ? code : 'unknown error'
  const [line = ''] = message.split(/\n|, with args beginning with/)
  return line.slice(0, 240)
}
