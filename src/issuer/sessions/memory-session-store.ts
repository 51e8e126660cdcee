import { type Clock, systemClock } from '../../clock.ts'
import { UnavailableError } from '../../errors.ts'
import { assertOptions, readNumber } from '../../options.ts'
import { createMemoryRevocations, type KickOutHook } from '../../revocation/memory-revocations.ts'
import { surplusReason } from '../../revocation/reasons.ts'
import { type AuditedRevocations, defaultRetentionSeconds } from '../../revocation/revocations.ts'
import type { ResolvedTarget } from '../../revocation/target.ts'
import { MemoryMarks } from './memory-marks.ts'
import type {
  AmendOutcome,
  AmendRequest,
  NewSession,
  RotateOutcome,
  RotateRequest,
  SessionRecord,
  SessionStore,
  StartOutcome,
} from './session-store.ts'

/** What `memoryStore` is given. */
export interface MemoryStoreOptions {
  /**
   * How long a revocation is kept, seconds.
   *
   * @defaultValue 90000
   */
  retentionSeconds?: number
}

interface Kept extends SessionRecord {
  counter: number
  rotatedAt: number
  /** The counter at which the token before was answered after the grace; each counter allows it once. */
  retriedLateAt: number
  lastSeenAt: number
  idleUntil: number
  sealed: string | undefined
  stepUp: string | undefined
}

/** Issuer and subject as one key that no other pair has. */
function userKey(issuer: string, subject: string): string {
  return JSON.stringify([issuer, subject])
}

/**
 * Sessions in this process: for development and tests, or a single server. A restart forgets them all.
 *
 * @throws TypeError for wrong options
 */
export function memoryStore(options: MemoryStoreOptions = {}): SessionStore {
  return new MemorySessionStore(options, systemClock)
}

export class MemorySessionStore implements SessionStore {
  readonly retentionSeconds: number
  readonly #clock: Clock
  readonly #sessions = new Map<string, Kept>()
  readonly #bySubject = new Map<string, Set<string>>()
  readonly #marks = new MemoryMarks()
  readonly #revocations: AuditedRevocations
  /** When the last of the sessions ends, milliseconds. */
  #latestEnd = 0
  #closed = false

  constructor(options: MemoryStoreOptions, clock: Clock) {
    assertOptions('memoryStore', options, ['retentionSeconds'])
    this.retentionSeconds = readNumber(
      'memoryStore',
      'retentionSeconds',
      options.retentionSeconds,
      {
        fallback: defaultRetentionSeconds,
        min: 1,
      },
    )
    this.#clock = clock
    this.#revocations = createMemoryRevocations(
      { retentionSeconds: this.retentionSeconds },
      { clock, onTarget: (target, at, isNow) => this.#onKickOut(target, at, isNow) },
    )
  }

  partitionOf(): number {
    return 0
  }

