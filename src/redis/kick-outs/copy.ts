import type { Clock, Instant } from '../../clock.ts'
import type { RevocationsState } from '../../events.ts'
import {
  type Freshness,
  freshnessOf,
  type GapCause,
  initialPartition,
  isFresh,
  oldestProof,
  type PartitionState,
} from '../../revocation/freshness.ts'
import { newServerId } from '../../revocation/server-id.ts'
import type { Revocation } from '../../revocation/revocation.ts'
import type { CommandConnection } from '../client/connection.ts'
import type { HeartbeatReply } from '../scripts/heartbeat.ts'
import { Reader, type ReaderSettings } from './follow.ts'
import type { RevocationLog } from './publish.ts'

/** How long a read waits for a new entry, at most. A tenth of `maxStalenessMs` leaves time for several reads. */
const maxBlockMs = 400
const maxFleetBlockMs = 1000
const minBlockMs = 50

export interface LogCopyDeps {
  readonly connection: CommandConnection
  readonly log: RevocationLog
  readonly readFrom: 'primary' | 'replica'
  /** The service that this process belongs to. */
  readonly name: string | undefined
  readonly clock: Clock
  /** Whether this process checks tokens, so that kick-outs have to wait for it. */
  readonly isServer: () => boolean
  /** How the copy of all partitions is doing, for the heartbeat. */
  readonly report: () => { state: RevocationsState; stalenessMs: number }
  readonly apply: (revocation: Revocation, remainingMs: number, isConfirmed: boolean) => void
  readonly onState: (partition: number, state: PartitionState) => void
  readonly onHead: (partition: number, head: HeartbeatReply) => void
  readonly onGap: (partition: number, cause: GapCause) => void
  /** A partition was read as a whole; `sinceMs` (monotonic) is when that began. */
  readonly onLoaded: (partition: number, sinceMs: number) => void
  readonly onFailure: (error: unknown) => void
}

/** This process's copy of the log: a reader for each partition, and the proof that all partitions are complete. */
export class LogCopy {
  readonly serverId: string
  readonly #deps: LogCopyDeps
  readonly #maxStalenessMs: number
  readonly #partitions: PartitionState[]
  #readers: Reader[] = []
  /** The oldest proof of all partitions, which each request compares with. */
  #proof: Instant | undefined

  constructor(maxStalenessMs: number, deps: LogCopyDeps) {
    this.serverId = newServerId(deps.name)
    this.#deps = deps
    this.#maxStalenessMs = maxStalenessMs
    const { partitions } = deps.log.settings
    this.#partitions = Array.from({ length: partitions }, () => initialPartition)
  }

  /** Whether the copy of all partitions is proved fresh, now. */
  isFresh(): boolean {
    return isFresh(this.#proof, this.#maxStalenessMs, this.#deps.clock)
  }

  /** The same for some partitions only. */
  isFreshIn(partitions: readonly number[]): boolean {
    const states = partitions.map((partition) => this.#partitions[partition] ?? initialPartition)
    return freshnessOf(states, this.#maxStalenessMs, this.#deps.clock).state === 'live'
  }

  freshness(): Freshness {
    return freshnessOf(this.#partitions, this.#maxStalenessMs, this.#deps.clock)
  }

  /** Safe to repeat. */
  start(): void {
    if (this.#readers.length > 0) return
    const share = (part: number, maxMs: number): number =>
      Math.max(minBlockMs, Math.min(maxMs, Math.floor(this.#maxStalenessMs / part)))
    const blocks = { blockMs: share(10, maxBlockMs), fleetBlockMs: share(5, maxFleetBlockMs) }
    this.#readers = this.#partitions.map((_, partition) => this.#createReader(partition, blocks))
    for (const reader of this.#readers) void reader.run()
  }

  async close(): Promise<void> {
    await Promise.all(this.#readers.map(async (reader) => reader.close()))
  }

  #createReader(
    partition: number,
    blocks: Pick<ReaderSettings, 'blockMs' | 'fleetBlockMs'>,
  ): Reader {
    const { onState, onHead, onGap, onLoaded, readFrom, ...deps } = this.#deps
    let loadingSinceMs = 0
    return new Reader(
      {
        partition,
        serverId: this.serverId,
        maxStalenessMs: this.#maxStalenessMs,
        readFrom,
        ...blocks,
      },
      {
        ...deps,
        onState: (state) => {
          this.#note(partition, state)
          onState(partition, state)
        },
        onHead: (head) => onHead(partition, head),
        onGap: (cause) => onGap(partition, cause),
        onLoading: () => {
          loadingSinceMs = deps.clock.monotonic()
        },
        onLoaded: () => onLoaded(partition, loadingSinceMs),
      },
    )
  }

  #note(partition: number, state: PartitionState): void {
    this.#partitions[partition] = state
    this.#proof = oldestProof(this.#partitions)
  }
}
