import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const here = fileURLToPath(new URL('.', import.meta.url))
const library = `${here}node_modules/express-kickout`
const installedLock = `${here}node_modules/.package-lock.json`

function run(command, args, cwd) {
  execFileSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
}

function peersAreInstalled() {
  if (!existsSync(installedLock)) return false
  const { dependencies } = JSON.parse(readFileSync(`${here}package.json`, 'utf8'))
  const { packages } = JSON.parse(readFileSync(installedLock, 'utf8'))
  return Object.entries(dependencies).every(
    ([name, version]) => packages[`node_modules/${name}`]?.version === version,
  )
}

/**
 * Puts a fresh build beside the peers, so that it is imported by its own name and shares their `jose` and `ioredis`.
 * Leaves `dist` alone: another process may be using it.
 */
function installLibrary() {
  rmSync(library, { recursive: true, force: true })
  mkdirSync(library, { recursive: true })
  const compiler = `${root}node_modules/typescript/bin/tsc`
  const settings = ['-p', 'tsconfig.build.json', '--outDir', `${library}/dist`]
  run(process.execPath, [compiler, ...settings], root)
  for (const file of ['package.json', 'README.md', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE']) {
    if (existsSync(`${root}${file}`)) cpSync(`${root}${file}`, `${library}/${file}`)
  }
}

/** Makes sure of `redis-server`, the peers and a build of the library. */
export function prepare({ build }) {
  run(process.execPath, ['scripts/ensure-redis.mjs'], root)
  if (!peersAreInstalled()) run('npm', ['ci', '--no-fund', '--no-audit'], here)
  if (build) installLibrary()
}
