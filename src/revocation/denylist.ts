import type { Clock } from '../clock.ts'
import {
  type IssuerFacts,
  type Revocation,
  type RevocationFact,
  type RevocationFacts,
  type RevocationLevel,
  revocationLevels,
} from './revocation.ts'
import { RowIndex } from './row-index.ts'

const initialSlots = 64
/** How many rows each write checks for expiry. Two would keep up; four free the memory of a mass kick-out sooner. */
const sweptPerApply = 4
/** How many rows {@link Denylist.tidy} checks, which takes about a millisecond. */
const sweptPerTidy = 10_000
/** After so many rows {@link Denylist.unseen} lets its caller pause. */
const rowsPerPause = 1024

type Levels = Readonly<Record<RevocationLevel, RowIndex>>

/** An entry that the store seems to have lost. */
export interface UnseenEntry {
  readonly revocation: Omit<Revocation, 'kickOutId' | 'until'>
  readonly remainingMs: number
}

/** One issuer's part of the denylist. */
interface Part extends IssuerFacts {
  readonly levels: Levels
}

interface Entry {
  readonly index: RowIndex
  readonly id: string
  readonly row: number
}

/**
 * The revocations in force, in memory.
 *
 * Grows by {@link apply} only and shrinks by expiry only, on the monotonic clock. It has no maximum size and is never
 * replaced by a reload: either would let revoked tokens back in. Applying is idempotent and may happen in any order: ids
 * are united, and the later moment and the higher version win.
 *
 * Entries are rows of typed arrays, and the maps hold row numbers. One million live revocations take about 90 MB; with an
 * object each they would take 200.
 */
export class Denylist implements RevocationFacts {
  readonly #clock: Clock
  readonly #parts = new Map<string, Part>()
  readonly #free: number[] = []
  #rows = 0
  /** Where the next {@link sweep} goes on. */
  #sweeper: Generator<Entry, undefined> | undefined

  readonly #indexes: RowIndex[] = []
  /** By row. A map, since few kick-outs have a reason. */
  readonly #reasons = new Map<number, string>()
  #at = new Float64Array(initialSlots)
  #version = new Float64Array(initialSlots)
  #expires = new Float64Array(initialSlots)
  #seen = new Float64Array(initialSlots)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** How many entries are held, including expired ones that were not swept yet. */
  get size(): number {
    return this.#rows - this.#free.length
  }

  of(issuer: string): IssuerFacts | undefined {
    return this.#parts.get(issuer)
  }

  /**
   * Puts a revocation in force for `remainingMs` more milliseconds.
   *
   * @param isConfirmed - whether the caller has read it from the store, in its place: see {@link unseen}
   * @returns `false` where it was in force already
   */
  apply(revocation: Revocation, remainingMs: number, isConfirmed = true): boolean {
    this.sweep(sweptPerApply)
    if (!(remainingMs > 0)) return false
    const index = this.#levelsOf(revocation.issuer)[revocation.level]
    const now = this.#clock.monotonic()
    const expires = now + remainingMs
    const version = revocation.version ?? 0
    const known = index.get(revocation.id)
    if (known === undefined) {
      const row = this.#takeRow()
      index.add(revocation.id, row)
      this.#setReason(row, revocation.reason)
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
      this.#setReason(known, revocation.reason)
    }
    if (higher) this.#version[known] = version
    this.#expires[known] = Math.max(expires, this.#expires[known] ?? 0)
    return later || higher || expired
  }

  /** Removes the expired ones of the next `limit` entries, or of all. After the last entry it begins with the first again. */
  sweep(limit?: number): void {
    const now = this.#clock.monotonic()
    if (limit === undefined) this.#sweeper = undefined
    for (let looked = 0; looked < (limit ?? Number.POSITIVE_INFINITY); looked++) {
      this.#sweeper ??= this.#entries()
      const next = this.#sweeper.next()
      if (next.done) {
        this.#sweeper = undefined
        return
      }
      const { index, id, row } = next.value
      if ((this.#expires[row] ?? 0) > now) continue
      index.delete(id)
      this.#reasons.delete(row)
      this.#free.push(row)
    }
  }

  /** Sweeps everything, or a part where a whole sweep would block the event loop. */
  tidy(): void {
    this.sweep(this.size > sweptPerTidy ? sweptPerTidy : undefined)
  }

  *#entries(): Generator<Entry, undefined> {
    for (const index of this.#indexes) {
      for (const [id, row] of index) yield { index, id, row }
    }
  }

  /**
   * Live entries that no {@link apply} has confirmed since a moment (monotonic), with the time they have left. A store that
   * was read as a whole since then has lost them. Entries may be applied during the iteration. Now and then it yields
   * `undefined`, where the caller may let the event loop turn.
   */
  *unseen(sinceMs: number): Generator<UnseenEntry | undefined> {
    let looked = 0
    for (const [issuer, { levels }] of this.#parts) {
      for (const level of revocationLevels) {
        for (const [id, row] of levels[level]) {
          if (++looked % rowsPerPause === 0) yield undefined
          if ((this.#seen[row] ?? 0) >= sinceMs) continue
          const remainingMs = (this.#expires[row] ?? 0) - this.#clock.monotonic()
          if (remainingMs <= 0) continue
          yield { revocation: { issuer, level, id, ...this.#factOf(row) }, remainingMs }
        }
      }
    }
  }

  #factOf(row: number): RevocationFact {
    const version = this.#version[row] ?? 0
    const reason = this.#reasons.get(row)
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
    const part = this.#parts.get(issuer)
    if (part) return part.levels
    const levels = {
      token: this.#newIndex(),
      session: this.#newIndex(),
      subject: this.#newIndex(),
      client: this.#newIndex(),
      everyone: this.#newIndex(),
    }
    const get: Part['get'] = (level, id) => this.#find(levels[level].get(id))
    this.#parts.set(issuer, { levels, get })
    return levels
  }

  #find(row: number | undefined): RevocationFact | undefined {
    return row === undefined || this.#hasExpired(row) ? undefined : this.#factOf(row)
  }

  #newIndex(): RowIndex {
    const index = new RowIndex()
    this.#indexes.push(index)
    return index
  }

  #setReason(row: number, reason: string | undefined): void {
    if (reason === undefined) this.#reasons.delete(row)
    else this.#reasons.set(row, reason)
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
