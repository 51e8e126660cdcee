import type { SessionRecord } from './session-store.ts'

/** Names as one key that no other names make. */
function keyOf(...names: readonly string[]): string {
  return JSON.stringify(names)
}

interface Mark {
  readonly value: number
  /** Until when sessions or tokens of before can exist, milliseconds. */
  readonly until: number
}

/**
 * The part of a kick-out that outlasts the sessions it found: a user's version, and when a client or everyone was last
 * kicked out. A session is judged by them rather than deleted one by one, so that none that begins meanwhile slips through.
 * Only kick-outs leave a mark, and each is forgotten when nothing of before can exist any more.
 */
export class MemoryMarks {
  readonly #versions = new Map<string, Mark>()
  readonly #moments = new Map<string, Mark>()
  #latest = 0

  /** The latest date that a token or session was given, milliseconds. */
  get latest(): number {
    return this.#latest
  }

  /** The version of a session that begins now: not below the last kick-out of its user. */
  versionOf(issuer: string, subject: string, now: number): number {
    this.#latest = Math.max(this.#latest, now)
    return Math.max(this.#versions.get(keyOf(issuer, subject))?.value ?? 0, now)
  }

  /** When a session begins: now, or after the last kick-out of its client or of everyone where that lies ahead. */
  startOf(issuer: string, clientId: string | undefined, now: number): number {
    const start = Math.max(now, this.#markOf(issuer, clientId) + 1)
    this.#latest = Math.max(this.#latest, start)
    return start
  }

  /** The date of an access token of a session: now, or when the session began where that was dated ahead. */
  dateToken({ startedAt }: Pick<SessionRecord, 'startedAt'>, now: number): number {
    const date = Math.max(startedAt, now)
    this.#latest = Math.max(this.#latest, date)
    return date
  }

  /**
   * Kicks out a user.
   *
   * @param isNow - `false` where `at` was given and may be past: sessions that began after it stay
   * @returns the new version: higher than that of every session which the kick-out concerns
   */
  raiseVersion(issuer: string, subject: string, at: number, isNow: boolean, until: number): number {
    const user = keyOf(issuer, subject)
    const known = this.#versions.get(user)?.value ?? 0
    // A session may have begun "ahead", by a clock that was set back since.
    const value = isNow ? Math.max(known, at, this.#latest) + 1 : Math.max(known, at + 1)
    this.#raise(this.#versions, user, { value, until })
    return value
  }

  /** Kicks out a client, or everyone (whose id is empty). Never moves back, whatever the clock does. */
  raise(issuer: string, level: 'client' | 'everyone', id: string, at: number, until: number): void {
    this.#raise(this.#moments, keyOf(issuer, level, id), { value: at, until })
  }

  isOver({ issuer, subject, clientId, version, startedAt }: SessionRecord): boolean {
    const mark = this.#markOf(issuer, clientId)
    return startedAt <= mark || version < (this.#versions.get(keyOf(issuer, subject))?.value ?? 0)
  }

  /** When the client, or everyone, was last kicked out, milliseconds; 0 for never. */
  #markOf(issuer: string, clientId: string | undefined): number {
    const momentOf = (level: string, id: string): number =>
      this.#moments.get(keyOf(issuer, level, id))?.value ?? 0
    const everyone = momentOf('everyone', '')
    return clientId === undefined ? everyone : Math.max(everyone, momentOf('client', clientId))
  }

  /** Marks lie in the order in which they were last raised, so the oldest stand first. */
  sweep(now: number): void {
    for (const marks of [this.#versions, this.#moments]) {
      for (const [key, { until }] of marks) {
        if (now < until) break
        marks.delete(key)
      }
    }
  }

  #raise(marks: Map<string, Mark>, key: string, { value, until }: Mark): void {
    const known = marks.get(key)
    marks.delete(key)
    marks.set(key, {
      value: Math.max(known?.value ?? 0, value),
      until: Math.max(known?.until ?? 0, until),
    })
  }
}
