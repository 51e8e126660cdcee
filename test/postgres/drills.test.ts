import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import { Pool } from 'pg'
import type { AccessTokenClaims } from '../../src/auth.ts'
import { isUnavailableError } from '../../src/errors.ts'
import {
  postgresRevocations,
  type PostgresRevocationsOptions,
  postgresStore,
} from '../../src/postgres/index.ts'
import type { AuditedRevocations } from '../../src/revocation/revocations.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { waitUntil } from '../support/wait.ts'
import { startCheckingServer } from './support/checking-server.ts'
import { makeSchema, usePostgres } from './support/deployment.ts'
import { pgbouncer, startPgBouncer } from './support/pgbouncer.ts'

/* Deployments in distress: what stops, fills up or is replaced, with requests and kick-outs going on meanwhile. */

const postgres = usePostgres()
const issuer = 'https://login.example.com'

function claimsOf(sub: string): AccessTokenClaims {
  return { iss: issuer, aud: 'https://api.example.com', exp: 4e9, iat: 1_000, sub }
}

async function startServer(
  options: PostgresRevocationsOptions,
  pool: Pool,
): Promise<AuditedRevocations> {
  const revocations = postgresRevocations(pool, { issuer, ...options })
  postgres.defer(async () => revocations.close())
  await revocations.ready()
  return revocations
}

/** What a request gets. */
async function ask(server: AuditedRevocations, sub: string): Promise<200 | 401 | 503> {
  try {
    return (await server.check(claimsOf(sub))).revoked ? 401 : 200
  } catch (error) {
    if (isUnavailableError(error)) return 503
    throw error
  }
}

async function untilLive(server: AuditedRevocations): Promise<void> {
  await waitUntil(() => server.status().state === 'live', {
    what: 'it to be live',
    timeoutMs: 20_000,
  })
}

/** The server and all its processes: each connection has one. */
function signalAll({ pid }: PostgresServer, signal: 'SIGSTOP' | 'SIGCONT'): void {
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  const pids = [pid, ...children.trim().split('\n').map(Number)]
  for (const each of pids) {
    try {
      process.kill(each, signal)
    } catch {
      // It has ended meanwhile.
    }
  }
}

test('a database that hangs (SIGSTOP): known kick-outs are 401, all else 503 in time, then all is well', async () => {
  const schema = await postgres.schema()
  const server = await startServer({ schema, maxStalenessMs: 1000 }, postgres.pool())
  await server.kickOut({ subject: 'out' })
  signalAll(postgres.server, 'SIGSTOP')
  try {
    await waitUntil(() => server.status().state === 'stale', { what: 'it to be stale' })
    expect(await ask(server, 'out')).toBe(401)
    const startedAt = performance.now()
    expect(await ask(server, 'in')).toBe(503)
    expect(performance.now() - startedAt).toBeLessThan(500)
    const attempt = server.kickOut({ subject: 'later' }).then(
      () => 'stored',
      (error: unknown) => isUnavailableError(error),
    )
    expect(await attempt).toBe(true)
  } finally {
    signalAll(postgres.server, 'SIGCONT')
  }
  await untilLive(server)
  expect(await ask(server, 'in')).toBe(200)
  expect(await ask(server, 'out')).toBe(401)
  expect(await server.kickOut({ subject: 'later' })).toMatchObject({ servers: 1, confirmed: 1 })
})

test('a server that was paused (SIGSTOP) counts until it cannot accept, and accepts nothing when it wakes', async () => {
  const schema = await postgres.schema()
  const paused = await startCheckingServer(postgres.server.url, { schema, maxStalenessMs: 2000 })
  postgres.defer(async () => paused.stop())
  const writer = postgresRevocations(postgres.pool(), { schema, issuer })
  postgres.defer(async () => writer.close())
  expect(await paused.ask(issuer, 'u1')).toBe(200)
  for (let round = 0; round < 5; round++) {
    const subject = `u-${round}`
    expect(await paused.ask(issuer, subject)).toBe(200)
    paused.signal('SIGSTOP')
    const { servers, confirmed } = await writer.kickOut({ subject }, { confirmTimeoutMs: 200 })
    expect({ servers, confirmed }).toEqual({ servers: 1, confirmed: 0 })
    // Past what its last proof is good for: nothing waits for it any more.
    await sleep(2300)
    expect(await writer.kickOut({ subject }, { confirmTimeoutMs: 0 })).toMatchObject({ servers: 0 })
    // Asked while it stands still, so that the question is the first thing that it finds.
    const answer = paused.ask(issuer, subject)
    paused.signal('SIGCONT')
    expect([401, 503]).toContain(await answer)
    await waitUntil(async () => (await paused.ask(issuer, 'somebody')) === 200, {
      what: 'it to be live again',
    })
    expect(await paused.ask(issuer, subject)).toBe(401)
  }
}, 60_000)

