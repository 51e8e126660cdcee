import { parseArgs } from 'node:util'

export const scenarioNames = [
  'hot',
  'cold',
  'refresh',
  'dpop',
  'elsewhere',
  'latency',
  'check',
  'boot',
  'garbage',
  'size',
]

const full = {
  rounds: 3,
  cycles: 7,
  seconds: 1,
  warmupSeconds: 3,
  coldTokens: 30_000,
  rotations: 1000,
  latencySeconds: 20,
  liveRevocations: [10_000, 100_000, 1_000_000],
  garbageTokens: 300_000,
  imports: 11,
}

const quick = {
  rounds: 1,
  cycles: 2,
  seconds: 1,
  warmupSeconds: 1,
  coldTokens: 12_000,
  rotations: 100,
  latencySeconds: 4,
  liveRevocations: [10_000],
  garbageTokens: 30_000,
  imports: 3,
}

export const usage = `npm run bench -- [--quick] [--only ${scenarioNames.join('|')}[,…]]
  [--rounds n]   fresh processes for every contender, n times
  [--cycles n]   measurements of each contender in a round, in turn
  [--seconds n]  length of one measurement
A partial run (--quick or --only) prints its figures and leaves results.md as it is.`

function readCount(name, text, fallback) {
  if (text === undefined) return fallback
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new Error(`--${name} must be a whole number\n`)
  return count
}

/** @throws Error with the usage for an unknown flag, scenario or number */
export function readFlags(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        quick: { type: 'boolean', default: false },
        only: { type: 'string' },
        rounds: { type: 'string' },
        cycles: { type: 'string' },
        seconds: { type: 'string' },
        'no-build': { type: 'boolean', default: false },
      },
    })
    const only = values.only?.split(',') ?? scenarioNames
    const unknown = only.find((name) => !scenarioNames.includes(name))
    if (unknown !== undefined) throw new Error(`There is no scenario "${unknown}"\n`)
    const sizes = values.quick ? quick : full
    return {
      ...sizes,
      rounds: readCount('rounds', values.rounds, sizes.rounds),
      cycles: readCount('cycles', values.cycles, sizes.cycles),
      seconds: readCount('seconds', values.seconds, sizes.seconds),
      build: !values['no-build'],
      scenarios: scenarioNames.filter((name) => only.includes(name)),
      partial: values.quick || only.length < scenarioNames.length,
    }
  } catch (error) {
    throw new Error(`${error.message}\n${usage}`, { cause: error })
  }
}
