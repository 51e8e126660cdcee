import { mkdtempSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Violation } from './check.ts'
import { plantNames, type PlantName, withPlant } from './plants.ts'
import { repository, type Outcome, type RunSettings, run } from './session.ts'
import type { StoreKind } from './store.ts'

const usage = `usage: npm run chaos -- [--minutes n] [--seed n] [--single | --cluster | --postgres] [--planted [--only name]]

  --minutes n   how long, 10 by default
  --seed n      which faults and which users, in which order; a random one by default, which is printed
  --single      one Redis without persistence; --cluster: three masters and three replicas; --postgres: PostgreSQL.
                By default a primary with two replicas and three Sentinels
  --servers n   API servers, 3 by default; --issuers n: login servers, 2 by default
  --store-clocks  the clocks of Redis jump by an hour too
  --evictions   Redis evicts too, which the docs forbid
  --planted     plants one fault after the other in a copy of the package, and ends when each was found:
                ${plantNames.join(', ')}

Ends with 0: no violation (every planted fault found); 1: a violation; 64: wrong arguments.
`

function read(): { settings: RunSettings; planted: readonly PlantName[] } {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '10' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
        servers: { type: 'string', default: '3' },
        issuers: { type: 'string', default: '2' },
        single: { type: 'boolean', default: false },
        cluster: { type: 'boolean', default: false },
        postgres: { type: 'boolean', default: false },
        'store-clocks': { type: 'boolean', default: false },
        evictions: { type: 'boolean', default: false },
        planted: { type: 'boolean', default: false },
        only: { type: 'string' },
      },
    })
    const kinds = (['single', 'cluster', 'postgres'] as const).filter((kind) => values[kind])
    const numbers = [values.minutes, values.seed, values.servers, values.issuers].map(Number)
    const [minutes, seed, servers, issuers] = numbers as [number, number, number, number]
    const { only } = values
    const chosen = plantNames.filter((name) => only === undefined || name === only)
    const isWrong = numbers.some((value) => !(value >= 0)) || minutes === 0 || servers < 1
    if (isWrong || issuers < 1 || kinds.length > 1 || chosen.length === 0) throw new Error(usage)
    const kind: StoreKind = kinds[0] ?? 'sentinel'
    const perSecond = availableParallelism() > 2 ? 150 : 60
    return {
      settings: {
        ...{ kind, minutes, seed, servers, issuers, perSecond, root: repository },
        storeClocks: values['store-clocks'],
        evictions: values.evictions,
      },
      planted: values.planted ? chosen : [],
    }
  } catch {
    process.stderr.write(usage)
    process.exit(64)
  }
}

function print({ claim, what, part }: Violation, seed: number): void {
  console.log(`VIOLATION of ${claim} (seed ${seed}): ${what}`)
  for (const event of part) console.log(`  ${JSON.stringify(event)}`)
}

/** A storm of one claim must not hide another one. */
const printedPerClaim = 3

function summarise({ violations, figures, file }: Outcome, seed: number): void {
  for (const claim of new Set(violations.map((violation) => violation.claim))) {
    const found = violations.filter((violation) => violation.claim === claim)
    for (const violation of found.slice(0, printedPerClaim)) print(violation, seed)
    if (found.length > printedPerClaim)
      console.log(`… and ${found.length - printedPerClaim} more of ${claim}`)
  }
  for (const [name, value] of Object.entries(figures)) console.log(`  ${name}: ${value}`)
  console.log(`  history: ${file}`)
}

const { settings, planted } = read()
const { kind, seed, minutes } = settings
const folder = mkdtempSync(join(tmpdir(), 'kickout-chaos-'))
let isWell = true
if (planted.length === 0) {
  console.log(`chaos on ${kind} for ${minutes} min, seed ${seed}`)
  const outcome = await run(settings, folder)
  summarise(outcome, seed)
  isWell = outcome.violations.length === 0
  console.log(isWell ? 'no violation' : `${outcome.violations.length} violations, seed ${seed}`)
} else {
  for (const name of planted) {
    const startedAt = performance.now()
    const outcome = await withPlant(name, async (root, { claims, favourite }) =>
      run(
        {
          ...settings,
          ...{ root, minutes: 5, kind: 'single', stopAt: claims },
          ...(favourite !== undefined && { favourite }),
        },
        folder,
      ),
    )
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    const [first] = outcome.violations
    console.log(
      first
        ? `planted fault ${name}: found after ${seconds} s`
        : `planted fault ${name}: NOT FOUND in ${seconds} s`,
    )
    if (first) print(first, seed)
    isWell &&= first !== undefined
  }
}
process.exit(isWell ? 0 : 1)
