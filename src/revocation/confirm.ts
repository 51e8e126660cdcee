/** A resource server as it last reported itself. */
export interface ServerReport {
  readonly serverId: string
  /** How long ago, milliseconds by the store's clock. */
  readonly ageMs: number
  readonly state: string
  readonly stalenessMs: number
  readonly seq: number
  /** How old its proof of freshness may become, milliseconds. Until then the server may accept tokens from memory. */
  readonly maxStalenessMs: number
  /** How much younger than the report its last proof may be, milliseconds; 0 where each proof comes with a report. */
  readonly betweenReportsMs?: number
  readonly epoch: string
}

/** A server that reported within this time is live. The time spans several heartbeats, even slow ones. */
const liveWithinMs = 2000
const maxBeatMs = 2000
const maxPollMs = 20
/** How many polls follow one another at once, before the pauses grow. */
const quickPolls = 8
/** The pause between two polls grows by one millisecond for each ten servers: a part of the time they take to report. */
const serversPerMs = 10

/** How often a server reports, milliseconds, while it has nothing new to say. */
export function beatEveryMs(maxStalenessMs: number): number {
  return Math.min(maxBeatMs, maxStalenessMs * 0.4)
}

/** Where an entry stands in the log. */
export interface LogPosition {
  readonly seq: number
  readonly epoch: string
}

/** Which servers have applied a kick-out so far, by their ids in order. */
export interface KickOutProgress {
  readonly confirmed: readonly string[]
  readonly unconfirmed: readonly string[]
}

interface Waiting extends LogPosition {
  readonly deadlineMs: number
  readonly onProgress: ((progress: KickOutProgress) => void) | undefined
  /** The progress that was last passed to the listener, as JSON. */
  reported: string
  readonly resolve: (reached: Reached) => void
}

/** How far a kick-out has come. */
export interface Reached {
  /** `NaN` where the list of servers could not be read. */
  readonly servers: number
  readonly confirmed: number
  readonly unconfirmed: readonly string[]
}

const unknown: Reached = { servers: Number.NaN, confirmed: 0, unconfirmed: [] }

/**
 * Whether a server may still accept a token from memory. It may while it is live, and while it has been silent for less
 * time than its proof of freshness lasts: a paused server that wakes up within that time answers from memory. Its last
 * proof may be younger than its last report by the time between two reports.
 */
export function mayAccept({ ageMs, maxStalenessMs, betweenReportsMs = 0 }: ServerReport): boolean {
  return ageMs <= Math.max(liveWithinMs, maxStalenessMs + betweenReportsMs)
}

/**
 * Waits until the resource servers of one partition have applied an entry. However many kick-outs wait, there is one
 * poll at a time, and it serves them all.
 */
export class Confirmation {
  readonly #readServers: () => Promise<ServerReport[]>
  #waiting: Waiting[] = []
  #isPolling = false

  constructor(readServers: () => Promise<ServerReport[]>) {
    this.#readServers = readServers
  }

  /** Resolves when all servers have the entry, or the time is up. Never rejects: an unreadable list is `NaN` servers. */
  async of(
    { seq, epoch }: LogPosition,
    timeoutMs: number,
    onProgress?: (progress: KickOutProgress) => void,
  ): Promise<Reached> {
    return new Promise((resolve) => {
      const deadlineMs = performance.now() + timeoutMs
      this.#waiting.push({ seq, epoch, deadlineMs, onProgress, reported: '', resolve })
      if (!this.#isPolling) void this.#poll()
    })
  }

  async #poll(): Promise<void> {
    this.#isPolling = true
    for (let polls = 0; this.#waiting.length > 0; polls++) {
      const asked = new Set(this.#waiting)
      const reports = await this.#readServers().catch(() => undefined)
      const counted = reports?.filter(mayAccept)
      this.#waiting = this.#waiting.filter(
        (waiting) => !asked.has(waiting) || !settle(waiting, counted),
      )
      if (this.#waiting.some((waiting) => !asked.has(waiting))) polls = 0
      if (this.#waiting.length === 0) break
      // A longer list takes Redis longer to read, and all its servers longer to report.
      const pauseMs = polls < quickPolls ? 1 : Math.min(maxPollMs, 2 ** (polls - quickPolls))
      const listMs = (reports?.length ?? 0) / serversPerMs
      await new Promise((resolve) => setTimeout(resolve, pauseMs + listMs))
    }
    this.#isPolling = false
  }
}

function settle(waiting: Waiting, servers: readonly ServerReport[] | undefined): boolean {
  const isLate = performance.now() >= waiting.deadlineMs
  if (!servers) {
    if (isLate) waiting.resolve(unknown)
    return isLate
  }
  const hasIt = ({ seq, epoch }: ServerReport) => epoch === waiting.epoch && seq >= waiting.seq
  const idsOf = (some: readonly ServerReport[]) => some.map(({ serverId }) => serverId).sort()
  const confirmed = idsOf(servers.filter(hasIt))
  const unconfirmed = idsOf(servers.filter((server) => !hasIt(server)))
  reportProgress(waiting, { confirmed, unconfirmed })
  if (unconfirmed.length > 0 && !isLate) return false
  waiting.resolve({ servers: servers.length, confirmed: confirmed.length, unconfirmed })
  return true
}

/** Calls the listener where the progress changed. An error of the listener is dropped. */
function reportProgress(waiting: Waiting, progress: KickOutProgress): void {
  if (!waiting.onProgress) return
  const text = JSON.stringify(progress)
  if (text === waiting.reported) return
  waiting.reported = text
  try {
    waiting.onProgress(progress)
  } catch {
    // The kick-out is written already: an error of its listener must not make it look failed.
  }
}
