import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { LogEntry, LogHead, LogRound } from '../../src/revocation/log.ts'
import {
  absentEpoch,
  addChunk,
  emptyLoad,
  epochSettleMs,
  freshnessOf,
  initialPartition,
  logStart,
  onConnected,
  onEntries,
  onLoaded,
  onRound,
  type PartitionState,
} from '../../src/revocation/freshness.ts'
import type { Revocation } from '../../src/revocation/revocation.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { createModel, steps } from './freshness-model.ts'

const limit = 5
const sentAt = { wallMs: 1_000_000, monotonicMs: 5_000 }
const revocation = { id: 'x' } as Revocation

/** Entries as numbers; 0 is one that cannot be read. Its position is as far on as its number. */
function entriesOf(...numbers: number[]): LogEntry[] {
  return numbers.map((seq, index) =>
    seq === 0
      ? { position: `0-${index + 1}`, seq: undefined, revocation: undefined }
      : { position: `${seq}-0`, seq, revocation },
  )
}

/** A log with entries 1 to `seq`, all there, an hour old. */
function headOf(seq: number, facts: Partial<LogHead> = {}): LogHead {
  return {
    epoch: 'e1',
    createdAt: 0,
    toldAt: 0,
    now: 3_600_000,
    seq,
    first: 1,
    length: seq,
    newest: seq === 0 ? logStart : `${seq}-0`,
    ...facts,
  }
}

/** A copy that holds entries 1 to `seq` and has proved it. */
function loadedTo(seq: number, facts: Partial<PartitionState> = {}): PartitionState {
  return {
    loaded: true,
    epoch: 'e1',
    replicationId: 'r1',
    connectedTo: 'r1',
    seq,
    cursor: seq === 0 ? logStart : `${seq}-0`,
    unreadable: undefined,
    proof: { wallMs: 1, monotonicMs: 1 },
    absentSince: undefined,
    absentAt: undefined,
    isOpenedInSight: false,
    ...facts,
  }
}

function round(head: LogHead, entries: LogEntry[] = [], facts: Partial<LogRound> = {}): LogRound {
  return { sentAt, head, entries, limit, ...facts }
}

describe('connected', () => {
  test('loads where nothing was ever loaded', () => {
    expect(onConnected(initialPartition, headOf(3), 'r1')).toEqual({
      state: { ...initialPartition, connectedTo: 'r1' },
      then: 'load',
      cause: 'first',
    })
  })

  test.each([3, 4, 300])(
    'follows from the cursor when it is the same primary at number %i',
    (seq) => {
      expect(onConnected(loadedTo(3), headOf(seq), 'r1')).toEqual({
        state: loadedTo(3),
        then: 'follow',
      })
    },
  )

  test.each([
    ['another epoch', headOf(3, { epoch: 'e2' }), 'r1', 'epoch'],
    ['S2 another primary, though every number fits', headOf(3), 'r2', 'failover'],
    ['S2 a log that lost its last entry', headOf(2), 'r1', 'regressed'],
    ['an empty log of the same epoch', headOf(0), 'r1', 'regressed'],
  ])('loads again after %s', (_case, head, replicationId, cause) => {
    const step = onConnected(loadedTo(3), head, replicationId)
    expect(step).toMatchObject({
      then: 'load',
      cause,
      state: { connectedTo: replicationId, seq: 3 },
    })
    expect(step.state.proof).toEqual(loadedTo(3).proof)
  })

  test('begins a load again that was cut off after a failover', () => {
    // The number fits by chance: the new primary has given it to another kick-out.
    const cutOff = onConnected(loadedTo(3), headOf(3), 'r2').state
    const again = onConnected(cutOff, headOf(3), 'r2')
    expect(again).toMatchObject({ then: 'load', cause: 'failover' })
    const loaded = onLoaded(again.state, headOf(3), addChunk(emptyLoad, entriesOf(1, 2, 3), 1))
    expect(onConnected(loaded.state, headOf(3), 'r2')).toMatchObject({ then: 'follow' })
  })
})

