import { parseArgs } from 'node:util'

export const scenarioNames = [
  'hot',
  'cold',
  'refresh',
  'dpop',
  'elsewhere',
  'latency',
  'away',
  'check',
  'boot',
  'garbage',
  'size',
]

const full = {
  pairs: 3,
  seconds: 3,
  warmupSeconds: 1,
  coldTokens: 20_000,
  rotations: 1000,
  latencySeconds: 20,
  liveRevocations: [10_000, 100_000, 1_000_000],
  garbageTokens: 300_000,
  imports: 11,
}

const quick = {
  pairs: 1,
  seconds: 1,
  warmupSeconds: 1,
  coldTokens: 12_000,
  rotations: 100,
  latencySeconds: 4,
  liveRevocations: [10_000],
  garbageTokens: 30_000,
  imports: 3,
}

/** What a run of some scenarios measures: fewer pairs, so that `npm run bench -- hot` takes four minutes. */
const pairsOfPartialRun = 2

export const usage = `npm run bench -- [${scenarioNames.join('|')} …] [--quick]
  [--pairs n]    fresh pairs of processes, baseline and contender, n for each contender
  [--seconds n]  length of one measurement; each process of a pair is measured twice
A partial run (some scenarios, or --quick) prints its figures and leaves results.md as it is.`

function readCount(name, text, fallback) {
  if (text === undefined) return fallback
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new Error(`--${name} must be a whole number\n`)
  return count
}

/** @throws Error with the usage for an unknown flag, scenario or number */
export function readFlags(args) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        pairs: { type: 'string' },
        seconds: { type: 'string' },
        'no-build': { type: 'boolean', default: false },
      },
    })
    const only = positionals.length > 0 ? positionals : scenarioNames
    const unknown = only.find((name) => !scenarioNames.includes(name))
    if (unknown !== undefined) throw new Error(`There is no scenario "${unknown}"\n`)
    const sizes = values.quick ? quick : full
    const isPartial = values.quick || only.length < scenarioNames.length
    const pairs = isPartial ? Math.min(sizes.pairs, pairsOfPartialRun) : sizes.pairs
    return {
      ...sizes,
      pairs: readCount('pairs', values.pairs, pairs),
      seconds: readCount('seconds', values.seconds, sizes.seconds),
      build: !values['no-build'],
      scenarios: scenarioNames.filter((name) => only.includes(name)),
      partial: isPartial,
    }
  } catch (error) {
    throw new Error(`${error.message}\n${usage}`, { cause: error })
  }
}
