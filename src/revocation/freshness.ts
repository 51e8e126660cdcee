import type { Clock, Instant } from '../clock.ts'
import { ageMs } from '../clock.ts'
import type { RevocationsState } from '../events.ts'
import type { LogEntry, LogHead, LogRound } from './log.ts'

/**
 * When a copy of the log may be trusted: a pure state machine, one per partition. The loop that reads the store feeds it
 * and carries out its steps.
 *
 * The trade: a server that wrongly believes its copy to be complete lets kicked-out tokens in. A server that wrongly
 * doubts its copy reads the log once more, or answers 503 for a moment. So every doubt means reading the whole window again.
 *
 * | event     | in state          | and                                         | outcome                         |
 * | --------- | ----------------- | ------------------------------------------- | ------------------------------- |
 * | connected | never loaded      |                                             | load                            |
 * | connected | loaded            | same epoch, same primary, no number missing | follow from the cursor          |
 * | connected | loaded            | anything else                               | load (`epoch` `failover` `regressed`) |
 * | loaded    | any               | the window is whole                         | follow                          |
 * | loaded    | any               | entries are missing from it                 | begin a new epoch, load         |
 * | loaded    | any               | the same, read from a replica               | load again, after a pause       |
 * | round     | following         | nothing newer, every number accounted for   | proof: complete as of its sending |
 * | round     | following         | the same, but the epoch is young            | follow, no proof                |
 * | round     | following         | more to come                                | follow, no proof                |
 * | round     | following         | a replica lags behind the head              | follow, no proof                |
 * | round     | following         | epoch, number or window does not fit        | load (`epoch` `regressed` `sequence`), or begin a new epoch |
 * | round     | following         | the log was never opened                    | proof, once it was absent for as long as a young epoch is waited for |
 * | round     | following         | the same, but entries of it were read       | load (`epoch`)                  |
 * | entries   | following         | every number accounted for                  | follow, no proof                |
 * | entries   | following         | a number missing                            | load (`sequence`)               |
 * | round     | following         | an entry that cannot be read                | follow, no proof (`entry`)      |
 * | round     | following         | that entry is gone                          | load (`entry`)                  |
 *
 * The proof is the *send* time of a round, never the arrival of its answer: after a pause the kernel hands over old
 * answers, and by their arrival a stale copy would look fresh. A local timeout proves nothing.
 */
export interface PartitionState {
  /** Set by the first complete load and never taken back: from then on this process remembers. */
  readonly loaded: boolean
  readonly epoch: string | undefined
  /** Names the primary that the copy was loaded from, and its history. A failover changes it. */
  readonly replicationId: string | undefined
  /** The same of the connected primary. After an interrupted load the two differ, so that the next connection loads again. */
  readonly connectedTo: string | undefined
  /** Number of the last entry applied. */
  readonly seq: number
  /** Position of the last entry applied. */
  readonly cursor: string
  /** Position of an entry that cannot be read. No proof is made while the log holds one. */
  readonly unreadable: string | undefined
  readonly proof: Instant | undefined
  /** Since when the log has been seen absent and empty, without an interruption. */
  readonly absentSince: Instant | undefined
  /** When it was last seen so. */
  readonly absentAt: Instant | undefined
  /** Whether this process saw the log absent for long, and then opened. Such a log is new and has lost nothing. */
  readonly isOpenedInSight: boolean
}

/** Why the window is read again. */
export type GapCause =
  'first' | 'epoch' | 'failover' | 'regressed' | 'sequence' | 'window' | 'entry'

export type Step =
  | { readonly state: PartitionState; readonly then: 'follow'; readonly cause?: 'entry' }
  | { readonly state: PartitionState; readonly then: 'load-later'; readonly cause?: undefined }
  | {
      readonly state: PartitionState
      readonly then: 'load' | 'renew-epoch'
      readonly cause: GapCause
    }

/** The position before every entry. */
export const logStart = '0-0'

/**
 * An empty read is not accepted as proof for 800 ms after a log was opened or republished, or was first seen absent: other
 * servers may still be republishing. A server that remembers an earlier life of the log waits too: it does not know what
 * was written between its last read and the loss.
 */
export const epochSettleMs = 800

export const initialPartition: PartitionState = {
  loaded: false,
  epoch: undefined,
  replicationId: undefined,
  connectedTo: undefined,
  seq: 0,
  cursor: logStart,
  unreadable: undefined,
  proof: undefined,
  absentSince: undefined,
  absentAt: undefined,
  isOpenedInSight: false,
}

/** The epoch of a log that was never opened. */
export const absentEpoch = ''

function isLater(earlier: Instant, later: Instant, ms: number): boolean {
  const { monotonicMs, wallMs } = earlier
  return Math.max(later.monotonicMs - monotonicMs, later.wallMs - wallMs) > ms
}

/**
 * Whether the absence of the log was seen without a pause since then. Two reads that lie far apart prove nothing about the
 * time between them: while this process was paused, the log may have been opened and lost, and another server may still
 * be republishing what it read there.
 */
