import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { onFreePorts } from '../../support/free-port.ts'
import { forgetProcess, watchProcess } from '../../support/reaper.ts'
import { waitUntil } from '../../support/wait.ts'

const candidates = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer']

/** Where PgBouncer is; `undefined` on a machine without it. */
export const pgbouncer = candidates.find((path) => existsSync(path))

/** It refuses to run as root, so root lends it the user of PostgreSQL. */
function owner(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) =>
    Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }).trim())
  return { uid: id('-u'), gid: id('-g') }
}

export interface PgBouncer {
  readonly url: string
  /** One statement on its own console. */
  show(statement: string): Promise<Record<string, unknown>[]>
  stop(): Promise<void>
}

/** Starts a PgBouncer that gives a connection away for one transaction at a time. */
export async function startPgBouncer(upstreamPort: number): Promise<PgBouncer> {
  if (pgbouncer === undefined) throw new Error('PgBouncer is not installed')
  const folder = mkdtempSync(join(tmpdir(), 'kickout-pgbouncer-'))
  const port = await onFreePorts(1, async (free) => Promise.resolve(free))
  const file = join(folder, 'pgbouncer.ini')
  const users = join(folder, 'users.txt')
  writeFileSync(users, '"postgres" ""\n')
  writeFileSync(
    file,
    `[databases]
postgres = host=127.0.0.1 port=${upstreamPort} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
admin_users = postgres
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
`,
  )
  const { uid, gid } = owner()
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid)
  const child: ChildProcess = spawn(pgbouncer, [file], { ...owner(), stdio: 'ignore', cwd: '/' })
  const { pid } = child
  if (pid === undefined) throw new Error('PgBouncer cannot be started')
  watchProcess(pid)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const show = async (statement: string) => {
    const client = new Client({
      connectionString: `postgres://postgres@127.0.0.1:${port}/pgbouncer`,
    })
    client.on('error', () => undefined)
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(statement)).rows
    } finally {
      await client.end()
    }
  }
  await waitUntil(async () => (await show('SHOW VERSION')).length > 0, { what: 'PgBouncer' })
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    show,
    async stop() {
      child.kill('SIGKILL')
      await ended
      forgetProcess(pid)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