describe('loaded', () => {
  const load = (head: LogHead, ...chunks: LogEntry[][]) =>
    onLoaded(
      { ...initialPartition, connectedTo: 'r1' },
      head,
      chunks.reduce((summary, chunk) => addChunk(summary, chunk, head.first), emptyLoad),
    )

  test('follows when the window is whole, and proves nothing yet', () => {
    expect(load(headOf(3), entriesOf(1, 2), entriesOf(3))).toEqual({
      state: loadedTo(3, { proof: undefined }),
      then: 'follow',
    })
  })

  test('follows on an empty log', () => {
    expect(load(headOf(0))).toMatchObject({
      state: { seq: 0, cursor: logStart, loaded: true },
      then: 'follow',
    })
  })

  test('follows when entries came in while it read', () => {
    expect(load(headOf(2), entriesOf(1, 2, 3, 4))).toMatchObject({ state: { seq: 4 } })
  })

  test('follows when our own trimming has moved the first number', () => {
    const head = headOf(9, { first: 7, length: 3 })
    expect(load(head, entriesOf(7, 8, 9))).toMatchObject({ then: 'follow', state: { seq: 9 } })
  })

  test('minds no holes before the first number that has to be there', () => {
    const head = headOf(9, { first: 7, length: 5 })
    expect(load(head, entriesOf(2, 5, 7), entriesOf(8, 9))).toMatchObject({ then: 'follow' })
  })

  test.each([
    ['the oldest are gone (XTRIM MAXLEN)', headOf(5), [entriesOf(3, 4, 5)], 'window'],
    ['all are gone (DEL of the stream)', headOf(5), [[]], 'window'],
    ['the newest are gone', headOf(5), [entriesOf(1, 2, 3)], 'window'],
    ['one in the middle is gone', headOf(5), [entriesOf(1, 2, 4, 5)], 'sequence'],
    ['one between two chunks is gone', headOf(5), [entriesOf(1, 2), entriesOf(4, 5)], 'sequence'],
    ['one is there twice', headOf(3), [entriesOf(1, 2, 2, 3)], 'sequence'],
    ['the only one is gone', headOf(1), [[]], 'window'],
  ])('begins a new epoch when %s', (_case, head, chunks, cause) => {
    const step = load(head, ...chunks)
    expect(step).toMatchObject({ then: 'renew-epoch', cause, state: { loaded: false } })
  })

  test('D22 remembers where the entry stands that it could not read, and says so once', () => {
    const unreadable = { position: '2-5', seq: undefined, revocation: undefined }
    const entries = [...entriesOf(1, 2), unreadable, ...entriesOf(3)]
    expect(load(headOf(3, { length: 4 }), entries)).toMatchObject({
      then: 'follow',
      cause: 'entry',
      state: { unreadable: '2-5', seq: 3 },
    })
  })

  test('D22 finds the first number behind an entry that it could not read', () => {
    const entries = [...entriesOf(0), ...entriesOf(1, 2)]
    expect(load(headOf(2, { length: 3 }), entries)).toMatchObject({
      then: 'follow',
      state: { loaded: true, unreadable: '0-1', seq: 2 },
    })
  })
})

describe('entries without a head', () => {
  const proof = { wallMs: 1, monotonicMs: 2 }

  test('are followed and prove nothing: the last proof stays what it was', () => {
    expect(onEntries(loadedTo(3, { proof }), entriesOf(4, 5))).toEqual({
      state: loadedTo(5, { proof }),
      then: 'follow',
    })
    expect(onEntries(loadedTo(3, { proof }), [])).toEqual({
      state: loadedTo(3, { proof }),
      then: 'follow',
    })
  })

  test.each([
    ['the next number', [5]],
    ['a number in between', [4, 6]],
    ['everything that is known', [1]],
  ])('that lack %s make it read everything again', (_what, numbers) => {
    const state = loadedTo(3, { proof })
    expect(onEntries(state, entriesOf(...numbers))).toEqual({
      state,
      then: 'load',
      cause: 'sequence',
    })
  })

  test('that cannot be read are noted as such', () => {
    expect(onEntries(loadedTo(3), entriesOf(0))).toMatchObject({ then: 'follow', cause: 'entry' })
  })
})

