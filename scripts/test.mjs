/**
 * `npm test`: every check in order, cheapest first, stopping at the first that fails.
 * Arguments go on to jest: `npm test -- test/guard` runs all the checks, then the tests in that folder.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const forwarded = process.argv.slice(2)
const jestArguments = forwarded.length > 0 ? [...forwarded, '--passWithNoTests'] : []

const steps = [
  ['redis-server', 'node', 'scripts/ensure-redis.mjs'],
  ['postgres', 'node', 'scripts/ensure-postgres.mjs'],
  ['types', 'npm', 'run', '--silent', 'typecheck'],
  ['lint', 'npm', 'run', '--silent', 'lint'],
  ['format', 'npm', 'run', '--silent', 'format:check'],
  ['unused code', 'npm', 'run', '--silent', 'knip'],
  ['build', 'npm', 'run', '--silent', 'build'],
  ['package', 'npm', 'run', '--silent', 'check:package'],
  ['unit and redis tests', 'node', 'scripts/jest.mjs', 'unit,redis', ...jestArguments],
  ['postgres tests', 'node', 'scripts/jest.mjs', 'postgres', ...jestArguments],
  ['command line tests', 'node', 'scripts/jest.mjs', 'command-line', ...jestArguments],
  // On its own: it packs, which builds dist anew under anything else that uses it.
  ['repository tests', 'node', 'scripts/jest.mjs', 'repository', ...jestArguments],
]

/** A file given by .ci/run outlives this script; our own does not. */
const folder = mkdtempSync(join(tmpdir(), 'kickout-test-'))
const ownCounts = join(folder, 'counts')
const outerCounts = process.env.JEST_COUNTS_FILE
const counts = outerCounts ?? ownCounts

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`
const started = performance.now()
let failedStep

for (const [name, command, ...args] of steps) {
  console.log(`\n== ${name}`)
  const stepStarted = performance.now()
  const { status } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, JEST_COUNTS_FILE: counts },
  })
  console.log(`== ${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds(stepStarted)}`)
  if (status !== 0) {
    failedStep = name
    break
  }
}

const total = { passed: 0, failed: 0, skipped: 0 }
for (const line of readCounts()) {
  for (const key of Object.keys(total)) total[key] += line[key]
}
console.log(
  `\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped in ${seconds(started)}` +
    (failedStep === undefined ? '' : `; stopped at: ${failedStep}`),
)
rmSync(folder, { recursive: true, force: true })
process.exitCode = failedStep === undefined ? 0 : 1

function readCounts() {
  try {
    return readFileSync(counts, 'utf8').trim().split('\n').filter(Boolean).map(JSON.parse)
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}
