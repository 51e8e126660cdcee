import { fork } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { forgetProcess, watchProcess } from '../../support/reaper.ts'

export interface CheckingServer {
  /** What a request with an old token of this user gets. */
  ask(iss: string, sub: string): Promise<200 | 401 | 503>
  signal(name: 'SIGSTOP' | 'SIGCONT'): void
  stop(): Promise<void>
}

/** Starts a resource server in a process of its own, and resolves when it is ready. */
export async function startCheckingServer(url: string, options: object): Promise<CheckingServer> {
  const script = join(import.meta.dirname, 'checking-process.ts')
  const tsx = fileURLToPath(import.meta.resolve('tsx'))
  const child = fork(script, [url, JSON.stringify(options)], { execArgv: ['--import', tsx] })
  const { pid = 0 } = child
  watchProcess(pid)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  void ended.then(() => forgetProcess(pid))
  const waiting = new Map<number, (answer: never) => void>()
  child.on('message', ({ id, answer }: { id: number; answer: never }) => {
    waiting.get(id)?.(answer)
    waiting.delete(id)
  })
  await new Promise<void>((resolve, reject) => {
    waiting.set(0, () => resolve())
    void ended.then(() => reject(new Error('the server ended before it was ready')))
  })
  let asked = 0
  return {
    ask: async (iss, sub) => {
      const id = ++asked
      const answer = new Promise<200 | 401 | 503>((resolve) => waiting.set(id, resolve))
      child.send({ id, iss, sub })
      return answer
    },
    signal: (name) => child.kill(name),
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
