/**
 * `npm test` and, with `--thorough`, `npm run test:thorough`: see `checks.mjs`.
 *
 * The quick one stops at the first group that fails, the thorough one goes on. Arguments go on to jest:
 * `npm test -- test/guard` runs the checks, then all tests in that folder, long ones included.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quickSteps, thoroughSteps } from './checks.mjs'

const [isThorough, forwarded] = readArguments(process.argv.slice(2))
const jestArguments = forwarded.length > 0 ? [...forwarded, '--passWithNoTests'] : []
const part = forwarded.length > 0 ? 'all' : isThorough ? 'long' : 'quick'
const groups = (isThorough ? thoroughSteps : quickSteps)(jestArguments)

/** A file given by .ci/run outlives this script; our own does not. */
const folder = mkdtempSync(join(tmpdir(), 'kickout-test-'))
const ownCounts = join(folder, 'counts')
const outerCounts = process.env.JEST_COUNTS_FILE
const counts = outerCounts ?? ownCounts

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`
const started = performance.now()
const failedSteps = []

for (const group of groups) {
  // What runs beside another step is printed when it has ended.
  const isAlone = group.length === 1
  await Promise.all(group.map(async (step) => run(step, isAlone)))
  if (failedSteps.length > 0 && !isThorough) break
}

const total = { passed: 0, failed: 0, skipped: 0 }
for (const line of readCounts()) {
  for (const key of Object.keys(total)) total[key] += line[key]
}
console.log(
  `\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped in ${seconds(started)}` +
    (failedSteps.length === 0 ? '' : `; failed: ${failedSteps.join(', ')}`),
)
rmSync(folder, { recursive: true, force: true })
process.exitCode = failedSteps.length === 0 ? 0 : 1

function readArguments([first, ...rest]) {
  return first === '--thorough'
    ? [true, rest]
    : [false, first === undefined ? [] : [first, ...rest]]
}

async function run([name, command, ...args], isAlone) {
  const stepStarted = performance.now()
  if (isAlone) console.log(`\n== ${name}`)
  const child = spawn(command, args, {
    stdio: ['ignore', isAlone ? 'inherit' : 'pipe', isAlone ? 'inherit' : 'pipe'],
    env: { ...process.env, JEST_COUNTS_FILE: counts, KICKOUT_TESTS: part },
  })
  const printed = []
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (data) => printed.push(data))
  const status = await new Promise((resolve) => {
    child.once('error', () => resolve(1))
    child.once('close', resolve)
  })
  if (!isAlone) console.log(`\n== ${name}\n${Buffer.concat(printed).toString()}`.trimEnd())
  console.log(`== ${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds(stepStarted)}`)
  if (status !== 0) failedSteps.push(name)
}

function readCounts() {
  try {
    return readFileSync(counts, 'utf8').trim().split('\n').filter(Boolean).map(JSON.parse)
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}
