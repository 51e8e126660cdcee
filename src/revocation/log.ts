import type { Instant } from '../clock.ts'
import type { Revocation } from './revocation.ts'

/** One entry of the log as a reader gets it. */
export interface LogEntry {
  /** Where it stands in the log: the position to go on from. */
  readonly position: string
  /** Counts the entries of a partition without a gap. `undefined` for an entry that nobody of ours has written. */
  readonly seq: number | undefined
  readonly revocation: Revocation | undefined
  /** Whether its kick-out waits for servers to report it. */
  readonly isAwaited?: boolean
}

/** What the log says about itself. */
export interface LogHead {
  /** Names this life of the log. Another one means that its state was lost. Empty for a log that was never opened. */
  readonly epoch: string
  /** When that life began, or when lost entries were last written again; milliseconds by the log's clock. */
  readonly createdAt: number
  /** When lost entries were last written again, milliseconds by the log's clock; 0 for never. */
  readonly toldAt: number
  /** The log's clock, milliseconds. */
  readonly now: number
  /** The last entry's number; 0 for a log without entries. */
  readonly seq: number
  /** The number of the oldest entry that has to be there. */
  readonly first: number
  /** How many entries are there. */
  readonly length: number
  /** Where the newest entry stands; the position before every entry for a log without any. */
  readonly newest: string
}

/** One round trip to the log: its head, and then what is newer than the cursor. */
export interface LogRound {
  /** When the round was *sent*, which is what its answer proves something about. */
  readonly sentAt: Instant
  readonly head: LogHead
  readonly entries: readonly LogEntry[]
  /** How many entries were asked for: fewer mean that there are no more. */
  readonly limit: number
  /** Whether an entry that could not be read, see `PartitionState.junk`, is not there any more. */
  readonly isJunkGone?: boolean
  /** Whether the entries came from a replica, which may lag behind the head: that is always the primary's. */
  readonly isReplica?: boolean
}
