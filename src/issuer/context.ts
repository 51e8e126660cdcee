import type { Emit, IssuerEvent, SessionEndReason } from '../events.ts'
import type { AuditedRevocations } from '../revocation/revocations.ts'
import type { SessionRecord } from './session.ts'
import type { IssuerSettings } from './settings.ts'

/** What every flow of the issuer works with. */
export interface IssuerContext extends IssuerSettings {
  readonly revocations: AuditedRevocations
  readonly emit: Emit<IssuerEvent>
}

type SessionEventType =
  | 'session.started'
  | 'session.refreshed'
  | 'refresh.retried'
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
  why: SessionEndReason,
  subject?: string,
): void {
  context.emit({ type: 'session.ended', sessionId, why, ...(subject !== undefined && { subject }) })
}
