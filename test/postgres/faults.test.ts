import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { Client, type Pool, type PoolClient } from 'pg'
import type { AccessTokenClaims } from '../../src/auth.ts'
import { isUnavailableError } from '../../src/errors.ts'
import type { RevocationsEvent } from '../../src/events.ts'
import {
  postgresRevocations,
  type PostgresRevocationsOptions,
  postgresStore,
  schemaSql,
} from '../../src/postgres/index.ts'
import type { AuditedRevocations } from '../../src/revocation/revocations.ts'
import { waitUntil } from '../support/wait.ts'
import { makeSchema, usePostgres } from './support/deployment.ts'

const postgres = usePostgres()
const issuer = 'https://login.example.com'

function claimsOf(sub: string): AccessTokenClaims {
  return { iss: issuer, aud: 'https://api.example.com', exp: 4e9, iat: 1_000, sub }
}

interface Server {
  readonly revocations: AuditedRevocations
  readonly events: RevocationsEvent[]
  readonly pool: Pool
}

function startServer(options: PostgresRevocationsOptions, pool = postgres.pool()): Server {
  const events: RevocationsEvent[] = []
  const onEvent = (event: RevocationsEvent) => events.push(event)
  const revocations = postgresRevocations(pool, { issuer, onEvent, ...options })
  postgres.defer(async () => revocations.close())
  return { revocations, events, pool }
}

async function startReadyServer(options: PostgresRevocationsOptions, pool?: Pool): Promise<Server> {
  const server = startServer(options, pool)
  await server.revocations.ready()
  return server
}

async function isOut({ revocations }: Server, sub: string): Promise<boolean> {
  return (await revocations.check(claimsOf(sub))).revoked
}

async function untilLive({ revocations }: Server): Promise<void> {
  await waitUntil(() => revocations.status().state === 'live', {
    what: 'the copy to be proved again',
    timeoutMs: 15_000,
  })
}

async function expectUnavailable(attempt: Promise<unknown>): Promise<void> {
  const error: unknown = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(isUnavailableError(error)).toBe(true)
}

/** A connection of another application, that is closed after the test. */
async function openStranger(): Promise<Client> {
  const client = new Client({ connectionString: postgres.server.url })
  client.on('error', () => undefined)
  await client.connect()
  postgres.defer(async () => client.end())
  return client
}

async function startSession(store: ReturnType<typeof postgresStore>): Promise<string> {
  const sessionId = `0-${randomBytes(16).toString('base64url')}`
  await store.start({
    sessionId,
    issuer,
    subject: 'u1',
    clientId: undefined,
    scopes: [],
    device: undefined,
    authentication: {},
    idleTtlMs: 60_000,
    absoluteTtlMs: 60_000,
    maxPerSubject: undefined,
    whenFull: 'end-oldest',
  })
  return sessionId
}

function rotation(sessionId: string) {
  return { sessionId, counter: 0, clientId: undefined, scopes: undefined, graceMs: 10_000, lostAnswerMs: 0, idleTtlMs: 60_000 } // prettier-ignore
}

test('of 50 rotations of one token by two issuers at once, one wins and 49 get its successor', async () => {
  const schema = await postgres.schema()
  const pools = [1, 2].map(() => postgres.pool({ max: 5 }))
  const stores = pools.map((pool) => postgresStore(pool, { schema }))
  postgres.defer(async () => Promise.all(stores.map(async (store) => store.close())))
  // All connections are open before the race begins, so that the rotations meet.
  const sleeps = pools.flatMap((pool) =>
    Array.from({ length: 5 }, async () => pool.query('SELECT pg_sleep(0.2)')),
  )
  await Promise.all(sleeps)
  const calls = Array.from({ length: 50 }, (_, index) => stores[index % 2]!)
  const sessionId = await startSession(stores[0]!)
  // The first ten meet at the row, whatever the machine is doing.
  const stranger = await openStranger()
  await stranger.query('BEGIN')
  await stranger.query(`SELECT * FROM ${schema}.sessions FOR UPDATE`)
  const rotations = calls.map(async (store) => store.rotate(rotation(sessionId)))
  await new Promise((resolve) => setTimeout(resolve, 150))
  await stranger.query('COMMIT')
  const outcomes = await Promise.all(rotations)
  const words = outcomes.map(({ outcome }) => outcome)
  expect(words.filter((word) => word === 'rotated')).toHaveLength(1)
  expect(words.filter((word) => word === 'retried')).toHaveLength(49)
  expect(new Set(outcomes.map((outcome) => 'counter' in outcome && outcome.counter)).size).toBe(1)
})

