import fc from 'fast-check'
import type { LogEntry, LogHead } from '../../src/revocation/log.ts'
import {
  addChunk,
  emptyLoad,
  freshnessOf,
  initialPartition,
  logStart,
  onConnected,
  onEntries,
  onLoaded,
  onRound,
  type PartitionState,
  type Step,
} from '../../src/revocation/freshness.ts'
import type { Revocation } from '../../src/revocation/revocation.ts'
import { FakeClock } from '../support/fake-clock.ts'

/*
 * A world around the state machine: a log as Redis keeps it, with its faults; a reader that asks and gets answers with time
 * in between, in the order in which `redis/reader.ts` does it; and the other servers, which remember every kick-out and
 * write again what the log lost. Time passes at a word, so every interleaving can be had.
 */

const chunk = 3
const maxStalenessMs = 5_000
/** When the other servers have noticed a fault of the log, and when they have written again what it lost. */
const noticedAfterMs = 400
const toldAgainAfterMs = 600

interface KickOut {
  readonly name: string
  /** When it was acknowledged, or written again after the only copy of it was lost with a failover. */
  acknowledgedAtMs: number
  /** Redis acknowledged it and lost it without a trace: no server can know of it until it was written again. */
  excused: boolean
}

interface StoredEntry {
  readonly id: number
  readonly seq: number | undefined
  readonly kickOut: KickOut | undefined
}

interface Log {
  epoch: string
  createdAtMs: number
  seq: number
  first: number
  entries: StoredEntry[]
  replicationId: string
  /** How far the server's clock is behind. */
  behindMs: number
  lastId: number
}

export type ModelStep =
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'jump'; readonly ms: number }
  | { readonly do: 'io'; readonly times: number }
  | {
      readonly do:
        'kick-out' | 'unreadable' | 'remove-unreadable' | 'reconnect' | 'flush' | 'lose-meta'
    }
  | { readonly do: 'trim' | 'expire' | 'failover'; readonly count: number }

export const steps: fc.Arbitrary<ModelStep> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('io' as const), times: fc.nat(9) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.oneof(fc.nat(100), fc.nat(900), fc.nat(12_000)),
    }),
  },
  { weight: 5, arbitrary: fc.constant({ do: 'kick-out' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('jump' as const),
      ms: fc.integer({ min: -9e6, max: 9e6 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('trim' as const, 'expire' as const, 'failover' as const),
      count: fc.nat(4),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'reconnect' as const,
        'flush' as const,
        'lose-meta' as const,
        'unreadable' as const,
        'remove-unreadable' as const,
      ),
    }),
  },
)

export interface Model {
  run(step: ModelStep): void
  /** What a request would meet at this moment. */
  decide(): { readonly isFresh: boolean; readonly overdue: string[] }
  /** Ends all faults and lets things settle. */
  heal(): void
  story(): string[]
}

