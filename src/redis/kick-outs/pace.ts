import type { Clock } from '../../clock.ts'

/** The least time between two reads of the head. While many entries arrive, the reads in between ask for entries alone. */
const minHeadMs = 20
/** The same while a kick-out waits for this server's report, which is sent with the head. */
const minAwaitedHeadMs = 2
/** From so many servers on, each waits longer for a new entry before it reads again. */
const fleetSize = 100
/** How many servers read the head in one millisecond, where entries keep coming: a larger fleet takes more time. */
const headsPerMs = 5
/** How many servers report an awaited entry in one millisecond. */
const reportsPerMs = 5
/** From so many servers on, each lets kick-outs gather for a moment while they keep coming, and reads them together. */
const gatheringFleetSize = 300
/** How many servers read gathered kick-outs in one millisecond: the moment is as long as the whole fleet takes. */
const readsPerMs = 10
const maxGatherMs = 200

export interface PaceSettings {
  /** How long a read waits for a new entry, milliseconds. */
  readonly blockMs: number
  /** The same in a large fleet, where some other server reads at any moment. */
  readonly fleetBlockMs: number
}

/**
 * How often one reader reads, and when it reports: the more servers there are, the less often. Redis' work would otherwise
 * grow with the number of servers times that of kick-outs.
 */
export class Pace {
  readonly #settings: PaceSettings
  readonly #clock: Clock
  #servers = 0
  #headAskedAtMs = Number.NEGATIVE_INFINITY
  /** Whether the last round brought entries, so that more may follow at once; and when entries were last read. */
  #isBusy = false
  #readAtMs = Number.NEGATIVE_INFINITY
  #isAwaited = false
  #reportDueAtMs = 0

  constructor(settings: PaceSettings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
  }

  /** Whether a kick-out that was read waits for this server's report. */
  get isAwaited(): boolean {
    return this.#isAwaited
  }

  noteServers(count: number | undefined): void {
    this.#servers = count ?? this.#servers
  }

  noteHeadAsked(atMs: number): void {
    this.#headAskedAtMs = atMs
  }

  noteRound(entries: number): void {
    this.#isBusy = entries > 0
    this.noteEntries(entries)
  }

  noteEntries(count: number): void {
    if (count > 0) this.#readAtMs = this.#clock.monotonic()
  }

  /** A kick-out waits for this server's report. `isRead`: it was just read, by all servers at once. */
  noteAwaited(isRead: boolean): void {
    if (this.#isAwaited) return
    this.#isAwaited = true
    const spreadMs = isRead ? (Math.random() * this.#servers) / reportsPerMs : 0
    this.#reportDueAtMs = this.#clock.monotonic() + spreadMs
  }

  noteReported(): void {
    this.#isAwaited = false
  }

  /**
   * How long kick-outs are left to gather before the next read, milliseconds. The first one after a calm time is read at
   * once, by a read that waits for it. While more keep coming, a large fleet reads them together.
   */
  gatherMs(): number {
    if (!this.#isBusy || this.#servers < gatheringFleetSize) return 0
    const gatherMs = Math.min(this.#servers / readsPerMs, maxGatherMs)
    return Math.max(0, this.#readAtMs + gatherMs - this.#clock.monotonic())
  }

  /** For how long entries alone may be read, milliseconds; 0: the head is due. */
  untilHeadMs(): number {
    if (!this.#isBusy) return 0
    const leastMs = this.#isAwaited ? minAwaitedHeadMs : minHeadMs
    const headDueAtMs = this.#headAskedAtMs + Math.max(leastMs, this.#servers / headsPerMs)
    const dueMs = Math.max(headDueAtMs, this.#reportDueAtMs) - this.#clock.monotonic()
    return dueMs >= 1 ? dueMs : 0
  }

  /**
   * How long a read waits for a new entry. One process has to notice a loss of state, and republish, before a server that
   * boots takes the log for empty (`epochSettleMs`). In a large fleet some server reads at any moment, so each may read less
   * often; a process that checks no tokens (`isServer` false) is none of them.
   */
  blockMs(isServer: boolean): number {
    const { blockMs, fleetBlockMs } = this.#settings
    return isServer && this.#servers >= fleetSize ? fleetBlockMs : blockMs
  }
}
