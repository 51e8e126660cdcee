import type { SessionRecord } from './session-store.ts'

/** Names as one key that no other names make. */
function keyOf(...names: readonly string[]): string {
  return JSON.stringify(names)
}

/**
 * The part of a kick-out that outlasts the sessions it found: a user's version, and when a client or everyone was last
 * kicked out. A session is judged by them rather than deleted one by one, so that none slips through by beginning meanwhile.
 */
export class MemoryHorizons {
  readonly #versions = new Map<string, number>()
  readonly #moments = new Map<string, number>()

  /** The user's version; missing means now. */
  versionOf(issuer: string, subject: string, now: number): number {
    const user = keyOf(issuer, subject)
    const version = this.#versions.get(user) ?? now
    this.#versions.set(user, version)
    return version
  }

  /** Kicks out a user. @returns the new version: higher than any before, also within one millisecond */
  raiseVersion(issuer: string, subject: string, now: number): number {
    const user = keyOf(issuer, subject)
    const version = Math.max((this.#versions.get(user) ?? 0) + 1, now)
    this.#versions.set(user, version)
    return version
  }

  /** Kicks out a client, or everyone (whose id is empty). Never moves back, whatever the clock does. */
  raise(issuer: string, level: 'client' | 'everyone', id: string, now: number): void {
    const key = keyOf(issuer, level, id)
    this.#moments.set(key, Math.max(this.#moments.get(key) ?? 0, now))
  }

  isOver({ issuer, subject, clientId, version, startedAt }: SessionRecord): boolean {
    const horizon = Math.max(
      this.#moments.get(keyOf(issuer, 'everyone', '')) ?? 0,
      clientId === undefined ? 0 : (this.#moments.get(keyOf(issuer, 'client', clientId)) ?? 0),
    )
    return startedAt <= horizon || version < (this.#versions.get(keyOf(issuer, subject)) ?? 0)
  }
}
