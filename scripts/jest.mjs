/**
 * Runs some of the projects of jest.config.js: `node scripts/jest.mjs unit,redis [jest arguments]`.
 * It exists because jest needs a Node flag for ES modules, and because `--selectProjects` takes
 * every argument after it for a project name, so that what `npm run … --` appends must go before it.
 */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

const jest = createRequire(import.meta.url).resolve('jest/bin/jest')
const [projects, ...rest] = process.argv.slice(2)
if (projects === undefined) throw new Error('usage: node scripts/jest.mjs <project,…> [arguments]')

const { status } = spawnSync(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    jest,
    ...rest,
    '--selectProjects',
    ...projects.split(','),
  ],
  { stdio: 'inherit' },
)
process.exitCode = status ?? 1
