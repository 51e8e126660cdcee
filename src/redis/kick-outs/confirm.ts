import type { NodeReport } from '../scripts/read-servers.ts'

/** A server that was silent for this long is no longer counted on. Several heartbeats, even slow ones. */
export const liveWithinMs = 2000
const maxPollMs = 20

interface Waiting {
  readonly seq: number
  readonly deadlineMs: number
  readonly resolve: (reached: Reached) => void
}

/** How far a kick-out has come. */
export interface Reached {
  readonly servers: number
  readonly confirmed: number
}

/**
 * Waits until the live resource servers of one partition have applied an entry. However many kick-outs wait, there is one
 * poll at a time, and it serves them all.
 */
export class Confirmation {
  readonly #readNodes: () => Promise<NodeReport[]>
  #waiting: Waiting[] = []
  #isPolling = false

  constructor(readNodes: () => Promise<NodeReport[]>) {
    this.#readNodes = readNodes
  }

  /** Resolves when all of them have it, or the time is up. Never rejects: servers that cannot be read have not confirmed. */
  async of(seq: number, timeoutMs: number): Promise<Reached> {
    return new Promise((resolve) => {
      this.#waiting.push({ seq, deadlineMs: performance.now() + timeoutMs, resolve })
      if (!this.#isPolling) void this.#poll()
    })
  }

  async #poll(): Promise<void> {
    this.#isPolling = true
    for (let pauseMs = 1; this.#waiting.length > 0; pauseMs = Math.min(maxPollMs, pauseMs * 2)) {
      const asked = new Set(this.#waiting)
      const reports = await this.#readNodes().catch((): NodeReport[] => [])
      const live = reports.filter(({ ageMs }) => ageMs <= liveWithinMs)
      this.#waiting = this.#waiting.filter(
        (waiting) => !asked.has(waiting) || !settle(waiting, live),
      )
      if (this.#waiting.some((waiting) => !asked.has(waiting))) pauseMs = 1
      if (this.#waiting.length > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
    this.#isPolling = false
  }
}

function settle({ seq, deadlineMs, resolve }: Waiting, live: readonly NodeReport[]): boolean {
  const confirmed = live.filter((node) => node.seq >= seq).length
  if (confirmed < live.length && performance.now() < deadlineMs) return false
  resolve({ servers: live.length, confirmed })
  return true
}
