import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/**
 * Makes sure that a program is there, installing it with the system's package manager without
 * asking. Says nothing when it is there already; ends this process with 1 and a message when it
 * cannot be had.
 * @param {{ isPresent: () => boolean, debian: string, brew: string[], advice: string }} program
 */
export function ensureProgram({ isPresent, debian, brew, advice }) {
  if (isPresent()) return
  const failure = install(debian, brew)
  if (isPresent()) return
  process.stderr.write(`${failure === undefined ? '' : `${failure}\n`}${advice}\n`)
  process.exit(1)
}

/** The path of the first of these programs that can be run, by name on PATH or by absolute path. */
export function findProgram(...candidates) {
  for (const candidate of candidates) {
    const folders = candidate.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter)
    for (const folder of folders) {
      const path = folder === '' ? candidate : join(folder, candidate)
      if (isExecutable(path)) return path
    }
  }
  return undefined
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Answers why it did not work, or `undefined`. */
function install(debian, brew) {
  try {
    if (process.platform === 'darwin' && findProgram('brew')) {
      run('brew', ['install', ...brew])
    } else if (existsSync('/etc/debian_version') && findProgram('apt-get')) {
      const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n']
      if (asRoot.length > 0 && !canSudo())
        return 'Installing needs root, and sudo asks for a password.'
      const aptGet = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q']
      run(...aptGet, ['update'])
      run(...aptGet, ['install', '-y', '--no-install-recommends', debian])
    }
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function canSudo() {
  if (!findProgram('sudo')) return false
  try {
    execFileSync('sudo', ['-n', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function run(command, ...rest) {
  const args = rest.flat()
  process.stderr.write(`${[command, ...args].join(' ')}\n`)
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
}