describe('round', () => {
  test('S1 proves completeness as of its sending, whenever its answer arrives', () => {
    expect(onRound(loadedTo(3), round(headOf(3)))).toEqual({
      state: loadedTo(3, { proof: sentAt }),
      then: 'follow',
    })
  })

  test.each([1, limit - 1])('proves it with %i new entries, fewer than asked for', (count) => {
    const numbers = Array.from({ length: count }, (_, index) => 4 + index)
    const step = onRound(loadedTo(3), round(headOf(3 + count), entriesOf(...numbers)))
    expect(step.state).toEqual(loadedTo(3 + count, { proof: sentAt }))
  })

  test('proves it with entries that are newer than the head that was read before them', () => {
    const step = onRound(loadedTo(3), round(headOf(3), entriesOf(4)))
    expect(step.state).toEqual(loadedTo(4, { proof: sentAt }))
  })

  test('S13 takes as many entries as asked for as "more to come", which proves nothing', () => {
    const step = onRound(loadedTo(3), round(headOf(8), entriesOf(4, 5, 6, 7, 8)))
    expect(step).toEqual({ state: loadedTo(8), then: 'follow' })
  })

  test.each([
    ['S3 another epoch (FLUSHALL)', round(headOf(3, { epoch: 'e2' })), 'load', 'epoch'],
    ['S3 an emptied log of the same epoch', round(headOf(0)), 'load', 'regressed'],
    ['a number below the last one', round(headOf(2)), 'load', 'regressed'],
    ['a number that no entry came with', round(headOf(4)), 'load', 'sequence'],
    ['an entry left out', round(headOf(5), entriesOf(5)), 'load', 'sequence'],
    ['an entry that came twice', round(headOf(3), entriesOf(3)), 'load', 'sequence'],
    [
      'S2 the same number under another position',
      round(headOf(3, { newest: '2-9' })),
      'load',
      'regressed',
    ],
    [
      'S2 a new number under another position than the newest one',
      round(headOf(4, { newest: '9-9' }), entriesOf(4)),
      'load',
      'regressed',
    ],
    [
      'S6 fewer entries than there have to be (XTRIM)',
      round(headOf(3, { length: 2 })),
      'renew-epoch',
      'window',
    ],
  ])('does not prove anything upon %s', (_case, given, then, cause) => {
    const step = onRound(loadedTo(3), given)
    expect(step).toMatchObject({ then, cause })
    expect(step.state.proof).toEqual(loadedTo(3).proof)
  })

  test('D22 follows without a proof while an entry cannot be read, and says so once', () => {
    const [unreadable] = entriesOf(0)
    const first = onRound(
      loadedTo(3),
      round(headOf(3, { length: 4, newest: '0-1' }), [unreadable!]),
    )
    expect(first).toMatchObject({
      then: 'follow',
      cause: 'entry',
      state: { unreadable: '0-1', seq: 3 },
    })
    expect(first.state.proof).toEqual(loadedTo(3).proof)
    const second = onRound(first.state, round(headOf(3, { length: 4, newest: '0-1' })))
    expect(second).toEqual({ state: first.state, then: 'follow' })
  })

  test('D22 takes an entry with half of what it needs for one that cannot be read', () => {
    const withoutContent = { position: '4-0', seq: 4, revocation: undefined }
    expect(onRound(loadedTo(3), round(headOf(4), [withoutContent]))).toMatchObject({
      then: 'load',
      cause: 'sequence',
      state: { seq: 3, unreadable: '4-0', proof: loadedTo(3).proof },
    })
    const withoutNumber = { position: '3-1', seq: undefined, revocation }
    const head = headOf(3, { length: 4, newest: '3-1' })
    expect(onRound(loadedTo(3), round(head, [withoutNumber]))).toMatchObject({
      then: 'follow',
      cause: 'entry',
      state: { seq: 3, unreadable: '3-1', proof: loadedTo(3).proof },
    })
  })

  test('D22 loads again when that entry is gone', () => {
    const state = loadedTo(3, { unreadable: '0-1' })
    const given = round(headOf(3), [], { isUnreadableGone: true })
    expect(onRound(state, given)).toEqual({ state, then: 'load', cause: 'entry' })
  })

  test.each([
    [epochSettleMs - 1, false],
    [epochSettleMs, true],
  ])(
    'of an epoch that is %i ms old proves something: %s, also to one that remembers the last',
    (age, isProof) => {
      const head = headOf(3, { createdAt: 3_600_000 - age })
      for (const proof of [undefined, loadedTo(3).proof]) {
        const { state } = onRound(loadedTo(3, { proof }), round(head))
        expect(state.proof).toEqual(isProof ? sentAt : proof)
      }
    },
  )
})

