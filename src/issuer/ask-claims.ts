import { isGrantError, UnavailableError } from '../errors.ts'
import type { IssuerContext } from './context.ts'
import { endSession } from './revoke.ts'
import type { SessionRecord } from './sessions/session-store.ts'
import { readExtraClaims } from './tokens/access-token.ts'

/**
 * The claims of the application are asked for *before* the rotation: while they fail nothing has moved, and the same token
 * still works when they are back, however long that takes. Asked for afterwards, their failure would use up the token and
 * a retry after the grace would look like a theft.
 *
 * @throws UnavailableError
 */
export async function askClaims(
  session: SessionRecord | undefined,
  context: IssuerContext,
): Promise<Record<string, unknown>> {
  if (!session) return {}
  try {
    return await readExtraClaims(session, context.claims)
  } catch (cause) {
    if (isGrantError(cause)) {
      // The application refuses this user. An `invalid_grant` is for good; any other code leaves the session as it is.
      if (cause.code === 'invalid_grant') {
        await endSession(session.sessionId, 'app', context, session.subject)
      }
      throw cause
    }
    throw new UnavailableError('sessions', 'The access token cannot be made: "claims" failed', {
      cause,
    })
  }
}
