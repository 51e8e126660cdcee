import type { KickOutOptions, KickOutResult } from '../revocation/revocations.ts'
import { type KickOutTarget, resolveTarget } from '../revocation/target.ts'
import { emitEnded, type IssuerContext } from './context.ts'

/** How many sessions of a user get an event of their own when the user is kicked out. */
const maxListed = 1000

/**
 * Kicks out: ends the sessions concerned *and* revokes their access tokens, in one step of the store.
 *
 * @throws TypeError for a wrong target
 * @throws UnavailableError when the store did not confirm it; safe to repeat
 */
export async function kickOut(
  target: KickOutTarget,
  options: KickOutOptions | undefined,
  context: IssuerContext,
): Promise<KickOutResult> {
  const { issuer, level, id } = resolveTarget(target, context.issuer)
  // For the events alone, so a list that is long or cannot be read delays no kick-out.
  const ended =
    level === 'subject' && issuer === context.issuer
      ? await context.store.list(issuer, id, maxListed).catch(() => [])
      : []
  const result = await context.revocations.kickOut({ ...target, issuer }, options)
  for (const session of ended) emitEnded(context, session.sessionId, 'kicked_out', id)
  if (level === 'client') {
    context.emit({ type: 'session.ended', level, clientId: id, reason: 'kicked_out' })
  }
  if (level === 'everyone') context.emit({ type: 'session.ended', level, reason: 'kicked_out' })
  if (level === 'session' && result.sessionsEnded > 0) emitEnded(context, id, 'kicked_out')
  const { id: kickOutId, servers, confirmed, elapsedMs } = result
  context.emit({ type: 'kickout.published', id: kickOutId, level, servers, confirmed, elapsedMs })
  return result
}