function isUnbroken({ absentAt }: PartitionState, sentAt: Instant): boolean {
  return absentAt !== undefined && !isLater(absentAt, sentAt, epochSettleMs)
}

function isLongAbsent(state: PartitionState, sentAt: Instant): boolean {
  const { absentSince } = state
  return (
    absentSince !== undefined &&
    isUnbroken(state, sentAt) &&
    sentAt.monotonicMs - absentSince.monotonicMs >= epochSettleMs
  )
}

const notAbsent = { absentSince: undefined, absentAt: undefined } as const

/** Notes how long the log has been absent, and whether it is opened now after that. */
function noteAbsence(state: PartitionState, head: LogHead, sentAt: Instant): PartitionState {
  if (head.epoch !== absentEpoch) {
    if (head.epoch === state.epoch) return { ...state, ...notAbsent }
    return { ...state, ...notAbsent, isOpenedInSight: isLongAbsent(state, sentAt) }
  }
  // Entries without a head are those of a log that was open a moment ago.
  if (head.length > 0) return { ...state, ...notAbsent, isOpenedInSight: false }
  const absentSince = isUnbroken(state, sentAt) ? (state.absentSince ?? sentAt) : sentAt
  return { ...state, absentSince, absentAt: sentAt, isOpenedInSight: false }
}

/** Whether every other server has had the time to republish lost entries. */
function isSettled(state: PartitionState, head: LogHead, sentAt: Instant): boolean {
  if (head.epoch === absentEpoch) return head.length === 0 && isLongAbsent(state, sentAt)
  if (state.isOpenedInSight && head.toldAt === 0) return true
  return head.now - head.createdAt >= epochSettleMs
}

function load(state: PartitionState, cause: GapCause): Step {
  return { state, then: 'load', cause }
}

/** Goes on reading. The first entry that cannot be read is a cause, reported once. */
function follow(next: PartitionState, previous: PartitionState): Step {
  const isNewlyUnreadable = next.unreadable !== undefined && previous.unreadable === undefined
  return { state: next, then: 'follow', ...(isNewlyUnreadable && { cause: 'entry' }) }
}

/** Whether the log lacks entries that it must have: another program trimmed it or deleted from it. */
function isWindowBroken(head: LogHead): boolean {
  return head.length < head.seq - head.first + 1
}

function doubtAbout(state: PartitionState, head: LogHead): GapCause | undefined {
  if (head.epoch !== state.epoch) return state.epoch === absentEpoch ? 'first' : 'epoch'
  return head.seq < state.seq ? 'regressed' : undefined
}

/** A connection to a primary was made. */
export function onConnected(state: PartitionState, head: LogHead, replicationId: string): Step {
  const connected = { ...state, connectedTo: replicationId }
  if (!state.loaded) return load(connected, 'first')
  if (replicationId !== state.replicationId) return load(connected, 'failover')
  const doubt = doubtAbout(state, head)
  return doubt ? load(connected, doubt) : { state: connected, then: 'follow' }
}

interface Numbers {
  readonly last: number | undefined
  readonly contiguous: boolean
  readonly unreadable: string | undefined
}

/** Checks that each number is one more than the last. An entry that cannot be read has no number. */
function readNumbers(entries: readonly LogEntry[], previous: number | undefined): Numbers {
  let last = previous
  let contiguous = true
  let unreadable: string | undefined
  for (const { seq, revocation, position } of entries) {
    if (seq === undefined || revocation === undefined) {
      unreadable = position
      continue
    }
    if (last !== undefined && seq !== last + 1) contiguous = false
    last = seq
  }
  return { last, contiguous, unreadable }
}

function advanced(
  state: PartitionState,
  numbers: Numbers,
  entries: readonly LogEntry[],
): PartitionState {
  return {
    ...state,
    seq: numbers.last ?? state.seq,
    cursor: entries.at(-1)?.position ?? state.cursor,
    unreadable: numbers.unreadable ?? state.unreadable,
  }
}

/** What the chunks of a load have brought so far. */
export interface LoadSummary {
  readonly first: number | undefined
  readonly last: number | undefined
  readonly contiguous: boolean
  readonly unreadable: string | undefined
  readonly cursor: string
}

export const emptyLoad: LoadSummary = {
  first: undefined,
  last: undefined,
  contiguous: true,
  unreadable: undefined,
  cursor: logStart,
}

/**
 * Adds one chunk of a load to what came before it.
 *
 * @param first - the number from which on no entry may be missing. Before it, entries are being trimmed
 */
export function addChunk(
  summary: LoadSummary,
  entries: readonly LogEntry[],
  first: number,
): LoadSummary {
  const counted = entries.filter(({ seq }) => seq === undefined || seq >= first)
  const numbers = readNumbers(counted, summary.last)
  return {
    first: summary.first ?? counted.find(({ seq }) => seq !== undefined)?.seq,
    last: numbers.last,
    contiguous: summary.contiguous && numbers.contiguous,
    unreadable: numbers.unreadable ?? summary.unreadable,
    cursor: entries.at(-1)?.position ?? summary.cursor,
  }
}

