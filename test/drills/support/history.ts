import type { Answer } from './http.ts'

/** One request of a user, and what was decided about it. */
export interface Call {
  readonly subject: string
  readonly server: number
  readonly startedAt: number
  readonly endedAt: number
  readonly status: number
  readonly challenge: string | undefined
  readonly retryAfter: string | undefined
}

/** A time in which refusing for lack of proof is allowed. */
interface Window {
  readonly from: number
  to: number
}

/** What is wrong with a history. Each list is empty when the promises were kept. */
export interface Violations {
  /** I1: let in after an acknowledged kick-out and the staleness allowed. */
  readonly acceptedAfterKickOut: Call[]
  /** I4: "cannot prove" dressed up as the client's fault, or without a hint when to come back. */
  readonly badUnavailable: Call[]
  /** Told to go away without ever having been kicked out. A failure of ours is never a 401. */
  readonly refusedInnocent: Call[]
  /** I5: 503 or no answer outside of every fault. */
  readonly unavailableWithoutFault: Call[]
}

/** Everything that happened, on one clock, judged afterwards. */
export class History {
  readonly calls: Call[] = []
  /** When each subject's first kick-out was asked for, and acknowledged. */
  readonly asked = new Map<string, number>()
  readonly acknowledged = new Map<string, number>()
  readonly #faults: Window[] = []

  add(subject: string, server: number, answer: Answer): void {
    const { startedAt, endedAt, status, challenge, retryAfter } = answer
    this.calls.push({ subject, server, startedAt, endedAt, status, challenge, retryAfter })
  }

  noteAsked(subject: string, at: number): void {
    this.asked.set(subject, Math.min(at, this.asked.get(subject) ?? at))
  }

  noteAcknowledged(subject: string, at: number): void {
    this.acknowledged.set(subject, Math.min(at, this.acknowledged.get(subject) ?? at))
  }

  /** A fault begins; call the result when everything has to be well again. */
  beginFault(): () => void {
    const window = { from: performance.now(), to: Number.POSITIVE_INFINITY }
    this.#faults.push(window)
    return () => (window.to = performance.now())
  }

  judge(maxStalenessMs: number): Violations {
    const isDuringFault = ({ startedAt, endedAt }: Call): boolean =>
      this.#faults.some(({ from, to }) => startedAt <= to && endedAt >= from)
    return {
      acceptedAfterKickOut: this.calls.filter(
        ({ subject, startedAt, status }) =>
          status === 200 &&
          (this.acknowledged.get(subject) ?? Number.POSITIVE_INFINITY) + maxStalenessMs < startedAt,
      ),
      badUnavailable: this.calls.filter(
        ({ status, challenge, retryAfter }) =>
          status === 503 && (challenge !== undefined || retryAfter === undefined),
      ),
      refusedInnocent: this.calls.filter(
        ({ subject, status, endedAt }) =>
          status === 401 && !((this.asked.get(subject) ?? Number.POSITIVE_INFINITY) <= endedAt),
      ),
      unavailableWithoutFault: this.calls.filter(
        (call) => call.status !== 200 && call.status !== 401 && !isDuringFault(call),
      ),
    }
  }

  /** The longest stretch without a 200 for a user who was never kicked out, per server, since a moment. */
  longestOutage(since: number, server: number): number {
    let last = since
    let longest = 0
    for (const call of this.calls) {
      if (call.server !== server || call.startedAt < since || this.asked.has(call.subject)) continue
      if (call.status !== 200) continue
      longest = Math.max(longest, call.startedAt - last)
      last = call.startedAt
    }
    return longest
  }
}
