import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { median } from '../statistics.mjs'

const bench = fileURLToPath(new URL('..', import.meta.url))

/** What a user imports, and the packages that come with it; Express and ioredis are there already. */
const subjects = [
  { name: 'express-kickout', packages: ['express-kickout'] },
  { name: 'express-kickout/redis', packages: ['express-kickout'] },
  { name: 'express-kickout/issuer', packages: ['express-kickout'] },
  { name: 'express-oauth2-jwt-bearer', packages: ['express-oauth2-jwt-bearer'] },
  { name: 'express-jwt', and: 'jwks-rsa', packages: ['express-jwt', 'jwks-rsa'] },
  { name: 'jose', packages: ['jose'] },
  { name: 'fast-jwt', packages: ['fast-jwt'] },
  {
    name: '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js',
    packages: ['@modelcontextprotocol/sdk', 'jose'],
  },
  { name: 'oidc-provider', packages: ['oidc-provider'] },
]

/** The folder that Node would find a package in, from the folder of the one that depends on it. */
function folderOf(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return candidate
    if (folder === dirname(folder)) return undefined
  }
}

function foldersWithDependencies(names, from, found = new Set()) {
  for (const name of names) {
    const folder = folderOf(name, from)
    if (folder === undefined || found.has(folder)) continue
    found.add(folder)
    const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    foldersWithDependencies(Object.keys(dependencies), folder, found)
  }
  return found
}

function bytesIn(folder) {
  let bytes = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === 'node_modules') continue
    const path = join(folder, entry.name)
    bytes += entry.isDirectory() ? bytesIn(path) : statSync(path).size
  }
  return bytes
}

function millisecondsToRun(code) {
  const startedAt = performance.now()
  const args = ['--input-type=module', '--eval', code]
  execFileSync(process.execPath, args, { cwd: bench, stdio: ['ignore', 'ignore', 'ignore'] })
  return performance.now() - startedAt
}

/** Import time above that of an empty process, in turn; installed size with all dependencies. */
export function size({ imports, log }) {
  const timings = subjects.map(() => [])
  for (let turn = 0; turn <= imports; turn++) {
    const empty = millisecondsToRun('')
    subjects.forEach(({ name, and }, index) => {
      const code = [name, and].flatMap((from) => (from ? [`import '${from}'`] : [])).join('\n')
      const taken = millisecondsToRun(code) - empty
      if (turn > 0) timings[index].push(taken) // The first one fills the disk cache.
    })
  }
  log(`${imports} imports of each`)
  return subjects.map(({ name, and, packages }, index) => {
    const folders = [...foldersWithDependencies(packages, bench)]
    return {
      name: [name, and].filter(Boolean).join(' + '),
      importMs: median(timings[index]),
      kilobytes: folders.reduce((sum, folder) => sum + bytesIn(folder), 0) / 1000,
      packages: folders.length,
    }
  })
}