test('kick-outs of one user that come at once do not wait for each other where they raise the retention', async () => {
  for (let round = 0; round < 5; round++) {
    const schema = await postgres.schema()
    const pool = postgres.pool({ max: 20 })
    const writers = Array.from({ length: 4 }, () =>
      postgresRevocations(pool, { schema, issuer, retentionSeconds: 90_000 }),
    )
    postgres.defer(async () => Promise.all(writers.map(async (writer) => writer.close())))
    const kickOuts = Array.from({ length: 20 }, async (_, index) =>
      writers[index % writers.length]?.kickOut({ subject: 'ada' }, { confirmTimeoutMs: 0 }),
    )
    expect(await Promise.all(kickOuts)).toHaveLength(20)
    const [meta] = await postgres.server.ask(`SELECT retention_ms FROM ${schema}.meta`)
    expect(meta).toEqual({ retention_ms: '90000000' })
  }
})

test('three servers confirm a kick-out that a fourth process writes', async () => {
  const schema = await postgres.schema()
  const servers = await Promise.all([1, 2, 3].map(async () => startReadyServer({ schema })))
  const { revocations } = startServer({ schema })
  const result = await revocations.kickOut({ subject: 'u1' })
  expect(result).toMatchObject({ servers: 3, confirmed: 3, unconfirmed: [] })
  for (const server of servers) expect(await isOut(server, 'u1')).toBe(true)
})

test('a kick-out is in force before the server has reported it', async () => {
  const schema = await postgres.schema()
  const server = await startReadyServer({ schema, pollMs: 10_000, maxStalenessMs: 100_000 })
  const { revocations } = startServer({ schema })
  const stranger = await openStranger()
  await stranger.query(`BEGIN; LOCK TABLE ${schema}.servers IN EXCLUSIVE MODE`)
  await revocations.kickOut({ subject: 'u1' }, { confirmTimeoutMs: 0 })
  await waitUntil(async () => isOut(server, 'u1'), { what: 'the kick-out to be in force' })
  await stranger.query('COMMIT')
  await waitUntil(
    async () => (await revocations.listServers()).some(({ applied }) => applied === 1),
    { what: 'the server to report it' },
  )
})

test('a transaction that commits late leaves no gap: what was numbered after it waits for it', async () => {
  const schema = await postgres.schema()
  const server = await startReadyServer({ schema })
  const stranger = await openStranger()
  await stranger.query('BEGIN')
  await stranger.query(
    `SELECT ${schema}.kick_out(90000000, 'late', $1, 'subject', 'late', NULL, NULL, NULL, NULL, 0, 0)`,
    [issuer],
  )
  const early = server.revocations.kickOut({ subject: 'early' })
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(await isOut(server, 'early')).toBe(false)
  await stranger.query('COMMIT')
  await early
  await waitUntil(async () => isOut(server, 'late'), { what: 'the late one to be in force' })
  expect(server.events.filter(({ type }) => type === 'revocations.gap')).toEqual([])
  const rows = await postgres.server.ask(`SELECT seq::int, target FROM ${schema}.log ORDER BY seq`)
  expect(rows).toEqual([
    { seq: 1, target: 'late' },
    { seq: 2, target: 'early' },
  ])
})

test('a server that hears no notification has a kick-out within its interval', async () => {
  const schema = await postgres.schema()
  const deaf = await startReadyServer({ schema, listen: false, pollMs: 200 })
  const { revocations } = startServer({ schema })
  const { confirmed, elapsedMs } = await revocations.kickOut({ subject: 'u1' })
  expect(confirmed).toBe(1)
  expect(elapsedMs).toBeLessThan(800)
  expect(await isOut(deaf, 'u1')).toBe(true)
})

