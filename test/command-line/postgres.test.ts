import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { Client, Pool } from 'pg'
import { createIssuer } from '../../src/issuer/index.ts'
import {
  postgresKeyStore,
  postgresRevocations,
  postgresStore,
  schemaSql,
} from '../../src/postgres/index.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { waitUntil } from '../support/wait.ts'
import { runCommand } from './support/built-command.ts'
import { issuerName, useStage } from './support/stage.ts'

const stage = useStage()
let server: PostgresServer
let pool: Pool

beforeAll(async () => {
  server = await PostgresServer.start()
  pool = new Pool({ connectionString: server.url })
  pool.on('error', () => undefined)
}, 60_000)

afterAll(async () => {
  await pool.end()
  await server.stop()
})

interface Examined {
  checks: { check: string; status: string; message: string; remedy: string | null }[]
}

const run = async (...args: string[]) =>
  runCommand(args, { env: { KICKOUT_POSTGRES_URL: server.url } })

async function doctor(...flags: string[]) {
  const ran = await run('doctor', '--json', ...flags)
  return { ran, checks: ran.json<Examined>().checks }
}

test('postgres migrate makes the schema, says so, and is safe to repeat', async () => {
  const printed = await runCommand(['postgres', 'migrate', '--print'])
  expect(printed).toMatchObject({ exitCode: 0, stderr: '', stdout: schemaSql() })
  const own = await runCommand(['postgres', 'migrate', '--print', '--schema', 'app'])
  expect(own.stdout).toBe(schemaSql({ schema: 'app' }))
  const { checks } = await doctor()
  expect(checks).toContainEqual({
    check: 'schema',
    status: 'fail',
    message: 'there is no schema kickout in this database',
    remedy: expect.stringContaining('express-kickout postgres migrate'),
  })
  expect(await run('status')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('is not there'),
  })
  expect((await run('postgres', 'migrate', '--json')).json()).toEqual({
    schema: 'kickout',
    version_before: 0,
    version: 1,
  })
  expect(await run('postgres', 'migrate')).toMatchObject({
    exitCode: 0,
    stdout: 'schema kickout: version 1 before, 1 now\n',
  })
  expect(await run('postgres', 'migrate', '--schema', 'Bad"Name')).toMatchObject({ exitCode: 2 })
  expect(await runCommand(['postgres', 'migrate'])).toMatchObject({ exitCode: 2 })
  const away = { KICKOUT_POSTGRES_URL: 'postgres://u@127.0.0.1:1/db' }
  expect(await runCommand(['postgres', 'migrate'], { env: away })).toMatchObject({ exitCode: 3 })
})

test('postgres migrate refuses a schema that a newer version has made', async () => {
  await run('postgres', 'migrate', '--schema', 'newer')
  await server.ask(
    'CREATE OR REPLACE FUNCTION newer.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 99 $$',
  )
  const ran = await run('postgres', 'migrate', '--schema', 'newer')
  expect(ran).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('version 99') })
  const { checks } = await doctor('--schema', 'newer')
  expect(checks).toContainEqual(
    expect.objectContaining({
      check: 'schema',
      status: 'fail',
      message: expect.stringContaining('newer'),
    }),
  )
})

test('kick-out, kick-outs, sessions, servers and status work as on Redis', async () => {
  const store = postgresStore(pool)
  const issuer = await stage.issuer(store)
  await issuer.startSession({ subject: 'u1' })
  const first = await stage.server('postgres', server.url, { maxStalenessMs: 60_000 })
  const second = await stage.server('postgres', server.url, { maxStalenessMs: 60_000 })
  const sessions = await run('sessions', '--subject', 'u1', '--json')
  expect(sessions.json<{ sessions: object[] }>().sessions).toHaveLength(1)
  const done = await run('kick-out', '--issuer', issuerName, '--subject', 'u1', '--by', 'alice')
  expect(done).toMatchObject({ exitCode: 0, stderr: '' })
  for (const { serverId } of [first, second])
    expect(done.stdout).toMatch(new RegExp(`^confirmed by ${serverId} after `, 'm'))
  expect(done.stdout).toContain('1 session ended')
  second.signal('SIGSTOP')
  const flags = ['--issuer', issuerName, '--everyone', '--yes', '--timeout', '1200ms', '--json']
  const partly = await run('kick-out', ...flags)
  expect(partly.exitCode).toBe(1)
  expect(partly.json()).toMatchObject({ servers: 2, confirmed: 1, unconfirmed: [second.serverId] })
  type KickOuts = { kick_outs: { target: string; by: string }[] }
  const listed = (await run('kick-outs', '--by', 'alice', '--json')).json<KickOuts>()
  expect(listed.kick_outs).toMatchObject([{ target: 'u1', by: 'alice' }])
  expect((await run('servers', '--json')).json<{ servers: object[] }>().servers).toHaveLength(2)
  expect((await run('status', '--json')).json()).toMatchObject({
    store: 'postgres',
    place: expect.stringMatching(
      /^PostgreSQL at 127\.0\.0\.1:\d+, database postgres, schema kickout$/,
    ),
    opened: true,
    retention_seconds: 90_000,
    kick_outs: { kept: 2 },
  })
})

