import type { Denylist, UnseenEntry } from './denylist.ts'
import type { RevocationLevel } from './revocation.ts'

/** Servers begin at random moments within this time: what the first one republishes, the others read and need not write. */
const maxHeadStartMs = 150
const retryMs = 300
const batchSize = 50
/**
 * The share of the missing entries that a process picks, at random, in each pass. All processes begin at about the same
 * moment: if they took the same entries in the same order, each entry would be asked for by all of them.
 */
const sharesOfPasses = [0.1, 0.2, 0.4, 1]
/** How long the search for missing entries may block the event loop at a time. */
const turnMs = 10

/** The log that missing entries are written to. */
export interface RepublisherLog {
  /** Writes a revocation again, unless another process has done so already. Safe to repeat. */
  republish(revocation: UnseenEntry['revocation'], remainingMs: number): Promise<void>
  /** The partition that a revocation lies in. */
  partitionOf(level: RevocationLevel, issuer: string, id: string): number
  /** Whether this process lacks the right to write. Then other processes have to republish. */
  isForbidden(error: unknown): boolean
}

/**
 * Republishes what this process holds and the store has lost: by a failover that lost a write, by FLUSHALL or TRUNCATE, or
 * by another program's trim. A kick-out survives as long as one process that read it lives.
 */
export class Republisher {
  readonly #log: RepublisherLog
  readonly #denylist: Denylist
  /** The load whose missing entries are being written, per partition. A later load replaces it. */
  readonly #current = new Map<number, number>()
  #closed = false

  constructor(log: RepublisherLog, denylist: Denylist) {
    this.#log = log
    this.#denylist = denylist
  }

  /** Republishes every entry of a partition that a load, begun at `sinceMs` (monotonic), did not bring. */
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
        // The user of this process may only read. Other processes have to republish.
        if (this.#log.isForbidden(error)) return
        // The store failed again. The next attempt writes what is still missing.
        await pause(retryMs)
      }
    }
  }

  async #writeAll(partition: number, sinceMs: number): Promise<void> {
    for (const share of sharesOfPasses) await this.#writeShare(partition, sinceMs, share)
  }

  /** What other processes have written by now, and this one has read, is not missing any more. */
  async #writeShare(partition: number, sinceMs: number, share: number): Promise<void> {
    let batch: Promise<void>[] = []
    for await (const { revocation, remainingMs } of this.#missing(partition, sinceMs)) {
      if (this.#isSuperseded(partition, sinceMs)) return
      if (share < 1 && Math.random() >= share) continue
      const write = this.#log.republish(revocation, remainingMs)
      // A write may fail before `Promise.all` listens. Without this handler the unhandled rejection would end the process.
      write.catch(() => undefined)
      batch.push(write)
      if (batch.length < batchSize) continue
      await Promise.all(batch)
      batch = []
    }
    await Promise.all(batch)
  }

  /** Searches in short turns, since it may pass over a million entries that are not missing, or in other partitions. */
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
