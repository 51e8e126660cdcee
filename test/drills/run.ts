import { type Drill, type Effort, isMet, toLine } from './support/drill.ts'
import { bootDrill } from './boot.ts'
import { cluster } from './cluster.ts'
import { failover } from './failover.ts'
import { forgedTokens } from './forged-tokens.ts'
import { halfOpen } from './half-open.ts'
import { hungPrimary } from './hung-primary.ts'
import { idRegression } from './id-regression.ts'
import { kickOutRace } from './kick-out-race.ts'
import { latency } from './latency.ts'
import { loss } from './loss.ts'
import { outage } from './outage.ts'
import { pause } from './pause.ts'
import { refreshRace } from './refresh-race.ts'
import { rotationChain } from './rotation-chain.ts'
import { stateLoss } from './state-loss.ts'

/** The most important ones first. */
const drills: readonly Drill[] = [
  failover,
  hungPrimary,
  loss,
  idRegression,
  pause,
  outage,
  stateLoss,
  bootDrill,
  kickOutRace,
  refreshRace,
  cluster,
  latency,
  halfOpen,
  rotationChain,
  forgedTokens,
]

const usage = `usage: tsx test/drills/run.ts [name…] [--quick | --full] [--rounds n]

${drills.map(({ name, story }) => `  ${name.padEnd(14)} ${story}`).join('\n')}
`

function readArguments(args: readonly string[]): { effort: Effort; chosen: readonly Drill[] } {
  const names = args.filter((arg, index) => !arg.startsWith('--') && args[index - 1] !== '--rounds')
  const flags = args.filter((arg) => arg.startsWith('--'))
  const rounds = Number(args[args.indexOf('--rounds') + 1])
  const unknown = [
    ...flags.filter((flag) => !['--quick', '--full', '--rounds'].includes(flag)),
    ...names.filter((name) => !drills.some((drill) => drill.name === name)),
  ]
  if (unknown.length > 0 || (flags.includes('--rounds') && !(rounds > 0))) {
    process.stderr.write(usage)
    process.exit(64)
  }
  return {
    effort: {
      quick: flags.includes('--quick'),
      full: flags.includes('--full'),
      rounds: flags.includes('--rounds') ? rounds : undefined,
    },
    chosen: names.length === 0 ? drills : drills.filter(({ name }) => names.includes(name)),
  }
}

/** Runs one drill and prints its figures; whether all bars were met. */
async function run(drill: Drill, effort: Effort): Promise<boolean> {
  const startedAt = performance.now()
  try {
    const figures = await drill.run(effort)
    for (const figure of figures) console.log(toLine(drill.name, figure))
    return figures.every(isMet)
  } catch (error) {
    console.log(`MISS ${drill.name.padEnd(14)} did not come to its end`)
    console.log(error)
    return false
  } finally {
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    console.log(`     ${drill.name.padEnd(14)} took ${seconds} s`)
  }
}

const { effort, chosen } = readArguments(process.argv.slice(2))
let missed = 0
for (const drill of chosen) if (!(await run(drill, effort))) missed++
console.log(missed === 0 ? 'every bar met' : `${missed} of ${chosen.length} drills missed a bar`)
// A drill that did not come to its end may have left something running.
process.exit(missed === 0 ? 0 : 1)
