/**
 * `npm run model`: checks the models in test/model exhaustively with Spin, prints bounds and numbers of states, and makes
 * sure that each planted fault is found. `npm run model -- NAME…` runs some of the checks, `--story` prints a counterexample
 * in full. Ends with 0 when every claim holds and every planted fault is found.
 */
import './ensure-spin.mjs'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findProgram } from './system-package.mjs'

const models = fileURLToPath(new URL('../test/model', import.meta.url))
const compiler = findProgram('gcc', 'cc')
const maxMemoryMb = 6000

/** `-D` switches of a number of kick-outs, a number of faults, and their kinds. */
const within = (kicks, faults, kinds, ...others) => [
  `-DKICKS=${kicks}`,
  `-DFAULTS=${faults}`,
  ...[...kinds.split(' '), ...others].filter(Boolean).map((name) => `-D${name}`),
]

const every = 'LOSSES FAILOVERS TRIMS PAUSES CUTS CRASHES'

/** The claims, with their bounds. */
const claims = [
  ['losses', 'protocol', within(1, 2, 'LOSSES PAUSES')],
  ['losses-crashes', 'protocol', within(1, 2, 'LOSSES CUTS CRASHES')],
  ['losses-of-two', 'protocol', within(2, 1, 'LOSSES PAUSES', 'ENTRIES_ALONE')],
  ['failovers', 'protocol', within(1, 2, 'FAILOVERS CUTS')],
  ['failovers-of-two', 'protocol', within(2, 1, 'FAILOVERS', 'ENTRIES_ALONE')],
  ['failovers-losses', 'protocol', within(1, 2, 'FAILOVERS LOSSES')],
  ['trims', 'protocol', within(1, 2, 'TRIMS PAUSES CUTS CRASHES')],
  ['trims-of-two', 'protocol', within(2, 1, 'TRIMS CUTS CRASHES', 'ENTRIES_ALONE')],
  ['junk', 'protocol', within(1, 2, 'JUNK TRIMS CUTS')],
  ['look-ups', 'protocol', within(2, 1, `${every}`, 'LOOKUPS')],
  ['fresh-again', 'protocol', within(1, 1, every, 'LIVE')],
  ['rotation', 'rotation', ['-DTOKENS=10', '-DLOSSES=3']],
].map(([name, model, switches]) => ({ name, model, switches, isPlanted: false }))

/** What has to be found. The first three are the planted faults of `npm run chaos`; the others were in the code once. */
const plants = [
  ['arrival', 'protocol', within(1, 1, 'PAUSES', 'PLANT_ARRIVAL')],
  ['grandparent', 'rotation', ['-DPLANT_GRANDPARENT']],
  ['fail-open', 'protocol', within(1, 1, 'PAUSES', 'LOOKUPS', 'PLANT_FAIL_OPEN')],
  ['absence', 'protocol', within(1, 2, 'LOSSES PAUSES', 'PLANT_ABSENCE')],
  ['lost-unseen', 'protocol', within(1, 1, 'LOSSES', 'LIVE', 'PLANT_LOST_UNSEEN')],
  ['first-seen', 'protocol', within(2, 1, 'LOSSES', 'LOOKUPS', 'PLANT_FIRST_SEEN')],
].map(([name, model, switches]) => ({ name, model, switches, isPlanted: true }))

const args = process.argv.slice(2)
const isStoryWanted = args.includes('--story')
const names = args.filter((arg) => !arg.startsWith('--'))
const all = [...claims, ...plants]
const unknown = names.filter((name) => !all.some((check) => check.name === name))
if (unknown.length > 0) {
  process.stderr.write(
    `no check ${unknown.join(', ')}; there are ${all.map(({ name }) => name).join(', ')}\n`,
  )
  process.exit(64)
}

const folder = mkdtempSync(join(tmpdir(), 'kickout-model-'))
try {
  cpSync(models, folder, { recursive: true })
  const chosen = names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
  const wrong = chosen.filter((check) => !run(check))
  console.log(
    wrong.length === 0
      ? 'every claim holds within its bounds, and every planted fault is found'
      : `NOT AS IT HAS TO BE: ${wrong.map(({ name }) => name).join(', ')}`,
  )
  process.exitCode = wrong.length === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** Checks one claim exhaustively; whether it came out as it has to. */
function run({ name, model, switches, isPlanted }) {
  const startedAt = performance.now()
  const isLiveness = switches.includes('-DLIVE')
  const here = { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 28 }
  execFileSync('spin', ['-a', ...switches, `${model}.pml`], here)
  const kind = isLiveness ? ['-DNFAIR=3'] : ['-DSAFETY']
  const flags = ['-O2', '-w', '-DCOLLAPSE', `-DMEMLIM=${maxMemoryMb}`, '-DVECTORSZ=2048', ...kind]
  execFileSync(compiler, [...flags, '-o', 'pan', 'pan.c'], here)
  // Weak fairness: what can always happen does happen. In the rotation all tokens are used up at some time.
  const search = isLiveness ? ['-a', '-f'] : model === 'rotation' ? ['-E'] : []
  rmSync(join(folder, `${model}.pml.trail`), { force: true })
  const { stdout } = spawnSync(join(folder, 'pan'), ['-m400000', '-w25', ...search], here)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  const errors = Number(/errors: (\d+)/.exec(stdout)?.[1] ?? Number.NaN)
  const states = Number(/(\d+) states, stored/.exec(stdout)?.[1] ?? 0)
  const isComplete = !/Search not completed|max search depth too small|out of memory/.test(stdout)
  const isRight = isPlanted ? errors > 0 : errors === 0 && isComplete
  const outcome = isPlanted
    ? errors > 0
      ? 'found'
      : 'NOT FOUND'
    : errors > 0
      ? 'VIOLATED'
      : isComplete
        ? 'holds'
        : 'NOT COMPLETE'
  const bounds = switches.map((text) => text.slice(2).toLowerCase().replace('=', ' ')).join(', ')
  const count = states.toLocaleString('en').padStart(11)
  console.log(
    `${outcome.padEnd(9)} ${name.padEnd(17)} ${count} states ${seconds.padStart(4)} s  ${bounds}`,
  )
  if (errors > 0 && (!isPlanted || isStoryWanted)) tellStory(model, switches)
  return isRight
}

function tellStory(model, switches) {
  const { stdout } = spawnSync('spin', ['-t', ...switches, `${model}.pml`], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const lines = stdout.split('\n').map((line) => line.trim())
  const story = lines.filter((line) =>
    /^(server|writer|time|FAULT|\d+: [a-z]|the grace|<<<)/.test(line),
  )
  console.log(story.map((line) => `          ${line}`).join('\n'))
}
