import type { IssuerContext } from './context.ts'
import { endSession } from './revoke.ts'

/** Ends a session whose record was written without `refreshTokenSecret`, and reports it. */
export async function endTampered(sessionId: string, context: IssuerContext): Promise<void> {
  context.emit({ type: 'session.tampered', sessionId })
  await endSession(sessionId, 'revoked', context)
}
