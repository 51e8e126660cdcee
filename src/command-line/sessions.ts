import type { SessionRecord } from '../issuer/sessions/session-store.ts'
import type { Invocation } from './commands.ts'
import { usageError } from './failure.ts'
import { readId } from './kick-out.ts'
import { momentText, type Output } from './output.ts'
import { withStore } from './store.ts'

function deviceText({ device }: SessionRecord): string {
  return device?.name ?? device?.userAgent ?? device?.ip ?? ''
}

function report(sessions: readonly SessionRecord[], output: Output): void {
  output.json({
    sessions: sessions.map((session) => ({
      session_id: session.sessionId,
      issuer: session.issuer,
      subject: session.subject,
      client_id: session.clientId ?? null,
      scope: session.scopes.join(' '),
      device: session.device ?? null,
      started_at: session.startedAt,
      last_seen_at: session.lastSeenAt,
      expires_at: session.expiresAt,
    })),
  })
  if (sessions.length === 0) {
    output.line('no live session')
    return
  }
  const rows = sessions.map((session) => [
    session.sessionId,
    session.issuer,
    session.clientId ?? '',
    momentText(session.startedAt),
    momentText(session.lastSeenAt),
    momentText(session.expiresAt),
    deviceText(session),
  ])
  output.table([
    ['SESSION', 'ISSUER', 'CLIENT', 'STARTED', 'LAST SEEN', 'EXPIRES', 'DEVICE'],
    ...rows,
  ])
}

/** Lists the live sessions of a user, those of each issuer the last used first. */
export async function listSessions(invocation: Invocation): Promise<boolean> {
  const { given, environment, output } = invocation
  const subject = readId(given, 'subject')
  if (subject === undefined) throw usageError('--subject is missing: the "sub" of the tokens')
  const issuer = readId(given, 'issuer') ?? environment.issuer
  return withStore(invocation, async (store) => {
    report(await store.findSessions(subject, issuer), output)
    return true
  })
}
