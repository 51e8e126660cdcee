import type { Instant } from '../clock.ts'
import type { Revocation } from './revocation.ts'

/** One entry of the log as a reader gets it. */
export interface LogEntry {
  /** Where it stands in the log: the position to go on from. */
  readonly position: string
  /** Counts the entries of a partition without a gap. `undefined` for an entry that another program has written. */
  readonly seq: number | undefined
  readonly revocation: Revocation | undefined
  /** Whether its kick-out waits for servers to report it. */
  readonly isAwaited?: boolean
}

/** What the log says about itself. */
export interface LogHead {
  /** Changes when the log loses its state. Empty for a log that was never opened. */
  readonly epoch: string
  /** When the epoch began, or when lost entries were last republished; milliseconds by the log's clock. */
  readonly createdAt: number
  /** When lost entries were last republished, milliseconds by the log's clock; 0 for never. */
  readonly toldAt: number
  /** The log's clock, milliseconds. */
  readonly now: number
  /** The last entry's number; 0 for a log without entries. */
  readonly seq: number
  /** The number of the oldest entry that the log must hold. */
  readonly first: number
  /** How many entries the log holds. */
  readonly length: number
  /** The position of the newest entry; that before every entry where there is none. */
  readonly newest: string
}

/** One round trip to the log: its head, and then what is newer than the cursor. */
export interface LogRound {
  /** When the round was *sent*: the answer proves something about that moment. */
  readonly sentAt: Instant
  readonly head: LogHead
  readonly entries: readonly LogEntry[]
  /** How many entries were asked for. Fewer in the answer mean that there are no more. */
  readonly limit: number
  /** Whether the log no longer holds the entry at `PartitionState.unreadable`. */
  readonly isUnreadableGone?: boolean
  /** Whether the entries came from a replica, which may lag behind the head. The head is always the primary's. */
  readonly isReplica?: boolean
}