describe('a log that was never opened', () => {
  const at = (ms: number) => ({ wallMs: 1_000_000 + ms, monotonicMs: 5_000 + ms })
  const nothing = headOf(0, { epoch: absentEpoch, createdAt: 0 })
  const unopened = loadedTo(0, { epoch: absentEpoch, proof: undefined })

  /** Looks at it at each of these moments, and says whether the last look proved something. */
  function look(moments: readonly number[], head = nothing, state = unopened) {
    return moments.reduce(
      (before, ms) => onRound(before, round(head, [], { sentAt: at(ms) })).state,
      state,
    )
  }

  test('is proved empty when it was looked at for 800 ms', () => {
    expect(look([0, 400, 799]).proof).toBeUndefined()
    expect(look([0, 400, 800]).proof).toEqual(at(800))
  })

  test('counts as absent again where it was not read for long: it may have been opened and lost meanwhile', () => {
    const before = look([0, 400, 800])
    const woken = look([60_000], nothing, before)
    expect(woken.proof).toEqual(at(800))
    expect(look([60_000, 60_400, 60_799], nothing, before).proof).toEqual(at(800))
    expect(look([60_000, 60_400, 60_800], nothing, before).proof).toEqual(at(60_800))
  })

  test('and a machine that slept has not looked, whatever the monotonic clock says', () => {
    const asleep = { wallMs: 1_060_800, monotonicMs: 5_900 }
    const { state } = onRound(look([0, 400, 800]), round(nothing, [], { sentAt: asleep }))
    expect(state.proof).toEqual(at(800))
  })

  test('is opened in sight, and proved at once, only where it was looked at until then', () => {
    const opened = headOf(0, { createdAt: 3_600_000 })
    const proofAfter = (ms: number) => {
      const seen = onRound(look([0, 400, 800]), round(opened, [], { sentAt: at(ms) }))
      expect(seen).toMatchObject({ then: 'load', cause: 'first' })
      const loaded = onLoaded(seen.state, opened, emptyLoad)
      return onRound(loaded.state, round(opened, [], { sentAt: at(ms + 25) })).state.proof
    }
    expect(proofAfter(1200)).toEqual(at(1225))
    expect(proofAfter(60_000)).toEqual(at(800))
  })

  test('was open a moment ago where entries are left in it', () => {
    const left = { ...nothing, length: 1, newest: '1-0' }
    const after = look([1200], left, look([0, 400, 800]))
    expect(look([1600], nothing, after).proof).toEqual(at(800))
  })

  test('was opened, read and lost between two looks at its head: everything is read, and written, again', () => {
    const read = round(nothing, entriesOf(1), { sentAt: at(0) })
    const { state } = onRound(unopened, read)
    expect(state).toMatchObject({ seq: 1, cursor: '1-0' })
    const step = onRound(state, round(nothing, [], { sentAt: at(400) }))
    expect(step).toMatchObject({ then: 'load', cause: 'epoch' })
    expect(onLoaded(step.state, nothing, emptyLoad)).toMatchObject({
      then: 'follow',
      state: { cursor: logStart },
    })
  })
})