test.each(['log', 'log, %.denied', 'meta, %.log, %.denied, %.marks'])(
  'kick-outs survive TRUNCATE of %s by hand: a server that has them writes them again',
  async (tables) => {
    const schema = await postgres.schema()
    const witness = await startReadyServer({ schema })
    for (const subject of ['a', 'b', 'c']) await witness.revocations.kickOut({ subject })
    await postgres.server.ask(`TRUNCATE ${schema}.${tables.replaceAll('%', schema)}`)
    await waitUntil(() => witness.events.some(({ type }) => type === 'revocations.gap'), {
      what: 'the loss to be noticed',
    })
    const booted = await startReadyServer({ schema })
    for (const subject of ['a', 'b', 'c']) {
      expect(await isOut(booted, subject)).toBe(true)
      expect(await booted.revocations.checkNow(claimsOf(subject))).toMatchObject({ revoked: true })
    }
    expect(await isOut(booted, 'd')).toBe(false)
    await untilLive(witness)
  },
)

test('a kick-out that is deleted from the middle of the log by hand is written again', async () => {
  const schema = await postgres.schema()
  const witness = await startReadyServer({ schema })
  for (const subject of ['a', 'b', 'c']) await witness.revocations.kickOut({ subject })
  await postgres.server.ask(`DELETE FROM ${schema}.log WHERE seq = 2`)
  await waitUntil(
    async () =>
      (await postgres.server.ask(`SELECT 1 FROM ${schema}.log WHERE target = 'b'`)).length === 1,
    { what: 'the kick-out to be written again' },
  )
  const booted = await startReadyServer({ schema })
  expect(await isOut(booted, 'b')).toBe(true)
})

test('kick-outs survive a restore to an earlier point', async () => {
  const schema = await postgres.schema()
  const witness = await startReadyServer({ schema })
  for (const subject of ['a', 'b', 'c']) await witness.revocations.kickOut({ subject })
  // As a restore leaves it: no trigger fires, and the head goes back.
  await postgres.server.ask(`
    BEGIN;
    SET LOCAL session_replication_role = replica;
    DELETE FROM ${schema}.log WHERE seq > 1;
    DELETE FROM ${schema}.denied WHERE target <> 'a';
    UPDATE ${schema}.meta SET seq = 1;
    COMMIT`)
  await waitUntil(
    async () => {
      const rows = await postgres.server.ask(`SELECT DISTINCT target FROM ${schema}.denied`)
      return rows.length === 3
    },
    { what: 'the lost ones to be written again' },
  )
  const causes = witness.events.flatMap((event) =>
    event.type === 'revocations.gap' ? [event.reason] : [],
  )
  expect(causes).toContain('regressed')
  await untilLive(witness)
})

test('a lock that another application holds is 503, not a wait without end', async () => {
  const schema = await postgres.schema()
  const store = postgresStore(postgres.pool(), { schema })
  postgres.defer(async () => store.close())
  const sessionId = await startSession(store)
  const stranger = await openStranger()
  await stranger.query('BEGIN')
  await stranger.query(`SELECT * FROM ${schema}.sessions FOR UPDATE`)
  await stranger.query(`SELECT * FROM ${schema}.meta FOR UPDATE`)
  const startedAt = performance.now()
  await Promise.all([
    expectUnavailable(store.rotate(rotation(sessionId))),
    expectUnavailable(store.revocations(issuer).kickOut({ issuer, subject: 'u2' })),
  ])
  expect(performance.now() - startedAt).toBeLessThan(2_000)
  await stranger.query('ROLLBACK')
  expect(await store.rotate(rotation(sessionId))).toMatchObject({ outcome: 'rotated' })
})

test('ready() names the statements to run where the schema is missing or of another version', async () => {
  const missing = startServer({ schema: 'nowhere' })
  await expect(missing.revocations.ready()).rejects.toThrow(
    /"nowhere" is not there.*migrate --schema nowhere.*schemaSql/,
  )
  const schema = await postgres.schema()
  await postgres.server.ask(
    `CREATE OR REPLACE FUNCTION ${schema}.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 99'`,
  )
  const other = startServer({ schema })
  await expect(other.revocations.ready()).rejects.toThrow(/has version 99.*schemaSql/)
  expect(() => other.revocations.check(claimsOf('u1'))).toThrow(/version 99/)
})

