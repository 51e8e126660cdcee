/** What scripts answer about a session, in the order of `reply_of`. */
export interface SessionReply {
  readonly sessionId: string
  readonly issuer: string
  readonly subject: string
  readonly client: string
  readonly scope: string
  readonly details: string
  /** Empty where there is none. */
  readonly sealed: string
  readonly stepUp: string
  readonly startedAt: number
  readonly lastSeenAt: number
  readonly expiresAt: number
  readonly version: number
  readonly absoluteUntil: number
  readonly counter: number
}

export function readSessionReply(reply: readonly string[]): SessionReply {
  const [
    sessionId = '',
    issuer = '',
    subject = '',
    client = '',
    scope = '',
    details = '{}',
    sealed = '',
    stepUp = '',
    ...times
  ] = reply
  const [startedAt, lastSeenAt, expiresAt, version, absoluteUntil, counter] = times.map(Number)
  return {
    sessionId,
    issuer,
    subject,
    client,
    scope,
    details,
    sealed,
    stepUp,
    startedAt: startedAt ?? 0,
    lastSeenAt: lastSeenAt ?? 0,
    expiresAt: expiresAt ?? 0,
    version: version ?? 0,
    absoluteUntil: absoluteUntil ?? 0,
    counter: counter ?? 0,
  }
}
