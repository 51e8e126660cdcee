import { isTargetError, type KickOutTarget } from '../revocation/target.ts'

const targetFields = ['issuer', 'subject', 'session', 'token', 'client', 'everyone'] as const

/** A field of a request that is wrong; its message may leave. */
export class FieldError extends Error {
  override readonly name = 'FieldError'

  constructor(field: string, expectation: string) {
    super(`"${field}" ${expectation}`)
  }
}

/**
 * Takes the target and the reason out of a body. The kernel judges the target; what is judged here is what only a body can
 * get wrong.
 *
 * @throws FieldError that names the field
 */
export function readKickOutRequest(body: unknown): { target: KickOutTarget; reason?: string } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new FieldError(
      'body',
      'must be a JSON object such as { "subject": "…" }, sent as application/json',
    )
  }
  const { reason, ...target } = body as Record<string, unknown>
  const unknown = Object.keys(target).find((name) => !targetFields.some((known) => known === name))
  if (unknown !== undefined) {
    throw new FieldError(
      unknown.slice(0, 40),
      `is not known; known are ${targetFields.join(', ')}, reason`,
    )
  }
  // What means nothing, or everything, by accident: a body has to say what it means.
  for (const [name, value] of Object.entries(target)) {
    if (value === null) throw new FieldError(name, 'must not be null')
    if (value === '*')
      throw new FieldError(name, 'is no wildcard: { "everyone": true } means everyone')
    if (typeof value === 'string' && value.trim() === '')
      throw new FieldError(name, 'must not be blank')
  }
  if (reason !== undefined && typeof reason !== 'string')
    throw new FieldError('reason', 'must be a string')
  return {
    target: target as unknown as KickOutTarget,
    ...(reason !== undefined && { reason }),
  }
}

/** A wrong target, in the words of an HTTP answer. */
export function toFieldError(error: unknown): FieldError | undefined {
  if (error instanceof FieldError) return error
  if (!isTargetError(error)) return undefined
  return new FieldError(error.field, error.message.slice(error.message.indexOf('" ') + 2))
}
