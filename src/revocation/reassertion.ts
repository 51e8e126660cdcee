import type { Denylist, UnseenEntry } from './denylist.ts'
import type { RevocationLevel } from './revocation.ts'

/** Spread over a fleet: what one server has written again arrives at the others before they begin. */
const maxHeadStartMs = 150
const retryMs = 300
const batchSize = 50
/** How long the event loop is held at a time. */
const turnMs = 10

/** A log that lost entries can be written to again. */
export interface ReassertedLog {
  /** Writes a revocation again, unless another process has done so already. Safe to repeat. */
  republish(revocation: UnseenEntry['revocation'], remainingMs: number): Promise<void>
  /** The partition that a revocation lies in. */
  partitionOf(level: RevocationLevel, issuer: string, id: string): number
  /** Whether this process lacks the right to write, so that it leaves it to those that have it. */
  isForbidden(error: unknown): boolean
}

/**
 * Writes again what this process holds and the store has lost: after a failover that lost a write, after FLUSHALL or
 * TRUNCATE, after a foreign trim. A kick-out survives as long as one process that saw it lives.
 */
export class Reassertion {
  readonly #log: ReassertedLog
  readonly #denylist: Denylist
  /** The load whose missing entries are being written, per partition; a later one takes over. */
  readonly #current = new Map<number, number>()
  #closed = false

  constructor(log: ReassertedLog, denylist: Denylist) {
    this.#log = log
    this.#denylist = denylist
  }

  /** Writes what a load of a partition, begun at `sinceMs` (monotonic), has not brought back. */
  begin(partition: number, sinceMs: number): void {
    this.#current.set(partition, sinceMs)
    void this.#run(partition, sinceMs)
  }

  close(): void {
    this.#closed = true
  }

  #isSuperseded(partition: number, sinceMs: number): boolean {
    return this.#closed || this.#current.get(partition) !== sinceMs
  }

  async #run(partition: number, sinceMs: number): Promise<void> {
    if ((await this.#missing(partition, sinceMs).next()).done) return
    await pause(Math.random() * maxHeadStartMs)
    while (!this.#isSuperseded(partition, sinceMs)) {
      try {
        await this.#writeAll(partition, sinceMs)
        return
      } catch (error) {
        // A user that may only read leaves it to those that may write.
        if (this.#log.isForbidden(error)) return
        // The store went away again. What is missing stays missing until it was written.
        await pause(retryMs)
      }
    }
  }

  async #writeAll(partition: number, sinceMs: number): Promise<void> {
    let batch: Promise<void>[] = []
    for await (const { revocation, remainingMs } of this.#missing(partition, sinceMs)) {
      if (this.#isSuperseded(partition, sinceMs)) return
      const write = this.#log.republish(revocation, remainingMs)
      // One that fails while others are still being collected, or after a later load has taken over, would end the process.
      write.catch(() => undefined)
      batch.push(write)
      if (batch.length < batchSize) continue
      await Promise.all(batch)
      batch = []
    }
    await Promise.all(batch)
  }

  /** In short turns: what is not missing, or lies in other partitions, may be a million entries. */
  async *#missing(partition: number, sinceMs: number): AsyncGenerator<UnseenEntry> {
    let turnEndsMs = performance.now() + turnMs
    for (const entry of this.#denylist.unseen(sinceMs)) {
      if (performance.now() >= turnEndsMs) {
        await new Promise((resolve) => setImmediate(resolve))
        turnEndsMs = performance.now() + turnMs
      }
      if (!entry) continue
      const { level, issuer, id } = entry.revocation
      if (this.#log.partitionOf(level, issuer, id) === partition) yield entry
    }
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
