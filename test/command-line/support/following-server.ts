import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { forgetProcess, watchProcess } from '../../support/reaper.ts'
import { builtCommand } from './built-command.ts'

/** A resource server in a process of its own. */
export interface FollowingServer {
  readonly serverId: string
  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void
  /** Ends it, paused or not. */
  stop(): Promise<void>
}

/** Starts a server of the built package that follows the log, and resolves when it is ready. */
export async function startServer(
  kind: 'redis' | 'postgres',
  url: string,
  options: object = {},
): Promise<FollowingServer> {
  const folder = join(dirname(await builtCommand()), '../..')
  const script = join(import.meta.dirname, 'server-process.mjs')
  const child = spawn(process.execPath, [script, folder, kind, url, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const { pid } = child
  if (pid === undefined) throw new Error('the server cannot be started')
  watchProcess(pid)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  void ended.then(() => forgetProcess(pid))
  child.stdin.on('error', () => undefined)
  const serverId = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      if (text.includes('\n')) resolve((JSON.parse(text) as { serverId: string }).serverId)
    })
    void ended.then(() => reject(new Error('the server ended before it was ready')))
  })
  return {
    serverId,
    signal: (name) => child.kill(name),
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
