import { type Clock, systemClock } from '../clock.ts'
import { assertOptions, readNumber } from '../options.ts'
import { createMemoryRevocations } from '../revocation/memory-revocations.ts'
import { type AuditedRevocations, defaultRetentionSeconds } from '../revocation/revocations.ts'
import type { ResolvedTarget } from '../revocation/target.ts'
import type {
  NewSession,
  RotateOutcome,
  RotateRequest,
  SessionRecord,
  SessionStore,
  StartOutcome,
} from './session.ts'

export interface MemoryStoreOptions {
  /**
   * How long a revocation is kept, seconds.
   *
   * @defaultValue 3720
   */
  retentionSeconds?: number
}

interface Kept extends SessionRecord {
  counter: number
  rotatedAt: number
  lastSeenAt: number
  idleUntil: number
  readonly absoluteUntil: number
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
  readonly #versions = new Map<string, number>()
  /** When a client, or everyone, was last kicked out: their sessions from before are over. */
  readonly #horizons = new Map<string, number>()
  #revocations: AuditedRevocations | undefined

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
  }

  partitionOf(): number {
    return 0
  }

  async start(session: NewSession): Promise<StartOutcome> {
    const now = this.#clock.now()
    const user = userKey(session.issuer, session.subject)
    const live = this.#liveSessions(user, now)
    const surplus =
      session.maxPerSubject === undefined ? 0 : live.length + 1 - session.maxPerSubject
    if (surplus > 0 && session.whenFull === 'refuse') return { outcome: 'full' }
    const ended = live.slice(live.length - Math.max(surplus, 0)).map(({ sessionId }) => sessionId)
    // Memory revocations act before they are awaited; awaiting them last keeps this method one step.
    const kickOuts = ended.map(async (sessionId) =>
      this.revocations(session.issuer).kickOut({ issuer: session.issuer, session: sessionId }),
    )
    const version = this.#versions.get(user) ?? now
    this.#versions.set(user, version)
    const { idleTtlMs, absoluteTtlMs, maxPerSubject: _max, whenFull: _full, ...facts } = session
    const kept: Kept = {
      ...facts,
      startedAt: now,
      lastSeenAt: now,
      expiresAt: 0,
      version,
      counter: 0,
      rotatedAt: now,
      idleUntil: now + idleTtlMs,
      absoluteUntil: now + absoluteTtlMs,
    }
    this.#sessions.set(kept.sessionId, kept)
    const sids = this.#bySubject.get(user)
    if (sids) sids.add(kept.sessionId)
    else this.#bySubject.set(user, new Set([kept.sessionId]))
    await Promise.all(kickOuts)
    return { outcome: 'started', session: toRecord(kept), ended }
  }

  async rotate(request: RotateRequest): Promise<RotateOutcome> {
    const now = this.#clock.now()
    const kept = this.#sessions.get(request.sessionId)
    if (!kept || this.#isOver(kept)) return { outcome: 'ended' }
    if (request.clientId !== undefined && request.clientId !== kept.clientId)
      return { outcome: 'client' }
    const isRetry =
      request.counter === kept.counter - 1 &&
      request.graceMs > 0 &&
      now - kept.rotatedAt <= request.graceMs
    if (request.counter < kept.counter && !isRetry) {
      await this.revocations(kept.issuer).kickOut(
        { issuer: kept.issuer, session: kept.sessionId },
        { reason: 'a superseded refresh token was used again' },
      )
      return { outcome: 'reused', session: toRecord(kept) }
    }
    if (now >= Math.min(kept.idleUntil, kept.absoluteUntil)) return { outcome: 'expired' }
    if (request.scopes?.some((scope) => !kept.scopes.includes(scope))) return { outcome: 'scope' }
    const outcome = isRetry
      ? 'retried'
      : request.counter > kept.counter
        ? 'fast_forwarded'
        : 'rotated'
    if (!isRetry) {
      kept.counter = request.counter + 1
      kept.rotatedAt = now
    }
    kept.lastSeenAt = now
    kept.idleUntil = now + request.idleTtlMs
    return { outcome, session: toRecord(kept), counter: kept.counter, now }
  }

  async find(sessionId: string): Promise<SessionRecord | undefined> {
    const kept = this.#sessions.get(sessionId)
    return Promise.resolve(kept && !this.#isOver(kept) ? toRecord(kept) : undefined)
  }

  async list(issuer: string, subject: string): Promise<SessionRecord[]> {
    const live = this.#liveSessions(userKey(issuer, subject), this.#clock.now())
    return Promise.resolve(live.map(toRecord))
  }

  revocations(issuer: string): AuditedRevocations {
    this.#revocations ??= createMemoryRevocations(
      { issuer, retentionSeconds: this.retentionSeconds },
      { clock: this.#clock, onTarget: (target, at) => this.#endTargeted(target, at) },
    )
    return this.#revocations
  }

  async close(): Promise<void> {
    await this.#revocations?.close()
  }

  /** The part of a kick-out that concerns sessions. */
  #endTargeted(target: ResolvedTarget, at: number): { sessionsEnded: number; version?: number } {
    switch (target.level) {
      case 'token':
        return { sessionsEnded: 0 }
      case 'session':
        return { sessionsEnded: this.#delete(target.id) ? 1 : 0 }
      case 'subject': {
        const user = userKey(target.issuer, target.id)
        const version = Math.max((this.#versions.get(user) ?? 0) + 1, at)
        this.#versions.set(user, version)
        const live = this.#liveSessions(user, at)
        for (const { sessionId } of live) this.#delete(sessionId)
        return { sessionsEnded: live.length, version }
      }
      case 'client':
      case 'everyone': {
        this.#horizons.set(horizonKey(target.issuer, target.level, target.id), at)
        const over = [...this.#sessions.values()].filter((kept) => this.#isOver(kept))
        for (const { sessionId } of over) this.#delete(sessionId)
        return { sessionsEnded: over.length }
      }
    }
  }

  #delete(sessionId: string): boolean {
    const kept = this.#sessions.get(sessionId)
    if (!kept) return false
    this.#sessions.delete(sessionId)
    this.#bySubject.get(userKey(kept.issuer, kept.subject))?.delete(sessionId)
    return true
  }

  #isOver(kept: Kept): boolean {
    const { issuer, subject, clientId } = kept
    if (kept.version < (this.#versions.get(userKey(issuer, subject)) ?? 0)) return true
    const horizon = Math.max(
      this.#horizons.get(horizonKey(issuer, 'everyone', '')) ?? 0,
      clientId === undefined
        ? 0
        : (this.#horizons.get(horizonKey(issuer, 'client', clientId)) ?? 0),
    )
    return kept.startedAt <= horizon
  }

  /** The last used first. Lets go of sessions whose time is up for longer than anybody could reuse a token of theirs. */
  #liveSessions(user: string, now: number): Kept[] {
    const live: Kept[] = []
    for (const sessionId of this.#bySubject.get(user) ?? []) {
      const kept = this.#sessions.get(sessionId)
      if (!kept) continue
      const expiresAt = Math.min(kept.idleUntil, kept.absoluteUntil)
      if (now < expiresAt) live.push(kept)
      else if (now >= expiresAt + this.retentionSeconds * 1000) this.#delete(sessionId)
    }
    return live.sort((a, b) => b.lastSeenAt - a.lastSeenAt)
  }
}

function horizonKey(issuer: string, level: 'client' | 'everyone', id: string): string {
  return JSON.stringify([issuer, level, id])
}

function toRecord(kept: Kept): SessionRecord {
  const { counter: _counter, rotatedAt: _rotatedAt, idleUntil, absoluteUntil, ...record } = kept
  return { ...record, expiresAt: Math.min(idleUntil, absoluteUntil) }
}