// `node scripts/ensure-pgbouncer.mjs` installs it.
;(pgbouncer === undefined ? describe.skip : describe)('PgBouncer in transaction mode', () => {
  test.each([{ listen: false }, { listen: true }])(
    'sessions, kick-outs and proofs work, with $listen as "listen", within the interval',
    async ({ listen }) => {
      const schema = await postgres.schema()
      const bouncer = await startPgBouncer(postgres.server.port)
      postgres.defer(async () => bouncer.stop())
      const pool = () => postgres.pool({ connectionString: bouncer.url })
      const options = { schema, listen, pollMs: 300 }
      const servers = await Promise.all([
        startServer(options, pool()),
        startServer(options, pool()),
        startServer(options, pool()),
      ])
      const [config] = await bouncer
        .show('SHOW POOLS')
        .then((rows) => rows.filter(({ database }) => database === 'postgres'))
      expect(config).toMatchObject({ pool_mode: 'transaction' })
      const store = postgresStore(pool(), { schema })
      postgres.defer(async () => store.close())
      const revocations = store.revocations(issuer)
      for (let round = 0; round < 10; round++) {
        const subject = `u${round}`
        const startedAt = performance.now()
        const result = await revocations.kickOut({ issuer, subject })
        expect(result).toMatchObject({ servers: 3, confirmed: 3 })
        expect(performance.now() - startedAt).toBeLessThan(950)
        for (const server of servers) expect(await ask(server, subject)).toBe(401)
      }
      for (const server of servers) expect(server.status().state).toBe('live')
    },
    60_000,
  )
})

/** Runs a program that only root may run: as root, or by a sudo that asks for no password. */
function asRoot(program: string, ...args: string[]): void {
  const command = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const [first = '', ...rest] = [...command, program, ...args]
  execFileSync(first, rest, { stdio: 'ignore' })
}

/** A small file system of its own in memory; `undefined` where this process may not mount one. */
function mountSmallDisk(megabytes: number): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'kickout-disk-'))
  try {
    asRoot('mount', '-t', 'tmpfs', '-o', `size=${megabytes}M,mode=777`, 'tmpfs', folder)
    return folder
  } catch {
    rmSync(folder, { recursive: true })
    return undefined
  }
}

const disk = mountSmallDisk(220)

// It takes root, or a sudo without a password, and in a container the right to mount (`--cap-add SYS_ADMIN`).
;(disk === undefined ? describe.skip : describe)('a disk that is full', () => {
  test('no kick-out is acknowledged that is not kept, none is forgotten, and room heals it', async () => {
    const folder = disk ?? ''
    const settings = ['min_wal_size=32MB', 'max_wal_size=48MB', 'autovacuum=off']
    const server = await PostgresServer.start({ below: folder, settings })
    const filler = join(folder, 'filler')
    try {
      const schema = await makeSchema(server, 'filled')
      const pool = new Pool({ connectionString: server.url })
      pool.on('error', () => undefined)
      postgres.defer(async () => pool.end())
      const api = await startServer({ schema, maxStalenessMs: 1000 }, pool)
      await api.kickOut({ subject: 'before' })
      const { bavail, bsize } = statfsSync(folder)
      writeFileSync(filler, Buffer.alloc(bavail * bsize))
      // Some still fit into pages that are there. What fails is 503, and a request is never let in by mistake.
      const acknowledged: string[] = []
      let failures = 0
      for (let index = 0; index < 6000 && failures < 3; index++) {
        const subject = `u${index}-${'x'.repeat(150)}`
        await api.kickOut({ subject, issuer }, { confirmTimeoutMs: 0 }).then(
          () => acknowledged.push(subject),
          (error: unknown) => {
            if (!isUnavailableError(error)) throw error
            failures++
          },
        )
      }
      expect(failures).toBe(3)
      expect(await ask(api, 'before')).toBe(401)
      for (const subject of acknowledged.slice(-5)) expect(await ask(api, subject)).toBe(401)
      rmSync(filler)
      // A database that could not write its log has stopped itself; its operator starts it again.
      await server.ask('SELECT 1').catch(async () => server.restart())
      await untilLive(api)
      expect(await api.kickOut({ subject: 'after' })).toMatchObject({ confirmed: 1 })
      const booted = await startServer({ schema }, pool)
      for (const subject of ['before', 'after', ...acknowledged])
        expect(await ask(booted, subject)).toBe(401)
    } finally {
      rmSync(filler, { force: true })
      postgres.defer(() => {
        asRoot('umount', '-l', folder)
        rmSync(folder, { recursive: true, force: true })
      })
      postgres.defer(async () => server.stop())
    }
  }, 120_000)
})