  async start(session: NewSession): Promise<StartOutcome> {
    this.#assertOpen()
    const now = this.#clock.now()
    this.#sweep(now)
    const user = userKey(session.issuer, session.subject)
    const live = this.#liveSessions(user, now)
    const surplus =
      session.maxPerSubject === undefined ? 0 : live.length + 1 - session.maxPerSubject
    if (surplus > 0 && session.whenFull === 'refuse') return { outcome: 'full' }
    const ended = live.slice(live.length - Math.max(surplus, 0)).map(({ sessionId }) => sessionId)
    // Memory revocations act before they are awaited; awaiting them last keeps this method one step.
    const kickOuts = ended.map(async (sessionId) =>
      this.#revocations.kickOut(
        { issuer: session.issuer, session: sessionId },
        { reason: surplusReason },
      ),
    )
    const kept: Kept = {
      sessionId: session.sessionId,
      issuer: session.issuer,
      subject: session.subject,
      clientId: session.clientId,
      scopes: session.scopes,
      device: session.device,
      authentication: session.authentication,
      startedAt: this.#marks.startOf(session.issuer, session.clientId, now),
      lastSeenAt: now,
      version: this.#marks.versionOf(session.issuer, session.subject, now),
      counter: 0,
      rotatedAt: now,
      retriedLateAt: -1,
      sealed: undefined,
      stepUp: undefined,
      idleUntil: now + session.idleTtlMs,
      absoluteUntil: now + session.absoluteTtlMs,
      get expiresAt() {
        return Math.min(this.idleUntil, this.absoluteUntil)
      },
    }
    this.#sessions.set(kept.sessionId, kept)
    this.#latestEnd = Math.max(this.#latestEnd, kept.absoluteUntil)
    const sids = this.#bySubject.get(user)
    if (sids) sids.add(kept.sessionId)
    else this.#bySubject.set(user, new Set([kept.sessionId]))
    await Promise.all(kickOuts)
    return { outcome: 'started', session: toRecord(kept), ended }
  }

  async rotate(request: RotateRequest): Promise<RotateOutcome> {
    this.#assertOpen()
    const now = this.#clock.now()
    const kept = this.#sessions.get(request.sessionId)
    if (!kept || this.#marks.isOver(kept)) return { outcome: 'ended' }
    if (request.clientId !== undefined && request.clientId !== kept.clientId)
      return { outcome: 'client' }
    const isPrevious = request.counter === kept.counter - 1
    const ageMs = now - kept.rotatedAt
    const isInGrace = isPrevious && request.graceMs > 0 && ageMs <= request.graceMs
    const isLate =
      isPrevious &&
      !isInGrace &&
      request.lostAnswerMs > 0 &&
      ageMs <= request.graceMs + request.lostAnswerMs &&
      kept.retriedLateAt !== kept.counter
    const isRetry = isInGrace || isLate
    if (request.counter < kept.counter && !isRetry) {
      await this.#revocations.kickOut(
        { issuer: kept.issuer, session: kept.sessionId },
        { reason: 'a superseded refresh token was used again' },
      )
      return { outcome: 'reused', session: toRecord(kept) }
    }
    if (now >= kept.expiresAt) return { outcome: 'expired' }
    if (request.scopes?.some((scope) => !kept.scopes.includes(scope))) return { outcome: 'scope' }
    if (isLate) kept.retriedLateAt = kept.counter
    const outcome = isRetry
      ? isLate
        ? 'retried_late'
        : 'retried'
      : request.counter > kept.counter
        ? 'fast_forwarded'
        : 'rotated'
    if (!isRetry) {
      kept.counter = request.counter + 1
      kept.rotatedAt = now
    }
    kept.lastSeenAt = now
    kept.idleUntil = now + request.idleTtlMs
    const date = this.#marks.dateToken(kept, now)
    return { outcome, session: toRecord(kept), counter: kept.counter, now: date }
  }

  async amend({ sessionId, field, before, after }: AmendRequest): Promise<AmendOutcome> {
    this.#assertOpen()
    const now = this.#clock.now()
    const kept = this.#sessions.get(sessionId)
    if (!kept || this.#marks.isOver(kept)) return Promise.resolve({ outcome: 'ended' })
    if (now >= kept.expiresAt) return Promise.resolve({ outcome: 'expired' })
    if (kept[field] !== before) return Promise.resolve({ outcome: 'changed' })
    kept[field] = after
    const date = this.#marks.dateToken(kept, now)
    return Promise.resolve({ outcome: 'amended', session: toRecord(kept), now: date })
  }

  async find(sessionId: string): Promise<SessionRecord | undefined> {
    this.#assertOpen()
    const kept = this.#sessions.get(sessionId)
    return Promise.resolve(kept && !this.#marks.isOver(kept) ? toRecord(kept) : undefined)
  }

  async list(
    issuer: string,
    subject: string,
    limit = Number.POSITIVE_INFINITY,
  ): Promise<SessionRecord[]> {
    this.#assertOpen()
    const live = this.#liveSessions(userKey(issuer, subject), this.#clock.now())
    return Promise.resolve(live.slice(0, limit).map(toRecord))
  }

  revocations(): AuditedRevocations {
    return this.#revocations
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#revocations.close()
  }

  #assertOpen(): void {
    if (this.#closed) throw new UnavailableError('sessions', 'The session store was closed')
  }

  #onKickOut(target: ResolvedTarget, givenAt: number, isNow: boolean): ReturnType<KickOutHook> {
    // Tokens may be dated ahead, by a clock that was set back since.
    const at = isNow ? Math.max(givenAt, this.#marks.latest) : givenAt
    return { at, ...this.#endTargeted(target, at, isNow) }
  }

  /** The part of a kick-out that concerns sessions. */
  #endTargeted(
    target: ResolvedTarget,
    at: number,
    isNow: boolean,
  ): { sessionsEnded: number; version?: number } {
    const now = this.#clock.now()
    switch (target.level) {
      case 'token':
        return { sessionsEnded: 0 }
      case 'session': {
        const kept = this.#sessions.get(target.id)
        if (kept?.issuer !== target.issuer) return { sessionsEnded: 0 }
        this.#delete(kept)
        return { sessionsEnded: now < kept.expiresAt ? 1 : 0 }
      }
      case 'subject': {
        const user = userKey(target.issuer, target.id)
        const live = this.#liveSessions(user, now)
        const until = this.#marksUntil(now)
        const version = this.#marks.raiseVersion(target.issuer, target.id, at, isNow, until)
        const over = live.filter((kept) => this.#marks.isOver(kept))
        for (const kept of over) this.#delete(kept)
        return { sessionsEnded: over.length, version }
      }
      case 'client':
      case 'everyone': {
        const until = this.#marksUntil(now)
        this.#marks.raise(target.issuer, target.level, target.id, at, until)
        const over = [...this.#sessions.values()].filter((kept) => this.#marks.isOver(kept))
        for (const kept of over) this.#delete(kept)
        return { sessionsEnded: over.filter((kept) => now < kept.expiresAt).length }
      }
    }
  }

  #delete(kept: Kept): void {
    const user = userKey(kept.issuer, kept.subject)
    const sids = this.#bySubject.get(user)
    this.#sessions.delete(kept.sessionId)
    sids?.delete(kept.sessionId)
    if (sids?.size === 0) this.#bySubject.delete(user)
  }

  /** Sessions that a kick-out concerns may live this long, and their access tokens for the retention after that. */
  #marksUntil(now: number): number {
    return Math.max(now, this.#latestEnd) + this.retentionSeconds * 1000
  }

  /** Sessions of users who do not come back go too: the oldest stand first, and go when even reuse is past. */
  #sweep(now: number): void {
    this.#marks.sweep(now)
    for (const kept of this.#sessions.values()) {
      if (now < kept.absoluteUntil + this.retentionSeconds * 1000) return
      this.#delete(kept)
    }
  }

  /** The last used first. Deletes sessions that expired so long ago that none of their tokens can be presented any more. */
  #liveSessions(user: string, now: number): Kept[] {
    const live: Kept[] = []
    for (const sessionId of this.#bySubject.get(user) ?? []) {
      const kept = this.#sessions.get(sessionId)
      if (!kept || this.#marks.isOver(kept)) continue
      if (now < kept.expiresAt) live.push(kept)
      else if (now >= kept.expiresAt + this.retentionSeconds * 1000) this.#delete(kept)
    }
    // Of two that were used in the same millisecond, the one that began later stands first.
    return live.reverse().sort((a, b) => b.lastSeenAt - a.lastSeenAt)
  }
}

function toRecord(kept: Kept): SessionRecord {
  const { sessionId, issuer, subject, clientId, scopes, device, authentication } = kept
  const { startedAt, lastSeenAt, expiresAt, absoluteUntil, version, sealed, stepUp } = kept
  return {
    ...{ sessionId, issuer, subject, clientId, scopes, device, authentication },
    ...{ startedAt, lastSeenAt, expiresAt, absoluteUntil, version, counter: kept.counter },
    ...{ sealed, stepUp },
  }
}