test('a role with the rights that docs/postgresql.md grants can do everything', async () => {
  const schema = await postgres.schema()
  const page = readFileSync(join(import.meta.dirname, '../../docs/postgresql.md'), 'utf8')
  const [, grants = ''] = /```sql\n([^]*?)```/.exec(page) ?? []
  await postgres.server.ask(`CREATE ROLE app LOGIN; ${grants.replaceAll('kickout', schema)}`)
  const url = postgres.server.url.replace('postgres@', 'app@')
  const pool = postgres.pool({ connectionString: url })
  const server = await startReadyServer({ schema }, pool)
  const store = postgresStore(pool, { schema })
  postgres.defer(async () => store.close())
  const sessionId = await startSession(store)
  expect(await store.rotate(rotation(sessionId))).toMatchObject({ outcome: 'rotated' })
  const kickedOut = await server.revocations.kickOut({ subject: 'u1' })
  expect(kickedOut).toMatchObject({ confirmed: 1, sessionsEnded: 1 })
  expect(await server.revocations.checkNow(claimsOf('u1'))).toMatchObject({ revoked: true })
  expect(server.events.filter(({ type }) => type === 'revocations.gap')).toEqual([])
})

test('the statements of the schema are safe to repeat, and keep what is there', async () => {
  const schema = await postgres.schema()
  const server = await startReadyServer({ schema })
  await server.revocations.kickOut({ subject: 'u1' })
  await postgres.server.ask(schemaSql({ schema }))
  const booted = await startReadyServer({ schema })
  expect(await isOut(booted, 'u1')).toBe(true)
  expect(server.events.filter(({ type }) => type === 'revocations.gap')).toEqual([])
})

test('a session has the same size after 200 refreshes as after one', async () => {
  const schema = await postgres.schema()
  const store = postgresStore(postgres.pool(), { schema })
  postgres.defer(async () => store.close())
  const sessionId = await startSession(store)
  const size = async () => {
    await postgres.server.ask(`VACUUM ${schema}.sessions`)
    const rows = await postgres.server.ask(
      `SELECT pg_column_size(s.*) AS row, pg_relation_size('${schema}.sessions') AS relation FROM ${schema}.sessions s`,
    )
    return rows[0]
  }
  await store.rotate(rotation(sessionId))
  const first = await size()
  for (let counter = 1; counter < 200; counter++) {
    await store.rotate({ ...rotation(sessionId), counter })
  }
  expect(await size()).toEqual(first)
})

test('an application that turned synchronous_commit off gets it for every kick-out all the same', async () => {
  const schema = await postgres.schema()
  const stranger = await openStranger()
  await stranger.query('SET synchronous_commit = off')
  await stranger.query('BEGIN')
  await stranger.query(`SELECT ${schema}.prepare()`)
  const { rows } = await stranger.query<{ synchronous_commit: string }>('SHOW synchronous_commit')
  expect(rows).toEqual([{ synchronous_commit: 'on' }])
  await stranger.query('ROLLBACK')
})

test('a primary that is killed and comes back: 503 meanwhile, and every kick-out is in force', async () => {
  const schema = await postgres.schema()
  const server = await startReadyServer({ schema, maxStalenessMs: 500 })
  await server.revocations.kickOut({ subject: 'u1' })
  await postgres.server.kill()
  await waitUntil(() => server.revocations.status().state === 'stale', { what: 'it to be stale' })
  expect(await isOut(server, 'u1')).toBe(true)
  await expectUnavailable((async () => isOut(server, 'u2'))())
  await expectUnavailable(server.revocations.kickOut({ subject: 'u3' }))
  await postgres.server.restart()
  await untilLive(server)
  expect(await isOut(server, 'u2')).toBe(false)
  await server.revocations.kickOut({ subject: 'u3' })
  const booted = await startReadyServer({ schema })
  expect(await isOut(booted, 'u1')).toBe(true)
  expect(await isOut(booted, 'u3')).toBe(true)
}, 60_000)

