import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { askRedis } from './ask-redis.ts'
import { onFreePorts } from './free-port.ts'
import { makeScratchDir, removeScratchDir } from './reaper.ts'
import { makeClock, type MovableClock } from './movable-clock.ts'
import { launchRedis, type RedisProcess } from './redis-process.ts'

const HOST = '127.0.0.1'

export interface StartRedisOptions {
  /** More `redis-server` arguments; the later of two wins, so these override the defaults below. */
  readonly args?: readonly string[]
  /** @defaultValue a free one */
  readonly port?: number
  /**
   * Where it runs and keeps its data; left in place by `stop()` when given. @defaultValue an own
   * temporary one
   */
  readonly dir?: string
  /** Lets `setClock` work: how far its clock is ahead of the machine's at first, milliseconds. */
  readonly aheadMs?: number
}

/** Without `replyMapping`, which would change the type of the client. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

export interface RedisServer {
  readonly host: string
  readonly port: number
  readonly url: string
  readonly dir: string
  /** Changes with `restart()`. */
  readonly pid: number
  readonly running: boolean
  /**
   * A client to this server; `stop()` closes it. Its connection errors are swallowed: servers here
   * die on purpose.
   */
  client(options?: ClientOptions): Redis
  /**
   * Closes the clients of `client()`, ends the process and removes the temporary directory. Safe to
   * repeat.
   */
  stop(): Promise<void>
  /** `kill -9`: nothing is flushed and no connection is closed in an orderly way. */
  kill9(): Promise<void>
  /** SIGSTOP: connections stay open and connecting still works, but nothing is answered. */
  pause(): void
  resume(): void
  /**
   * Kills the server and starts it on the same port. With `keepData` a running server saves first,
   * and a dead one comes back with what it last wrote (nothing, by default); without, it comes back
   * empty.
   */
  restart(options?: { readonly keepData?: boolean }): Promise<void>
  /** Sets its clock ahead of the machine's, or behind it. Needs the option `aheadMs`. */
  setClock(aheadMs: number): void
}

/** Starts a `redis-server` without persistence on 127.0.0.1 and resolves when it answers. */
export async function startRedis(options: StartRedisOptions = {}): Promise<RedisServer> {
  const dir = options.dir ?? makeScratchDir()
  const toArgs = (port: number) => [
    ...['--port', String(port), '--bind', HOST, '--save', '', '--appendonly', 'no'],
    ...['--repl-diskless-sync-delay', '0', '--enable-debug-command', 'yes'],
    ...(options.args ?? []),
  ]
  const clock = options.aheadMs === undefined ? undefined : makeClock(dir, options.aheadMs)
  const startOn = async (port: number) => {
    const args = toArgs(port)
    const process = await launchRedis(args, { port, dir, ...clock })
    return toRedisServer(process, { port, dir, args, clock, ownsDir: options.dir === undefined })
  }
  try {
    return await (options.port === undefined ? onFreePorts(1, startOn) : startOn(options.port))
  } catch (error) {
    if (options.dir === undefined) removeScratchDir(dir)
    throw error
  }
}

interface Launched {
  readonly port: number
  readonly dir: string
  readonly args: readonly string[]
  readonly ownsDir: boolean
  readonly clock: MovableClock | undefined
}

function toRedisServer(first: RedisProcess, launched: Launched): RedisServer {
  const { port, dir, args, ownsDir, clock } = launched
  const clients = new Set<Redis>()
  let process = first
  return {
    host: HOST,
    port,
    url: `redis://${HOST}:${port}`,
    dir,
    get pid() {
      return process.pid
    },
    get running() {
      return process.running
    },
    client(options = {}) {
      const client = new Redis({ host: HOST, port, disconnectTimeout: 50, ...options }).on(
        'error',
        () => undefined,
      )
      clients.add(client)
      client.once('end', () => clients.delete(client))
      return client
    },
    async stop() {
      for (const client of clients) client.disconnect()
      clients.clear()
      await process.kill()
      if (ownsDir) removeScratchDir(dir)
    },
    async kill9() {
      await process.kill()
    },
    pause() {
      process.signal('SIGSTOP')
    },
    resume() {
      process.signal('SIGCONT')
    },
    setClock(aheadMs) {
      if (!clock) throw new Error('setClock(): start Redis with aheadMs')
      clock.set(aheadMs)
    },
    async restart({ keepData = false } = {}) {
      if (keepData && process.running) {
        process.signal('SIGCONT')
        await askRedis({ host: HOST, port }, (client) => client.save())
      }
      await process.kill()
      if (!keepData) removeData(dir)
      process = await launchRedis(args, { port, dir, ...clock })
    },
  }
}

function removeData(dir: string): void {
  for (const name of ['dump.rdb', 'appendonlydir']) {
    rmSync(join(dir, name), { recursive: true, force: true })
  }
}
