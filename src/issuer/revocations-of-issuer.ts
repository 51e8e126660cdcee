import { eventSourceOf, lendEvents } from '../events.ts'
import type { AuditedRevocations } from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'

/** Leaves a malformed target as it is: the kernel says what is wrong with it. */
function withIssuer(target: KickOutTarget, issuer: string): KickOutTarget {
  const given: unknown = target
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return target
  return { ...target, issuer: target.issuer ?? issuer }
}

/**
 * One issuer's view of revocations that several share: the same denylist, but a target that names no issuer means this one.
 * Without it the second issuer of a store would kick out the users of the first.
 */
export function revocationsOfIssuer(
  shared: AuditedRevocations,
  issuer: string,
): AuditedRevocations {
  const view: AuditedRevocations = {
    issuer,
    retentionSeconds: shared.retentionSeconds,
    kickOut: async (target, options) => shared.kickOut(withIssuer(target, issuer), options),
    check: (claims) => shared.check(claims),
    checkNow: async (claims) => shared.checkNow(claims),
    onKickOut: (listener) => shared.onKickOut(listener),
    status: () => shared.status(),
    ready: async () => shared.ready(),
    close: async () => shared.close(),
    listKickOuts: async (limit) => shared.listKickOuts(limit),
    listServers: async () => shared.listServers(),
  }
  return lendEvents(view, eventSourceOf(shared))
}
