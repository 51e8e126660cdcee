import { AuthError } from '../errors.ts'
import { writeErrorHeaders } from '../guard/challenge.ts'
import type { AuthHandler } from '../guard/middleware.ts'
import type { GuardContext } from '../guard/request-auth.ts'

/** The guard of connections: what `requireAuth` returned, of which only the check is used. */
export type ConnectionGuard = Pick<AuthHandler, 'authenticate'>

/** A refusal that the guard would have made, of something that it does not read itself. */
export function malformed(context: GuardContext, message: string): AuthError {
  const error = new AuthError('invalid_request', 'malformed', message)
  context.rejected(error)
  writeErrorHeaders(error, context)
  return error
}
