import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { forgetProcess, watchProcess } from '../../support/reaper.ts'

const startTimeoutMs = 60_000

type Answers = Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>

/** A process of ours that serves HTTP and answers questions beside it. */
export class Worker {
  readonly port: number
  readonly pid: number
  readonly #child: ChildProcess
  readonly #answers: Answers
  readonly #ended: Promise<void>
  #asked = 0

  private constructor(child: ChildProcess, answers: Answers, ended: Promise<void>, port: number) {
    this.#child = child
    this.#answers = answers
    this.#ended = ended
    this.port = port
    this.pid = child.pid!
  }

  /** Starts a module beside this one; it calls `serve` of `serve.ts`. */
  static async start(
    module: string,
    config: object,
    nodeArgs: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Worker> {
    const child = fork(fileURLToPath(new URL(module, import.meta.url)), [JSON.stringify(config)], {
      execArgv: ['--import', 'tsx', ...nodeArgs],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, NODE_ENV: 'production', ...environment },
    })
    const { pid } = child
    if (pid === undefined) throw new Error(`${module} could not be started`)
    watchProcess(pid)
    // What is asked of a process that has just died fails here; `ended` says so below.
    child.on('error', () => undefined)
    const answers: Answers = new Map()
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => {
        forgetProcess(pid)
        for (const { reject } of answers.values()) reject(new Error(`${module} has ended`))
        resolve()
      })
    })
    const port = await new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${module} did not start`)), startTimeoutMs)
      child.once('exit', (code) => reject(new Error(`${module} ended with ${code}`)))
      child.on(
        'message',
        (message: { port?: number; id?: number; value?: never; error?: string }) => {
          if (message.port !== undefined) {
            clearTimeout(timer)
            resolve(message.port)
            return
          }
          const waiting = answers.get(message.id ?? -1)
          answers.delete(message.id ?? -1)
          if (message.error !== undefined) waiting?.reject(new Error(message.error))
          else waiting?.resolve(message.value as never)
        },
      )
    })
    return new Worker(child, answers, ended, port)
  }

  async ask<Value>(question: string, argument?: unknown): Promise<Value> {
    if (!this.#child.connected) throw new Error('the process has ended')
    const id = this.#asked++
    return new Promise<Value>((resolve, reject) => {
      this.#answers.set(id, { resolve, reject })
      this.#child.send({ id, question, argument })
    })
  }

  /** SIGSTOP: its connections stay open, and requests queue up in the kernel. */
  pause(): void {
    this.#child.kill('SIGSTOP')
  }

  resume(): void {
    this.#child.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
