/**
 * `npm run bench`: races the library against what a user would pick instead, on this machine and in one run.
 * See `flags.mjs` for how to make it short.
 */
import { writeFileSync } from 'node:fs'
import { format } from 'prettier'
import { figuresOf } from './figures.mjs'
import { readFlags } from './flags.mjs'
import { describeMachine, peerVersions } from './machine.mjs'
import { prepare } from './prepare.mjs'
import { printFigures, toMarkdown } from './report.mjs'

const settings = readFlags(process.argv.slice(2))
const started = performance.now()
const seconds = () => Math.round((performance.now() - started) / 1000)

const machine = describeMachine()
for (const fact of Object.entries({ ...machine, ...peerVersions() })) console.log(fact.join(': '))
prepare(settings)

const measured = {}
for (const name of settings.scenarios) {
  const { [name]: scenario } = await import(`./scenarios/${name}.mjs`)
  const log = (what) => console.log(`${String(seconds()).padStart(5)} s  ${name}: ${what}`)
  try {
    measured[name] = await scenario({ ...settings, log })
  } catch (error) {
    // The others are measured all the same: a full run takes half an hour.
    console.error(error)
    process.exitCode = 1
  }
}
const isWhole = !settings.partial && process.exitCode !== 1

const results = {
  date: new Date().toISOString().slice(0, 10),
  minutes: Math.ceil(seconds() / 60),
  machine,
  peers: peerVersions(),
  settings,
  figures: figuresOf(measured),
  measured,
}
const suffix = isWhole ? '' : '.partial'
const fileOf = (extension) => new URL(`results${suffix}.${extension}`, import.meta.url)
writeFileSync(
  fileOf('json'),
  await format(JSON.stringify(results), { parser: 'json', printWidth: 100 }),
)
writeFileSync(fileOf('md'), toMarkdown(results))
printFigures(results.figures)
console.log(`\nwritten to bench/results${suffix}.md and .json`)
