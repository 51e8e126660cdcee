import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A `redis-server` of the tour's own, on a free port; it writes what it knows to disk, as yours should. */
export class RedisServer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'kickout-tour-'))
  readonly #port: number
  #process: ChildProcess | undefined

  private constructor(port: number) {
    this.#port = port
  }

  static async start(): Promise<RedisServer> {
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as AddressInfo
    probe.close()
    const server = new RedisServer(port)
    await server.resume()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`
  }

  /** Starts it, with whatever it had written before. */
  async resume(): Promise<void> {
    const child = spawn(
      'redis-server',
      ['--port', String(this.#port), '--bind', '127.0.0.1', '--dir', this.#folder].concat([
        '--appendonly',
        'yes',
        '--appendfsync',
        'always',
        '--save',
        '',
      ]),
      { stdio: 'ignore' },
    )
    this.#process = child
    await once(child, 'spawn')
    while (!(await this.#answers())) {
      if (child.exitCode !== null) throw new Error('redis-server ended at once')
      await sleep(20)
    }
  }

  async stop(): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }

  async remove(): Promise<void> {
    await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #answers(): Promise<boolean> {
    const socket = connect(this.#port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      socket.write('PING\r\n')
      const [reply] = (await once(socket, 'data')) as [Buffer]
      return reply.toString().startsWith('+PONG')
    } catch {
      return false
    } finally {
      socket.destroy()
    }
  }
}
