import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'

function firstLineOf(command, args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .split('\n')[0]
  } catch {
    return undefined
  }
}

function has(command, args) {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch (error) {
    return error.code !== 'ENOENT'
  }
}

export const cores = availableParallelism()
export const canPin = cores > 1 && process.platform === 'linux' && has('taskset', ['--version'])
export const hasWrk = has('wrk', ['--version'])

const pins = { server: 0, load: 1, redis: Math.min(2, cores - 1) }

/** The command in front of a command that keeps it on one core, where the system has one. */
export function pinTo(role) {
  return canPin && role !== undefined ? ['taskset', '-c', String(pins[role])] : []
}

/** Keeps a running process on one core. */
export function pinProcess(pid, role) {
  if (canPin)
    execFileSync('taskset', ['-acp', String(pins[role]), String(pid)], { stdio: 'ignore' })
}

export function describeMachine() {
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  return {
    cpu: `${cpus()[0]?.model ?? 'unknown'}, ${cores} cores`,
    memory: `${gigabytes} GB`,
    system: `${process.platform} ${release()}`,
    node: process.version,
    redis: firstLineOf('redis-server', ['--version'])?.match(/v=(\S+)/)?.[1] ?? 'none',
    load: hasWrk ? 'wrk' : 'autocannon',
    pinned: canPin ? 'the server under test on one core, the load generator on another' : 'no',
  }
}

export function peerVersions() {
  const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
  return manifest.dependencies
}
