import type { Emit, IssuerEvent, SessionEndReason } from '../events.ts'
import type { AuditedRevocations } from '../revocation/revocations.ts'
import type { ClientChecks } from './client-checks.ts'
import type { SessionRecord } from './sessions/session-store.ts'
import type { IssuerKeys } from './keys/signing-keys.ts'
import type { IssuerSettings } from './options.ts'
import type { RequestsUnderWay } from './http/requests-under-way.ts'
import type { Proofs } from './proofs.ts'
import type { StoreClock } from './sessions/store-clock.ts'
import type { IssuerCounters } from './stats.ts'

/** What every flow of the issuer works with. */
export interface IssuerContext extends IssuerSettings {
  readonly revocations: AuditedRevocations
  readonly emit: Emit<IssuerEvent>
  readonly proofs: Proofs
  readonly clientChecks: ClientChecks
  readonly requests: RequestsUnderWay
  readonly keys: IssuerKeys
  readonly counters: IssuerCounters
  readonly storeClock: StoreClock
}

type SessionEventType =
  | 'session.started'
  | 'session.stepped_up'
  | 'session.refreshed'
  | 'refresh.retried'
  | 'refresh.retried_late'
  | 'refresh.reused'
  | 'refresh.fast_forwarded'

export function emitSession(
  context: IssuerContext,
  type: SessionEventType,
  session: SessionRecord,
): void {
  context.emit({
    type,
    sessionId: session.sessionId,
    subject: session.subject,
    ...(session.clientId !== undefined && { clientId: session.clientId }),
  })
}

export function emitEnded(
  context: IssuerContext,
  sessionId: string,
  reason: SessionEndReason,
  subject?: string,
): void {
  context.emit({
    type: 'session.ended',
    sessionId,
    reason,
    ...(subject !== undefined && { subject }),
  })
}
