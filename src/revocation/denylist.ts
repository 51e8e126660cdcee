import type { Clock } from '../clock.ts'
import {
  type Revocation,
  type RevocationFact,
  type RevocationFacts,
  type RevocationLevel,
  revocationLevels,
} from './revocation.ts'

const initialSlots = 64
/** How many slots each write looks at for expired entries. Two would keep up; more empties faster after a mass kick-out. */
const sweptPerApply = 4

type Levels = Readonly<Record<RevocationLevel, Map<string, number>>>

/**
 * The revocations in force, in memory.
 *
 * Grows by {@link apply} only and shrinks by expiry only, on the monotonic clock: it is never a capped cache and is never
 * replaced by a reload, both of which bring revoked tokens back. Applying is idempotent and order does not matter: union
 * for ids, maximum for moments and versions.
 *
 * Entries are rows of columns, and the maps hold row numbers: one million live revocations take about 80 MB of heap, where
 * one object each would take 200.
 */
export class Denylist implements RevocationFacts {
  readonly #clock: Clock
  readonly #issuers = new Map<string, Levels>()
  readonly #free: number[] = []
  #rows = 0
  #swept = 0

  #keys: (string | undefined)[] = []
  #owners: (Map<string, number> | undefined)[] = []
  #reasons: (string | undefined)[] = []
  #at = new Float64Array(initialSlots)
  #version = new Float64Array(initialSlots)
  #expires = new Float64Array(initialSlots)
  #seen = new Float64Array(initialSlots)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Live entries, expired ones that were not swept yet included. */
  get size(): number {
    return this.#rows - this.#free.length
  }

  get(issuer: string, level: RevocationLevel, id: string): RevocationFact | undefined {
    const row = this.#issuers.get(issuer)?.[level].get(id)
    if (row === undefined || this.#hasExpired(row)) return undefined
    return this.#factOf(row)
  }

  /**
   * Puts a revocation in force for `remainingMs` more milliseconds.
   *
   * @param isConfirmed - whether the store holds it where it has to, as far as the caller can see: see {@link unseen}
   * @returns whether anything changed: `false` for what was in force already
   */
  apply(revocation: Revocation, remainingMs: number, isConfirmed = true): boolean {
    this.sweep(sweptPerApply)
    if (!(remainingMs > 0)) return false
    const map = this.#levelsOf(revocation.issuer)[revocation.level]
    const now = this.#clock.monotonic()
    const expires = now + remainingMs
    const version = revocation.version ?? 0
    const known = map.get(revocation.id)
    if (known === undefined) {
      const row = this.#takeRow()
      map.set(revocation.id, row)
      this.#keys[row] = revocation.id
      this.#owners[row] = map
      this.#reasons[row] = revocation.reason
      this.#at[row] = revocation.at
      this.#version[row] = version
      this.#expires[row] = expires
      this.#seen[row] = isConfirmed ? now : Number.NEGATIVE_INFINITY
      return true
    }
    if (isConfirmed) this.#seen[known] = now
    const expired = this.#hasExpired(known)
    const later = revocation.at > (this.#at[known] ?? 0)
    const higher = version > (this.#version[known] ?? 0)
    if (later || expired) {
      this.#at[known] = Math.max(revocation.at, this.#at[known] ?? 0)
      this.#reasons[known] = revocation.reason
    }
    if (higher) this.#version[known] = version
    this.#expires[known] = Math.max(expires, this.#expires[known] ?? 0)
    return later || higher || expired
  }

  /** Looks at `limit` rows, round and round, and lets go of the expired ones. */
  sweep(limit = this.#rows): void {
    const now = this.#clock.monotonic()
    for (let looked = 0; looked < limit && looked < this.#rows; looked++) {
      const row = this.#swept
      this.#swept = row + 1 >= this.#rows ? 0 : row + 1
      const owner = this.#owners[row]
      if (!owner || (this.#expires[row] ?? 0) > now) continue
      owner.delete(this.#keys[row] ?? '')
      this.#keys[row] = undefined
      this.#owners[row] = undefined
      this.#reasons[row] = undefined
      this.#free.push(row)
    }
  }

  /**
   * Live entries that no {@link apply} has confirmed since a moment (monotonic), with the time they have left: what a store
   * that was read since then does not hold any more. May be iterated while entries are applied.
   */
  *unseen(sinceMs: number): Generator<{
    revocation: Omit<Revocation, 'kickOutId' | 'until'>
    remainingMs: number
  }> {
    for (const [issuer, levels] of this.#issuers) {
      for (const level of revocationLevels) {
        for (const [id, row] of levels[level]) {
          const remainingMs = (this.#expires[row] ?? 0) - this.#clock.monotonic()
          if ((this.#seen[row] ?? 0) >= sinceMs || remainingMs <= 0) continue
          yield { revocation: { issuer, level, id, ...this.#factOf(row) }, remainingMs }
        }
      }
    }
  }

  #factOf(row: number): RevocationFact {
    const version = this.#version[row] ?? 0
    const reason = this.#reasons[row]
    return {
      at: this.#at[row] ?? 0,
      ...(version > 0 && { version }),
      ...(reason !== undefined && { reason }),
    }
  }

  #hasExpired(row: number): boolean {
    return (this.#expires[row] ?? 0) <= this.#clock.monotonic()
  }

  #levelsOf(issuer: string): Levels {
    let levels = this.#issuers.get(issuer)
    if (!levels) {
      levels = {
        token: new Map(),
        session: new Map(),
        subject: new Map(),
        client: new Map(),
        everyone: new Map(),
      }
      this.#issuers.set(issuer, levels)
    }
    return levels
  }

  #takeRow(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const row = this.#rows++
    if (row >= this.#at.length) this.#grow()
    return row
  }

  #grow(): void {
    const slots = this.#at.length * 2
    const grown = (column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => {
      const next = new Float64Array(slots)
      next.set(column)
      return next
    }
    this.#at = grown(this.#at)
    this.#version = grown(this.#version)
    this.#expires = grown(this.#expires)
    this.#seen = grown(this.#seen)
  }
}