/**
 * The whole window was read.
 *
 * @param head - as it was *before* the first chunk
 * @param isReplica - whether the window was read from a replica: it may lag behind the head
 */
export function onLoaded(
  state: PartitionState,
  head: LogHead,
  summary: LoadSummary,
  isReplica = false,
): Step {
  const isEmpty = head.seq < head.first
  const isWhole = isEmpty || (summary.first === head.first && (summary.last ?? 0) >= head.seq)
  const next: PartitionState = {
    ...state,
    epoch: head.epoch,
    seq: summary.last ?? head.seq,
    cursor: summary.cursor,
    unreadable: summary.unreadable,
  }
  if (isReplica && !(summary.contiguous && isWhole) && !isWindowBroken(head))
    return { state, then: 'load-later' }
  if (!summary.contiguous) return { state: next, then: 'renew-epoch', cause: 'sequence' }
  if (!isWhole) return { state: next, then: 'renew-epoch', cause: 'window' }
  return follow({ ...next, loaded: true, replicationId: state.connectedTo }, state)
}

/** A round came back. The caller has applied its entries to the denylist already: applying a kick-out is never wrong. */
export function onRound(before: PartitionState, round: LogRound): Step {
  const { head, entries, limit, sentAt } = round
  const state = noteAbsence(before, head, sentAt)
  const doubt = doubtAbout(state, head)
  if (head.epoch === absentEpoch && state.epoch === absentEpoch) {
    // The log was opened, read and lost between two reads of its head. A load makes this process republish what it read.
    if (state.cursor !== logStart && head.length === 0) return load(state, 'epoch')
    // The head of the log was lost. The entries left in its stream are in force, and prove nothing.
    const next = advanced(state, readNumbers(entries, undefined), entries)
    return follow(isSettled(state, head, sentAt) ? { ...next, proof: sentAt } : next, state)
  }
  if (doubt) return load(state, doubt)
  if (isWindowBroken(head)) return { state, then: 'renew-epoch', cause: 'window' }
  if (round.isUnreadableGone) return load(state, 'entry')
  const numbers = readNumbers(entries, state.seq)
  if (!numbers.contiguous) return load(state, 'sequence')
  const next = advanced(state, numbers, entries)
  if (entries.length >= limit) return follow(next, state)
  if (head.seq > next.seq) return round.isReplica ? follow(next, state) : load(next, 'sequence')
  if (!isNewestKnown(state, round)) return load(next, 'regressed')
  if (next.unreadable !== undefined) return follow(next, state)
  return follow(isSettled(state, head, sentAt) ? { ...next, proof: sentAt } : next, state)
}

/** Entries came back without a head. They are in force, but do not prove that there are no others. */
export function onEntries(state: PartitionState, entries: readonly LogEntry[]): Step {
  const numbers = readNumbers(entries, state.seq)
  return numbers.contiguous
    ? follow(advanced(state, numbers, entries), state)
    : load(state, 'sequence')
}

/** Whether the log's newest entry is the one this copy ends with. After a failover its number may be another entry's. */
function isNewestKnown(state: PartitionState, { head, entries }: LogRound): boolean {
  return head.newest === state.cursor || entries.some(({ position }) => position === head.newest)
}

/** The oldest proof of all partitions, on each clock; `undefined` where a partition has none. */
export function oldestProof(partitions: readonly PartitionState[]): Instant | undefined {
  let oldest: Instant | undefined
  for (const { proof } of partitions) {
    if (!proof) return undefined
    oldest = {
      monotonicMs: Math.min(proof.monotonicMs, oldest?.monotonicMs ?? proof.monotonicMs),
      wallMs: Math.min(proof.wallMs, oldest?.wallMs ?? proof.wallMs),
    }
  }
  return oldest
}

/** Whether a proof is not older than `maxStalenessMs`, judged now and on both clocks. Each request asks this. */
export function isFresh(proof: Instant | undefined, maxStalenessMs: number, clock: Clock): boolean {
  return proof !== undefined && ageMs(proof, clock) <= maxStalenessMs
}

export interface Freshness {
  readonly state: Exclude<RevocationsState, 'closed'>
  readonly stalenessMs: number
}

/** How fresh the copy of all partitions is, judged now and on both clocks: as fresh as the stalest partition. */
export function freshnessOf(
  partitions: readonly PartitionState[],
  maxStalenessMs: number,
  clock: Clock,
): Freshness {
  const proof = oldestProof(partitions)
  if (!proof) return { state: 'starting', stalenessMs: Number.POSITIVE_INFINITY }
  const state = isFresh(proof, maxStalenessMs, clock) ? 'live' : 'stale'
  return { state, stalenessMs: ageMs(proof, clock) }
}