test('keys rotate has the next key stored', async () => {
  const encryptionKey = 'a key of thirty-two bytes or more, for tests only'
  const issuer = stage.closing(
    createIssuer({
      issuer: issuerName,
      audience: 'https://api.example.com',
      keyStore: postgresKeyStore(pool, { encryptionKey }),
      refreshTokenSecret: 'a secret of thirty-two bytes or more, for tests only',
      store: postgresStore(pool),
    }),
  )
  await issuer.ready()
  const env = { KICKOUT_POSTGRES_URL: server.url, KICKOUT_ENCRYPTION_KEY: encryptionKey }
  const args = ['keys', 'rotate', '--issuer', issuerName, '--json']
  const ran = await runCommand(args, { env })
  expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
  expect(ran.json()).toMatchObject({ alg: 'ES256', published_before: 1 })
  const next = (await runCommand(args, { env })).json()
  expect(next).toMatchObject({ published_before: 2 })
})

test('the doctor names what is wrong', async () => {
  // The tests run without fsync, which is a fault in its own right.
  const { ran, checks } = await doctor()
  expect(ran.exitCode).toBe(1)
  expect(checks.filter(({ status }) => status === 'fail')).toEqual([
    {
      check: 'persistence',
      status: 'fail',
      message: expect.stringContaining('fsync is off'),
      remedy: expect.stringContaining('ALTER SYSTEM SET fsync = on'),
    },
  ])
  await server.ask('CREATE ROLE api LOGIN')
  await server.ask('GRANT USAGE ON SCHEMA kickout TO api')
  const asApi = { KICKOUT_POSTGRES_URL: server.url.replace('postgres@', 'api@') }
  const rights = await runCommand(['doctor'], { env: asApi })
  expect(rights.stdout).toMatch(
    /FAIL {2}rights +role api lacks .*\n.*remedy: GRANT USAGE ON SCHEMA kickout TO api/,
  )
  const kickOut = ['kick-out', '--issuer', issuerName, '--subject', 'u1']
  expect(await runCommand(kickOut, { env: asApi })).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('permission denied'),
  })
  const shift = 'const now = Date.now; Date.now = () => now() - 90_000'
  const env = {
    KICKOUT_POSTGRES_URL: server.url,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shift)}`,
  }
  const skewed = await runCommand(['doctor'], { env })
  expect(skewed.stdout).toMatch(/FAIL {2}clocks +the clock of PostgreSQL is 90\.\d s ahead/)
})

test('the doctor sees a standby, and entries that are missing; new-epoch begins another life', async () => {
  const standby = stage.closing(await server.startStandby())
  const env = { KICKOUT_POSTGRES_URL: standby.url }
  const onStandby = await runCommand(['doctor'], { env })
  expect(onStandby).toMatchObject({
    exitCode: 1,
    stdout: expect.stringMatching(/FAIL {2}role .*standby/),
  })
  const kickOut = ['kick-out', '--issuer', issuerName, '--subject', 'u1']
  expect(await runCommand(kickOut, { env })).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('standby'),
  })
  const { checks } = await doctor()
  expect(checks).toContainEqual(
    expect.objectContaining({
      check: 'replicas',
      status: 'warn',
      message: expect.stringContaining('none synchronous'),
    }),
  )
  // As a restore that left rows out: no trigger sees it.
  await server.ask(
    "SET session_replication_role = replica; DELETE FROM kickout.log WHERE level = 'subject'",
  )
  const missing = await doctor()
  expect(missing.checks).toContainEqual(
    expect.objectContaining({
      check: 'log',
      status: 'fail',
      remedy: expect.stringContaining('postgres new-epoch'),
    }),
  )
  const [before] = await server.ask('SELECT epoch FROM kickout.meta')
  const ran = await run('postgres', 'new-epoch', '--json')
  expect(ran.exitCode).toBe(0)
  const { epoch } = ran.json<{ epoch: string }>()
  expect(epoch).not.toBe(before?.['epoch'])
  expect(await server.ask('SELECT epoch FROM kickout.meta')).toEqual([{ epoch }])
})

test('after new-epoch a server writes again what only it remembers', async () => {
  const api = stage.closing(postgresRevocations(pool, { issuer: issuerName }))
  await api.ready()
  await api.kickOut({ subject: 'remembered' })
  await server.ask(
    "SET session_replication_role = replica; DELETE FROM kickout.log WHERE target = 'remembered'; DELETE FROM kickout.denied WHERE target = 'remembered'",
  )
  expect((await run('postgres', 'new-epoch')).exitCode).toBe(0)
  await waitUntil(
    async () =>
      (await server.ask("SELECT 1 FROM kickout.denied WHERE target = 'remembered'")).length === 1,
    { what: 'the kick-out to be written again', timeoutMs: 15_000 },
  )
})

test('a database that hangs is unreachable', async () => {
  const paused = stage.closing(await PostgresServer.start())
  const client = new Client({ connectionString: paused.url })
  await client.connect()
  await client.end()
  process.kill(paused.pid, 'SIGSTOP')
  const env = { KICKOUT_POSTGRES_URL: paused.url }
  expect(await runCommand(['status'], { env })).toMatchObject({ exitCode: 3 })
  process.kill(paused.pid, 'SIGCONT')
})
