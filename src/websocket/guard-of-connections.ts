import { AuthError } from '../errors.ts'
import { writeErrorHeaders } from '../guard/challenge.ts'
import type { AuthHandler } from '../guard/middleware.ts'
import { findGuardContext, type GuardContext } from '../guard/request-auth.ts'

/** The guard of connections: what `requireAuth` returned, of which only the check is used. */
export type ConnectionGuard = Pick<AuthHandler, 'authenticate'>

/**
 * What a guard lends to the connections that it lets in.
 *
 * @throws TypeError where it is no guard of ours
 */
export function contextOf(where: string, guard: unknown): GuardContext {
  const context =
    typeof guard === 'function' || (typeof guard === 'object' && guard !== null)
      ? findGuardContext(guard)
      : undefined
  if (!context) throw new TypeError(`${where}: the guard must be what requireAuth() returned`)
  return context
}

/** A refusal that the guard would have made, of something that it does not read itself. */
export function malformed(context: GuardContext, message: string): AuthError {
  const error = new AuthError('invalid_request', 'malformed', message)
  context.rejected(error)
  writeErrorHeaders(error, context)
  return error
}
