import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { onFreePorts } from './free-port.ts'
import { forgetProcess, watchProcess } from './reaper.ts'
import { waitUntil } from './wait.ts'

/** PostgreSQL refuses to run as root, so root lends it the user of Debian's package. */
function owner(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) =>
    Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }).trim())
  return { uid: id('-u'), gid: id('-g') }
}

/** Debian keeps the programs of the server out of PATH. */
function program(name: string): string {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian)
    ? readdirSync(debian)
        .map(Number)
        .sort((a, b) => b - a)
    : []
  const found = versions
    .map((version) => join(debian, String(version), 'bin', name))
    .find((path) => existsSync(path))
  return found ?? name
}

function run(name: string, args: readonly string[]): void {
  execFileSync(program(name), args, { ...owner(), stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' })
}

function makeFolder(below = tmpdir()): string {
  const folder = mkdtempSync(join(below, 'kickout-postgres-'))
  const { uid, gid } = owner()
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid)
  return folder
}

export interface StartPostgresOptions {
  /** Where its folder is made. @defaultValue the system's folder for temporary files */
  readonly below?: string
  /** Settings over those of tests, as `name=value`. Tests give up `fsync`, which a benchmark must not. */
  readonly settings?: readonly string[]
}

/** A PostgreSQL of the tests' own, on a free port and in a folder of its own. */
export class PostgresServer {
  readonly port: number
  readonly #folder: string
  readonly #settings: readonly string[]
  #process: ChildProcess | undefined

  private constructor(folder: string, port: number, settings: readonly string[] = []) {
    this.#folder = folder
    this.port = port
    this.#settings = settings
  }

  static async start({ below, settings }: StartPostgresOptions = {}): Promise<PostgresServer> {
    const folder = makeFolder(below)
    const data = join(folder, 'data')
    run('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N'])
    const port = await onFreePorts(1, async (free) => Promise.resolve(free))
    const server = new PostgresServer(folder, port, settings)
    await server.restart()
    return server
  }

  /** A standby that streams from this one. */
  async startStandby(): Promise<PostgresServer> {
    const folder = makeFolder()
    run('pg_basebackup', [
      '-D',
      join(folder, 'data'),
      '-d',
      this.url,
      '-R',
      '-X',
      'stream',
      '-c',
      'fast',
    ])
    const standby = new PostgresServer(
      folder,
      await onFreePorts(1, async (port) => Promise.resolve(port)),
    )
    await standby.restart()
    return standby
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`
  }

  get pid(): number {
    const { pid } = this.#process ?? {}
    if (pid === undefined) throw new Error('This PostgreSQL does not run')
    return pid
  }

  /** Starts it (again) on the same port and data. */
  async restart(): Promise<void> {
    await waitUntil(async () => this.#tryToStart(), {
      what: 'PostgreSQL',
      timeoutMs: 20_000,
      everyMs: 100,
    })
  }

  async #tryToStart(): Promise<boolean> {
    const folder = this.#folder
    const child = spawn(
      program('postgres'),
      [
        '-D',
        join(folder, 'data'),
        '-p',
        String(this.port),
        '-k',
        folder,
        ...testSettings,
        ...asFlags(this.#settings),
      ],
      { ...owner(), stdio: 'ignore', cwd: '/' },
    )
    const ended = new Promise<false>((resolve) => child.once('exit', () => resolve(false)))
    if (child.pid === undefined) throw new Error('PostgreSQL cannot be started')
    watchProcess(child.pid)
    this.#process = child
    const answers = waitUntil(async () => this.#answers(), { what: 'an answer', timeoutMs: 15_000 })
    const isUp = await Promise.race([ended, answers])
    answers.catch(() => undefined)
    if (!isUp) forgetProcess(child.pid)
    return isUp
  }

  async #answers(): Promise<boolean> {
    await this.ask('SELECT 1')
    return true
  }

  /** One statement, or several, on a connection of their own. */
  async ask(text: string, values?: unknown[]): Promise<Record<string, unknown>[]> {
    const client = new Client({ connectionString: this.url })
    client.on('error', () => undefined)
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text, values)).rows
    } finally {
      await client.end()
    }
  }

  /** Promotes a standby. */
  promote(): void {
    run('pg_ctl', ['promote', '-w', '-D', join(this.#folder, 'data')])
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child?.pid === undefined) return
    this.#process = undefined
    const ended = new Promise((resolve) => child.once('exit', resolve))
    process.kill(child.pid, 'SIGKILL')
    await ended
    forgetProcess(child.pid)
  }

  /** Ends it and removes its data. */
  async stop(): Promise<void> {
    const child = this.#process
    if (child?.pid !== undefined && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      process.kill(child.pid, 'SIGQUIT')
      await ended
      forgetProcess(child.pid)
    }
    this.#process = undefined
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}

function asFlags(settings: readonly string[]): string[] {
  return settings.flatMap((setting) => ['-c', setting])
}

const testSettings = asFlags([
  'listen_addresses=127.0.0.1',
  'fsync=off',
  'max_connections=200',
  'max_wal_senders=4',
  'shared_buffers=32MB',
])