test('a primary that is killed under load, and its standby promoted: no one comes back', async () => {
  const primary = await PostgresServer.start({ settings: ['fsync=on'] })
  const schema = await makeSchema(primary, 'failover')
  const standby = await primary.startStandby()
  await primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
  await primary.ask('SELECT pg_reload_conf()')
  await waitUntil(
    async () =>
      (await primary.ask("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'quorum'"))
        .length === 1,
    { what: 'the standby to be synchronous', timeoutMs: 15_000 },
  )
  const proxy = await startProxy({ upstream: { host: '127.0.0.1', port: primary.port } })
  postgres.defer(async () => Promise.all([proxy.close(), standby.stop(), primary.stop()]))
  const url = primary.url.replace(`:${primary.port}/`, `:${proxy.port}/`)
  const pool = () => postgres.pool({ connectionString: url })
  const options = { schema, maxStalenessMs: 1000 }
  const servers = await Promise.all([1, 2, 3].map(async () => startServer(options, pool())))
  const writer = postgresRevocations(pool(), { schema, issuer })
  postgres.defer(async () => writer.close())

  const acknowledged = new Map<string, number>()
  const wrong: string[] = []
  const counts = { 200: 0, 401: 0, 503: 0 }
  const over = new AbortController()
  const kickOuts = (async () => {
    for (let index = 0; !over.signal.aborted; index++) {
      const subject = `u${index}`
      await writer.kickOut({ subject }, { confirmTimeoutMs: 0 }).then(
        () => acknowledged.set(subject, performance.now()),
        () => undefined,
      )
      await sleep(20)
    }
  })()
  const requests = servers.map(async (server) => {
    while (!over.signal.aborted) {
      const known = [...acknowledged]
      const [subject, at] = known[Math.floor(Math.random() * known.length)] ?? ['nobody', Infinity]
      const askedAt = performance.now()
      const status = await ask(server, subject)
      counts[status]++
      // A server may go on by what it knew for as long as its last proof is good.
      if (status === 200 && askedAt - at > 1000) wrong.push(subject)
      counts[await ask(server, 'innocent')]++
      await sleep(5)
    }
  })
  await sleep(1500)
  const beforeKill = acknowledged.size
  await primary.kill()
  proxy.reset()
  await sleep(500)
  standby.promote()
  proxy.switchUpstream({ host: '127.0.0.1', port: standby.port })
  proxy.reset()
  // The promoted one has no standby to wait for.
  await standby.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
  await standby.ask('SELECT pg_reload_conf()')
  await Promise.all(servers.map(untilLive))
  await sleep(1500)
  over.abort()
  await Promise.all([kickOuts, ...requests])

  expect(wrong).toEqual([])
  expect(beforeKill).toBeGreaterThan(10)
  expect(acknowledged.size).toBeGreaterThan(beforeKill)
  expect(counts[200]).toBeGreaterThan(100)
  const booted = await startServer({ schema }, pool())
  for (const subject of acknowledged.keys()) {
    for (const server of [...servers, booted]) {
      expect({ subject, status: await ask(server, subject) }).toEqual({ subject, status: 401 })
    }
  }
  expect(await ask(booted, 'innocent')).toBe(200)
}, 90_000)