test('a standby proves nothing; promoted, it gets what it missed from the servers that saw it', async () => {
  const schema = await makeSchema(postgres.server, 'failover')
  const standby = await postgres.server.startStandby()
  postgres.defer(async () => standby.stop())
  const pool = postgres.pool()
  const server = await startReadyServer({ schema, maxStalenessMs: 1_000 }, pool)
  await server.revocations.kickOut({ subject: 'replicated' })
  await waitUntil(
    async () => (await standby.ask(`SELECT 1 FROM ${schema}.log`).catch(() => [])).length === 1,
    { what: 'the standby to have it' },
  )

  const reading = postgres.pool({ connectionString: standby.url })
  const misled = startServer({ schema }, reading)
  void misled.revocations.ready().catch(() => undefined)
  await expectUnavailable(misled.revocations.checkNow(claimsOf('replicated')))
  await expectUnavailable(postgresStore(reading, { schema }).find('0-x'))
  expect(misled.revocations.status().state).toBe('starting')

  // The standby stops receiving, so the next kick-out is lost with the primary.
  await standby
    .ask("ALTER SYSTEM SET primary_conninfo = ''; SELECT pg_reload_conf()")
    .catch(async () => {
      await standby.ask("ALTER SYSTEM SET primary_conninfo = ''")
      await standby.ask('SELECT pg_reload_conf()')
    })
  await waitUntil(
    async () => (await postgres.server.ask('SELECT 1 FROM pg_stat_replication')).length === 0,
    { what: 'the standby to be cut off' },
  )
  await server.revocations.kickOut({ subject: 'lost' })
  await postgres.server.kill()
  standby.promote()
  const { options } = pool as unknown as { options: { connectionString: string } }
  options.connectionString = standby.url
  await waitUntil(
    async () =>
      (await standby.ask(`SELECT 1 FROM ${schema}.denied WHERE target = 'lost'`)).length === 1,
    { what: 'the lost kick-out to be written again', timeoutMs: 30_000 },
  )
  const booted = await startReadyServer(
    { schema },
    postgres.pool({ connectionString: standby.url }),
  )
  expect(await isOut(booted, 'lost')).toBe(true)
  expect(await isOut(booted, 'replicated')).toBe(true)
  await postgres.server.restart()
}, 90_000)

test('a PostgreSQL that is killed while it works on a command ends no process of ours', async () => {
  const schema = await postgres.schema()
  const server = await startReadyServer({ schema })
  const stranger = await openStranger()
  await stranger.query(`BEGIN; LOCK TABLE ${schema}.log, ${schema}.meta IN ACCESS EXCLUSIVE MODE`)
  const waiting = expectUnavailable(server.revocations.kickOut({ subject: 'u1' }))
  await waitUntil(
    async () => {
      const rows = await postgres.server.ask(
        `SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%kick_out%'`,
      )
      return rows.length > 0
    },
    { what: 'the kick-out to wait for the lock' },
  )
  await postgres.server.kill()
  await waiting
  await postgres.server.restart()
  await waitUntil(
    async () =>
      server.revocations.kickOut({ subject: 'u1' }).then(
        () => true,
        () => false,
      ),
    { what: 'a kick-out after the restart', timeoutMs: 15_000 },
  )
})

test('a kick-out that PostgreSQL refused says why, also where no time is left for a further attempt', async () => {
  const pool = postgres.pool({ options: '-c default_transaction_read_only=on' })
  // Connected ahead, so that on a busy machine too the first attempt has time for its answer, and no second one has.
  await pool.query('SELECT 1')
  const connect = pool.connect.bind(pool) as () => Promise<PoolClient>
  pool.connect = (async () => {
    await sleep(610)
    return connect()
  }) as typeof pool.connect
  const { revocations } = startServer({ schema: await postgres.schema() }, pool)
  await expect(revocations.kickOut({ subject: 'u1' })).rejects.toThrow(/read-only transaction/)
})
