import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { type Clock, systemClock } from '../clock.ts'
import { UnavailableError } from '../errors.ts'
import { assertOptions, readNumber } from '../options.ts'
import type { ReplayStore } from './replay-store.ts'

/** What `memoryReplayStore` is given. */
export interface MemoryReplayStoreOptions {
  /**
   * Ids remembered at once, some 100 bytes each. Past that, `claim` rejects until some have expired.
   *
   * @defaultValue 100000
   */
  maxEntries?: number
}

/** The default of every option that has one. The docs are compared with these. */
export const memoryReplayDefaults = { maxEntries: 100_000 } as const

const maxMaxEntries = 10_000_000
const bucketMs = 1000

/**
 * Remembers claimed ids in this process. A full store rejects (503) and never forgets an id early, so that a flood of ids
 * cannot make room for a replay. It remembers since the process began.
 *
 * @throws TypeError for wrong options
 */
export function memoryReplayStore(options: MemoryReplayStoreOptions = {}): ReplayStore {
  return new MemoryReplayStore(options, systemClock)
}

export class MemoryReplayStore implements ReplayStore {
  readonly #clock: Clock
  readonly #maxEntries: number
  readonly #claimed = new Set<string>()
  /** Ids by the second in which they expire, on the monotonic clock. */
  readonly #expiring = new Map<number, string[]>()
  #sweptUntil = Number.NEGATIVE_INFINITY

  constructor(options: MemoryReplayStoreOptions, clock: Clock) {
    const where = 'memoryReplayStore'
    assertOptions(where, options, ['maxEntries'])
    this.#clock = clock
    this.#maxEntries = readNumber(where, 'maxEntries', options.maxEntries, {
      fallback: memoryReplayDefaults.maxEntries,
      min: 1,
      max: maxMaxEntries,
      integer: true,
    })
  }

  /** The beginning of the process, on the wall clock as it stands now. */
  get remembersSinceMs(): number {
    return this.#clock.now() - this.#clock.monotonic()
  }

  async ready(): Promise<void> {
    const beganMs = this.remembersSinceMs
    const waitMs = Math.ceil(beganMs / 1000) * 1000 - this.#clock.now()
    if (waitMs > 0) await setTimeout(waitMs, undefined, { ref: false })
  }

  async claim(namespace: string, id: string, ttlMs: number): Promise<boolean> {
    const now = this.#clock.monotonic()
    this.#sweep(now)
    const name = nameOf(namespace, id)
    if (this.#claimed.has(name)) return Promise.resolve(false)
    if (this.#claimed.size >= this.#maxEntries) {
      throw new UnavailableError(
        'replay',
        `The replay store holds ${this.#maxEntries} ids and has no room until some expire: raise "maxEntries" of memoryReplayStore`,
      )
    }
    this.#claimed.add(name)
    const expiresAt = Math.floor((now + ttlMs) / bucketMs) + 1
    const bucket = this.#expiring.get(expiresAt)
    if (bucket) bucket.push(name)
    else this.#expiring.set(expiresAt, [name])
    return true
  }

  async has(namespace: string, id: string): Promise<boolean> {
    this.#sweep(this.#clock.monotonic())
    return Promise.resolve(this.#claimed.has(nameOf(namespace, id)))
  }

  /** Once a second at most, and over as many buckets as there are seconds in the longest time to live. */
  #sweep(now: number): void {
    const second = Math.floor(now / bucketMs)
    if (second <= this.#sweptUntil) return
    this.#sweptUntil = second
    for (const [expiresAt, names] of this.#expiring) {
      if (expiresAt > second) continue
      for (const name of names) this.#claimed.delete(name)
      this.#expiring.delete(expiresAt)
    }
  }
}

/** Of one size, however long the id is. The length of the namespace keeps the border between the two. */
function nameOf(namespace: string, id: string): string {
  return createHash('sha256').update(`${namespace.length}:${namespace}${id}`).digest('base64url')
}
