import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { forgetProcess, watchProcess } from './reaper.ts'
import { waitUntil } from './wait.ts'

const LOG_FILE = 'redis.log'

/** One running `redis-server`, as a server, a cluster node or a Sentinel. */
export interface RedisProcess {
  readonly pid: number
  readonly running: boolean
  /** Sends a signal to this process only. */
  signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
  /** Kills it, paused or not, and resolves when the operating system has let it go. */
  kill(): Promise<void>
}

/**
 * @throws Error with the end of the server's log, when it ended instead of answering (its port may
 * be taken).
 */
export async function launchRedis(
  args: readonly string[],
  { port, dir, env = {} }: { port: number; dir: string; env?: NodeJS.ProcessEnv },
): Promise<RedisProcess> {
  const child = spawn('redis-server', [...args, '--dir', dir, '--logfile', join(dir, LOG_FILE)], {
    stdio: 'ignore',
    env: { ...process.env, ...env },
  })
  child.unref()
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve()
    })
    child.once('error', () => {
      resolve()
    })
  })
  const { pid } = child
  if (pid === undefined) {
    throw new Error('redis-server is not installed: run "node scripts/ensure-redis.mjs"')
  }
  watchProcess(pid)
  void ended.then(() => {
    forgetProcess(pid)
  })
  const launched = toRedisProcess(child, pid, ended)
  try {
    await waitUntil(
      async () => {
        if (!launched.running) return 'ended'
        return (await isAnsweredBy(pid, port)) && 'answers'
      },
      { what: `redis-server on port ${port}`, timeoutMs: 15_000 },
    )
  } catch (cause) {
    await launched.kill()
    throw new Error(`redis-server does not answer: ${tailOfLog(dir)}`, { cause })
  }
  if (!launched.running) throw new Error(`redis-server ended at once: ${tailOfLog(dir)}`)
  return launched
}

function toRedisProcess(child: ChildProcess, pid: number, ended: Promise<void>): RedisProcess {
  return {
    pid,
    get running() {
      return child.exitCode === null && child.signalCode === null
    },
    signal(name) {
      child.kill(name)
    },
    async kill() {
      child.ref()
      child.kill('SIGKILL')
      await ended
    },
  }
}

/**
 * Asks for the process id, not only for PONG: the port may have been taken by another Redis a
 * moment ago. A server that wants a password first counts as ours.
 */
async function isAnsweredBy(pid: number, port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    let answer = ''
    socket.setTimeout(1000, () => socket.destroy()).write('PING\r\nINFO server\r\n')
    for await (const chunk of socket) {
      answer += String(chunk)
      if (answer.startsWith('-NOAUTH')) return true
      if (answer.startsWith('-')) return false // LOADING: not yet
      const processId = /^process_id:(\d+)\r/m.exec(answer)?.[1]
      if (processId !== undefined) return processId === String(pid)
    }
    return false
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function tailOfLog(dir: string): string {
  try {
    return readFileSync(join(dir, LOG_FILE), 'utf8').trim().split('\n').slice(-5).join('\n')
  } catch {
    return '(no log)'
  }
}