export function createModel(): Model {
  const clock = new FakeClock()
  const kickOuts: KickOut[] = []
  const applied = new Set<KickOut>()
  const told: string[] = []
  const agenda: { atMs: number; act: () => void }[] = []
  let made = 0
  let state: PartitionState = initialPartition
  /** Whether the last round brought something. */
  let hasBrought = false
  const isBusy = (): boolean => hasBrought
  let log: Log = {
    epoch: 'epoch-0',
    createdAtMs: 0,
    seq: 0,
    first: 1,
    entries: [],
    replicationId: 'server-0',
    behindMs: 0,
    lastId: 0,
  }
  let reading = read()

  const nowMs = () => clock.monotonic()
  const serverNowMs = () => nowMs() - log.behindMs
  const newestId = () => log.entries.at(-1)?.id

  function append(seq: number | undefined, kickOut: KickOut | undefined): void {
    log.lastId = Math.max(log.lastId + 1, serverNowMs())
    log.entries.push({ id: log.lastId, seq, kickOut })
  }

  function publish(kickOut: KickOut): void {
    log.seq++
    append(log.seq, kickOut)
  }

  function beginEpoch(seq: number): void {
    log = { ...log, epoch: `epoch-${++made}`, createdAtMs: serverNowMs(), seq, first: seq + 1 }
    agenda.push({ atMs: nowMs() + toldAgainAfterMs, act: tellAgain })
  }

  /** What the other servers do when they have read a log that is not what they remember. */
  function tellAgain(): void {
    for (const kickOut of kickOuts) {
      const isThere = log.entries.some(
        (entry) => entry.kickOut === kickOut && (entry.seq ?? 0) >= log.first,
      )
      if (isThere) continue
      publish(kickOut)
      log.createdAtMs = serverNowMs()
      if (kickOut.excused) kickOut.acknowledgedAtMs = nowMs()
      kickOut.excused = false
    }
  }

  function isWindowBroken(): boolean {
    return log.entries.length < log.seq - log.first + 1
  }

  function renewEpoch(brokenEpoch: string | undefined, holeSeen: boolean): void {
    if (log.epoch !== brokenEpoch) return
    if (holeSeen || isWindowBroken()) beginEpoch(log.seq)
  }

  function headNow(): LogHead {
    const newest = newestId()
    log.createdAtMs = Math.min(log.createdAtMs, serverNowMs())
    return {
      epoch: log.epoch,
      createdAt: log.createdAtMs,
      toldAt: 0,
      now: serverNowMs(),
      seq: log.seq,
      first: log.first,
      length: log.entries.length,
      newest: newest === undefined ? logStart : `${newest}-0`,
    }
  }

  function entriesAfter(cursor: string): LogEntry[] {
    const after = cursor === logStart ? -1 : Number.parseInt(cursor, 10)
    const found = log.entries.filter(({ id }) => id > after).slice(0, chunk)
    return found.map(({ id, seq, kickOut }) => ({
      position: `${id}-0`,
      seq,
      revocation: kickOut as unknown as Revocation | undefined,
    }))
  }

  function apply(entries: readonly LogEntry[]): void {
    for (const { revocation } of entries) {
      if (revocation) applied.add(revocation as unknown as KickOut)
    }
  }

  /** Sends, has it answered a while later, and hears of it a while after that. */
  function* ask<Reply>(question: () => Reply): Generator<void, Reply> {
    yield
    const reply = question()
    yield
    return reply
  }

  function* read(): Generator<void, never> {
    const { head, replicationId } = yield* ask(() => ({
      head: headNow(),
      replicationId: log.replicationId,
    }))
    let step: Step = onConnected(state, head, replicationId)
    hasBrought = false
    for (;;) {
      state = step.state
      if (step.then === 'follow') {
        step = yield* isBusy() ? readOn() : round()
        continue
      }
      if (step.then === 'renew-epoch') {
        const { cause } = step
        yield* ask(() => renewEpoch(state.epoch, cause === 'sequence'))
      }
      step = yield* load()
    }
  }

  function* load(): Generator<void, Step> {
    const head = yield* ask(headNow)
    let summary = emptyLoad
    for (;;) {
      const { cursor } = summary
      const entries = yield* ask(() => entriesAfter(cursor))
      apply(entries)
      summary = addChunk(summary, entries, head.first)
      if (entries.length < chunk) return onLoaded(state, head, summary)
    }
  }

  function* round(): Generator<void, Step> {
    const sentAt = { wallMs: clock.now(), monotonicMs: clock.monotonic() }
    const { cursor, unreadable } = state
    yield
    const head = headNow()
    const isUnreadable = ({ id, seq }: StoredEntry) => `${id}-0` === unreadable && seq === undefined
    const isUnreadableGone = unreadable !== undefined && !log.entries.some(isUnreadable)
    yield
    const entries = entriesAfter(cursor)
    yield
    apply(entries)
    hasBrought = entries.length > 0 && unreadable === undefined
    return onRound(state, { sentAt, head, entries, limit: chunk, isUnreadableGone })
  }

  /** After a round that brought something: entries alone, once. */
  function* readOn(): Generator<void, Step> {
    hasBrought = false
    const { cursor } = state
    const entries = yield* ask(() => entriesAfter(cursor))
    apply(entries)
    return onEntries(state, entries)
  }

  function pass(ms: number): void {
    const untilMs = nowMs() + ms
    for (;;) {
      agenda.sort((a, b) => a.atMs - b.atMs)
      const due = agenda[0]
      if (!due || due.atMs > untilMs) break
      agenda.shift()
      clock.advance(Math.max(0, due.atMs - nowMs()))
      due.act()
    }
    clock.advance(untilMs - nowMs())
  }

  function kickOut(): void {
    const made: KickOut = {
      name: `kick-out ${kickOuts.length}`,
      acknowledgedAtMs: nowMs(),
      excused: false,
    }
    kickOuts.push(made)
    publish(made)
  }

  function removeUnreadable(): void {
    log.entries = log.entries.filter(({ seq }) => seq !== undefined)
  }

  /** Another server takes over that had not got the newest entries, and whose clock is behind. */
  function failOver(lost: number): void {
    const gone = log.entries.splice(log.entries.length - Math.min(lost, log.entries.length))
    const firstLost = gone.find(({ seq }) => seq !== undefined)?.seq
    log = {
      ...log,
      seq: firstLost === undefined ? log.seq : firstLost - 1,
      // What this server knows of a later epoch, or of numbers that it never gave, it cannot have.
      first: Math.min(log.first, firstLost ?? log.first),
      lastId: newestId() ?? 0,
      behindMs: log.behindMs + lost * 7_000,
      replicationId: `server-${++made}`,
    }
    for (const { kickOut: lostOne } of gone) if (lostOne) lostOne.excused = true
    // No server has to hold a copy from before the first number that has to be there, so it keeps nothing.
    for (const { kickOut: kept, seq } of log.entries) {
      if (kept && (seq ?? 0) >= log.first) kept.excused = false
    }
    agenda.push({ atMs: nowMs() + toldAgainAfterMs, act: tellAgain })
    reading = read()
  }

  function act(step: ModelStep): void {
    switch (step.do) {
      case 'pass': {
        pass(step.ms)
        return
      }
      case 'jump': {
        clock.setAhead(step.ms)
        return
      }
      case 'io':
        for (let times = 0; times < step.times; times++) reading.next()
        return
      case 'kick-out': {
        kickOut()
        return
      }
      case 'reconnect':
        reading = read()
        return
      case 'unreadable': {
        append(undefined, undefined)
        return
      }
      case 'remove-unreadable': {
        removeUnreadable()
        return
      }
      case 'flush':
        log = { ...log, entries: [], lastId: 0 }
        {
          beginEpoch(0)
          return
        }
      case 'lose-meta': {
        beginEpoch(Math.max(0, ...log.entries.map(({ seq }) => seq ?? 0)))
        return
      }
      case 'trim': {
        log.entries.splice(0, step.count)
        agenda.push({
          atMs: nowMs() + noticedAfterMs,
          act: () => renewEpoch(log.epoch, false),
        })
        return
      }
      case 'expire': {
        expire(step.count)
        return
      }
      case 'failover': {
        failOver(step.count)
        return
      }
    }
  }

  /** What the log trims by itself, since it is past its retention, moves the first number that has to be there. */
  function expire(count: number): void {
    const oldest = log.entries[0]?.seq
    const isOurs = log.entries.slice(0, count + 1).every(({ seq }) => seq !== undefined)
    if (!isOurs || oldest === undefined || oldest > log.first) return
    const gone = log.entries.splice(0, Math.min(count, log.entries.length - 1))
    log.first = Math.max(log.first, log.entries[0]?.seq ?? 0)
    for (const { kickOut: expired } of gone) {
      const isElsewhere = log.entries.some((entry) => entry.kickOut === expired)
      if (expired && !isElsewhere) kickOuts.splice(kickOuts.indexOf(expired), 1)
    }
  }

  return {
    run(step) {
      act(step)
      told.push(`${Math.round(nowMs())} ${JSON.stringify(step)} ${JSON.stringify(state)}`)
    },
    decide() {
      const { state: freshness } = freshnessOf([state], maxStalenessMs, clock)
      const overdue = kickOuts.filter(
        (candidate) =>
          !candidate.excused &&
          nowMs() - candidate.acknowledgedAtMs > maxStalenessMs &&
          !applied.has(candidate),
      )
      return { isFresh: freshness === 'live', overdue: overdue.map(({ name }) => name) }
    },
    heal() {
      removeUnreadable()
      reading = read()
      pass(60_000)
      for (let turn = 0; turn < 30; turn++) {
        pass(100)
        for (let times = 0; times < 12; times++) reading.next()
      }
    },
    story: () => told,
  }
}
