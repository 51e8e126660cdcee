import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInThisContext } from 'node:vm'
import { expect, test } from '@jest/globals'
import {
  absentEpoch,
  initialPartition,
  logStart,
  onConnected,
  onEntries,
  onLoaded,
  onRound,
  type PartitionState,
  type Step,
} from '../../src/revocation/freshness.ts'
import type { LogEntry, LogHead } from '../../src/revocation/log.ts'
import type { Revocation } from '../../src/revocation/revocation.ts'

/*
 * The model that `npm run model` checks decides by the lines of freshness.pml. They are read here, and what they say is
 * compared with what the code says, for every combination of small numbers. So neither can change without the other.
 */

const limit = 2
const nowMs = 3_600_000
const sentAt = { wallMs: 50_000, monotonicMs: 50_000 }

type Facts = Readonly<Record<string, number>>

/** What a model's line says: its names are defines or facts, and `a -> b : c` is the choice that both languages have. */
function readModel(): (name: string, facts: Facts) => number {
  const text = readFileSync(join(import.meta.dirname, 'freshness.pml'), 'utf8').replace(
    /#ifdef PLANT_[^#]*#define[^#]*#else/g,
    '',
  )
  const defines = [...text.matchAll(/^#define (\w+) (.+?)(?:\s*\/\*.*\*\/)?$/gm)].map(
    ([, name, body]) => [name!, body!.replaceAll('->', '?')] as const,
  )
  const names = new Set(defines.map(([name]) => name))
  const toScript = (body: string): string =>
    body.replace(/[A-Za-z_]\w*/g, (word) => (names.has(word) ? `${word}()` : `facts.${word}`))
  const lines = defines.map(([name, body]) => `const ${name} = () => Number(${toScript(body)})`)
  const script = [
    '(() => { let facts',
    ...lines,
    `return [{ ${[...names].join(', ')} }, (given) => { facts = given }] })()`,
  ].join('\n')
  const [questions, assume] = runInThisContext(script) as [
    Record<string, () => number>,
    (facts: Facts) => void,
  ]
  return (name, facts) => {
    assume({ ...facts, LIMIT: limit })
    const value = questions[name]?.()
    if (value === undefined || Number.isNaN(value)) throw new Error(`${name} lacks a fact`)
    return value
  }
}

const ask = readModel()

const outcomes = [
  'FOLLOW',
  'PROOF',
  'LOAD_FIRST',
  'LOAD_EPOCH',
  'LOAD_FAILOVER',
  'LOAD_REGRESSED',
  'LOAD_SEQUENCE',
  'LOAD_ENTRY',
  'RENEW_SEQUENCE',
  'RENEW_WINDOW',
] as const
const nameOf = new Map(outcomes.map((name) => [ask(name, {}), name]))

function outcomeOf({ then, cause, state }: Step, before: PartitionState): string {
  if (then === 'load') return `LOAD_${cause.toUpperCase()}`
  if (then === 'renew-epoch') return `RENEW_${cause.toUpperCase()}`
  return state.proof === before.proof ? 'FOLLOW' : 'PROOF'
}

/** Every combination of the values that are given for each name. */
function* combine(values: Readonly<Record<string, readonly number[]>>): Generator<Facts> {
  const names = Object.keys(values)
  const indexes = names.map(() => 0)
  for (;;) {
    yield Object.fromEntries(names.map((name, place) => [name, values[name]![indexes[place]!]!]))
    let place = 0
    while (place < names.length && ++indexes[place]! >= values[names[place]!]!.length) {
      indexes[place++] = 0
    }
    if (place === names.length) return
  }
}

const bits = [0, 1]
const epochs = [0, 1, 2]
const epochName = (number: number): string => (number === 0 ? absentEpoch : `e${number}`)
const positionOf = (number: number): string => (number === 0 ? logStart : `${number}-0`)

function stateOf(facts: Facts): PartitionState {
  const seenAgoMs = facts['s_long_absent'] === 1 ? 900 : 700
  const isAbsent = facts['s_absent'] === 1 || facts['s_long_absent'] === 1
  const absentSince = { wallMs: 50_000 - seenAgoMs, monotonicMs: 50_000 - seenAgoMs }
  return {
    ...initialPartition,
    loaded: facts['s_loaded'] !== 0,
    epoch: epochName(facts['s_epoch'] ?? 1),
    replicationId: `r${facts['s_replication'] ?? 1}`,
    seq: facts['s_seq'] ?? 0,
    cursor: positionOf(facts['s_cursor'] ?? 0),
    unreadable: facts['s_junk'] ? positionOf(facts['s_junk']) : undefined,
    proof: { wallMs: 1, monotonicMs: 1 },
    ...(isAbsent && { absentSince, absentAt: { wallMs: 49_500, monotonicMs: 49_500 } }),
    isOpenedInSight: facts['s_in_sight'] === 1,
  }
}

function headOf(facts: Facts): LogHead {
  return {
    epoch: epochName(facts['h_epoch']!),
    createdAt: facts['h_young'] === 1 ? nowMs - 799 : nowMs - 800,
    toldAt: facts['h_told'] === 1 ? nowMs - 900 : 0,
    now: nowMs,
    seq: facts['h_seq']!,
    first: facts['h_first'] ?? 1,
    length: facts['h_length'] ?? 0,
    newest: positionOf(facts['h_newest'] ?? 0),
  }
}

const revocation = { id: 'x' } as Revocation

/** An entry as `[number, position]`; number 0 is one that cannot be read. */
type Given = readonly (readonly [number: number, position: number])[]

function toEntries(given: Given): LogEntry[] {
  return given.map(([seq, place]) =>
    seq === 0
      ? { position: positionOf(place), seq: undefined, revocation: undefined }
      : { position: positionOf(place), seq, revocation },
  )
}

/** What the model's reader makes of entries: `read_entries` of protocol.pml. */
function factsOf(given: Given, previous: number | undefined, newest: number): Facts {
  const numbers = given.map(([number]) => number).filter((number) => number > 0)
  const all = previous === undefined ? numbers : [previous, ...numbers]
  return {
    e_count: given.length,
    e_last: numbers.at(-1) ?? 0,
    e_end: given.at(-1)?.[1] ?? 0,
    e_junk: given.filter(([number]) => number === 0).at(-1)?.[1] ?? 0,
    e_contiguous: Number(all.every((number, at) => at === 0 || number === all[at - 1]! + 1)),
    e_has_newest: Number(given.some(([, place]) => place === newest)),
  }
}

const reads: readonly Given[] = [
  [],
  [[1, 1]],
  [[2, 2]],
  [[3, 3]],
  [[0, 3]],
  [
    [2, 2],
    [3, 3],
  ],
  [
    [2, 2],
    [0, 3],
  ],
  [
    [1, 3],
    [3, 4],
  ],
]

/** The states that differ, told once. */
const differences: string[] = []

function compare(what: string, facts: Facts, model: number, code: string): void {
  const expected = nameOf.get(model) ?? `outcome ${model}`
  if (expected !== code && differences.length < 10) {
    differences.push(`${what}: model ${expected}, code ${code}, for ${JSON.stringify(facts)}`)
  }
}

test('connected: the model decides as the code does', () => {
  let rows = 0
  for (const facts of combine({
    s_loaded: bits,
    s_replication: bits,
    c_replication: bits,
    s_epoch: epochs,
    h_epoch: epochs,
    s_seq: epochs,
    h_seq: epochs,
  })) {
    const before = stateOf(facts)
    const step = onConnected(before, headOf(facts), `r${facts['c_replication']}`)
    compare('connected', facts, ask('CONNECTED', facts), outcomeOf(step, before))
    rows++
  }
  expect(differences).toEqual([])
  expect(rows).toBe(648)
})

test('loaded: the model decides as the code does, and ends where it does', () => {
  for (const facts of combine({
    h_epoch: [1],
    h_seq: [0, 1, 2, 3],
    h_first: [1, 2, 3, 4],
    l_first: [0, 1, 2, 3],
    l_last: [0, 1, 2, 3],
    l_contiguous: bits,
  })) {
    const before = stateOf({})
    const first = facts['l_first'] === 0 ? undefined : facts['l_first']
    const last = facts['l_last'] === 0 ? undefined : facts['l_last']
    const contiguous = facts['l_contiguous'] === 1
    const summary = { first, last, contiguous, unreadable: undefined, cursor: logStart }
    const step = onLoaded(before, headOf(facts), summary)
    compare('loaded', facts, ask('LOADED', facts), outcomeOf(step, before))
    if (step.state.seq !== ask('LOADED_SEQ', facts)) differences.push(JSON.stringify(facts))
  }
  expect(differences).toEqual([])
})

test('entries alone: the model decides as the code does', () => {
  for (const given of reads) {
    const before = stateOf({ s_seq: 1 })
    const facts = factsOf(given, 1, 0)
    const step = onEntries(before, toEntries(given))
    compare('entries', facts, ask('ENTRIES', facts), outcomeOf(step, before))
  }
  expect(differences).toEqual([])
})

test('round: the model decides as the code does, and moves on as it does', () => {
  let rows = 0
  for (const given of reads) {
    for (const stored of combine({
      s_epoch: epochs,
      h_epoch: epochs,
      s_seq: [0, 1, 2],
      h_seq: [0, 2, 3],
      h_first: [1, 2],
      h_length: [0, 2],
      h_newest: [2, 3],
      s_junk: [0, 2],
      r_junk_gone: bits,
      h_young: bits,
      h_told: bits,
      absence: [0, 1, 2],
      s_in_sight: bits,
    })) {
      // What cannot be: junk that is gone where there was none, and an opening in sight while there is no log.
      if (stored['r_junk_gone'] === 1 && stored['s_junk'] === 0) continue
      if (stored['absence']! > 0 && stored['s_in_sight'] === 1) continue
      const absence = {
        s_absent: Number(stored['absence'] === 1),
        s_long_absent: Number(stored['absence'] === 2),
      }
      const bothAbsent = stored['s_epoch'] === 0 && stored['h_epoch'] === 0
      const previous = bothAbsent ? undefined : stored['s_seq']
      const facts: Facts = {
        ...stored,
        ...absence,
        s_cursor: stored['s_seq']!,
        ...factsOf(given, previous, stored['h_newest']!),
      }
      const before = stateOf(facts)
      const { state, ...step } = onRound(before, {
        sentAt,
        head: headOf(facts),
        entries: toEntries(given),
        limit,
        isUnreadableGone: facts['r_junk_gone'] === 1,
      })
      const outcome = outcomeOf({ ...step, state }, before)
      compare('round', facts, ask('ROUND', facts), outcome)
      if (outcome === 'FOLLOW' || outcome === 'PROOF') {
        const moved = [state.seq, state.cursor, state.unreadable ?? '']
        const junk = ask('NEXT_JUNK', facts)
        const expected = [
          ask('NEXT_SEQ', facts),
          positionOf(ask('NEXT_CURSOR', facts)),
          junk === 0 ? '' : positionOf(junk),
        ]
        if (String(moved) !== String(expected)) differences.push(`moved ${JSON.stringify(facts)}`)
      }
      const noted = [Number(state.absentSince !== undefined), Number(state.isOpenedInSight)]
      const expected = [ask('NOTED_ABSENT', facts), ask('NOTED_IN_SIGHT', facts)]
      if (String(noted) !== String(expected)) differences.push(`noted ${JSON.stringify(facts)}`)
      if (differences.length > 10) break
      rows++
    }
  }
  expect(differences).toEqual([])
  expect(rows).toBeGreaterThan(100_000)
}, 60_000)