describe('freshness', () => {
  const maxStalenessMs = 5_000

  test('is judged at the moment of the question, to the millisecond', () => {
    const clock = new FakeClock()
    const proof = { wallMs: clock.now(), monotonicMs: clock.monotonic() }
    const partitions = [loadedTo(0, { proof })]
    clock.advance(maxStalenessMs)
    expect(freshnessOf(partitions, maxStalenessMs, clock)).toEqual({
      state: 'live',
      stalenessMs: maxStalenessMs,
    })
    clock.advance(1)
    expect(freshnessOf(partitions, maxStalenessMs, clock).state).toBe('stale')
  })

  test('G07 is gone when either clock says so', () => {
    const slept = new FakeClock()
    const proof = { wallMs: slept.now(), monotonicMs: slept.monotonic() }
    slept.setAhead(maxStalenessMs + 1)
    expect(freshnessOf([loadedTo(0, { proof })], maxStalenessMs, slept).state).toBe('stale')

    const setBack = new FakeClock()
    const earlier = { wallMs: setBack.now(), monotonicMs: setBack.monotonic() }
    setBack.advance(maxStalenessMs + 1)
    setBack.setBack(3_600_000)
    expect(freshnessOf([loadedTo(0, { proof: earlier })], maxStalenessMs, setBack).state).toBe(
      'stale',
    )
  })

  test('is that of the stalest partition, and starts when the last one is proved', () => {
    const clock = new FakeClock()
    const old = { wallMs: clock.now(), monotonicMs: clock.monotonic() }
    clock.advance(100)
    const young = { wallMs: clock.now(), monotonicMs: clock.monotonic() }
    const both = [loadedTo(0, { proof: young }), loadedTo(0, { proof: old })]
    expect(freshnessOf(both, maxStalenessMs, clock).stalenessMs).toBe(100)
    const one = [loadedTo(0, { proof: young }), initialPartition]
    expect(freshnessOf(one, maxStalenessMs, clock).state).toBe('starting')
  })
})

/** `npm run mutation` has this run against every mutant, and asks for fewer. */
const sequences = Number(process.env['MODEL_SEQUENCES'] ?? 20_000)

test('Q28 is never fresh while a kick-out acknowledged longer ago than the limit is not applied', () => {
  let decisions = 0
  fc.assert(
    fc.property(fc.array(steps, { minLength: 5, maxLength: 60 }), (sequence) => {
      const model = createModel()
      for (const step of sequence) {
        model.run(step)
        const { isFresh, overdue } = model.decide()
        decisions++
        // Overdue: acknowledged longer ago than the limit, kept by Redis or by another server, and not known here.
        if (isFresh && overdue.length > 0) {
          throw new Error(`fresh without ${overdue.join(', ')}:\n${model.story().join('\n')}`)
        }
      }
      model.heal()
      if (!model.decide().isFresh) {
        throw new Error(`never live again:\n${model.story().join('\n')}`)
      }
    }),
    { numRuns: sequences },
  )
  expect(decisions).toBeGreaterThan(sequences * 5)
}, 60_000)

describe('entries read from a replica', () => {
  const head = headOf(5)

  test('a lag is no proof, and no reason to read everything again', () => {
    const state = loadedTo(3)
    const lagging = onRound(state, { sentAt, head, entries: [], limit, isReplica: true })
    expect(lagging).toEqual({ state, then: 'follow' })
    const caughtUp = onRound(state, { sentAt, head, entries: entriesOf(4, 5), limit, isReplica: true }) // prettier-ignore
    expect(caughtUp).toMatchObject({ then: 'follow', state: { seq: 5, proof: sentAt } })
  })

  test('a number missing between two entries is a reason', () => {
    const round = { sentAt, head, entries: entriesOf(5), limit, isReplica: true }
    expect(onRound(loadedTo(3), round)).toMatchObject({ then: 'load', cause: 'sequence' })
  })

  test('a window that the replica does not have yet is read again; only the head can say that it is broken', () => {
    const window = addChunk(emptyLoad, entriesOf(1, 2, 3), 1)
    expect(onLoaded(initialPartition, head, window, true)).toEqual({
      state: initialPartition,
      then: 'load-later',
    })
    const broken = headOf(5, { length: 3 })
    expect(onLoaded(initialPartition, broken, window, true)).toMatchObject({ then: 'renew-epoch' })
    const whole = addChunk(window, entriesOf(4, 5), 1)
    expect(onLoaded(initialPartition, head, whole, true)).toMatchObject({ then: 'follow' })
  })

  test('the newest entry of the head has to be the one that was read', () => {
    const other = headOf(5, { newest: '5-7' })
    const round = { sentAt, head: other, entries: [], limit, isReplica: true }
    expect(onRound(loadedTo(5), round)).toMatchObject({ then: 'load', cause: 'regressed' })
  })
})
