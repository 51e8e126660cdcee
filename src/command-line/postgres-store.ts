import pg from 'pg'
import type { SessionRecord } from '../issuer/sessions/session-store.ts'
import { decodeText, encodeText } from '../postgres/encoding.ts'
import { postgresRevocations, postgresStore } from '../postgres/index.ts'
import { postgresDefaults, readSchemaName } from '../postgres/options.ts'
import { assertSchema } from '../postgres/client/commands.ts'
import type { ServerReport } from '../revocation/confirm.ts'
import { within } from '../timeout.ts'
import type { LogSummary, Store } from './store.ts'

/** How long connecting, and each answer, may take, milliseconds. */
const answerTimeoutMs = 3000

/** A pool for one command. Nothing of it keeps the process alive. */
export function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: 4,
    connectionTimeoutMillis: answerTimeoutMs,
    application_name: 'express-kickout',
    allowExitOnIdle: true,
  })
  // An idle connection was lost. The next statement takes another; without this listener the process would end.
  pool.on('error', () => undefined)
  return pool
}

type Row = Record<string, unknown>

/** One statement, or several without values, within a time. Returns the rows of the last one. */
export async function ask(
  pool: pg.Pool,
  text: string,
  values?: unknown[],
  timeoutMs = answerTimeoutMs,
): Promise<Row[]> {
  // Several statements have several results, which the types of pg do not say.
  const results: pg.QueryResult<Row> | pg.QueryResult<Row>[] = await within(
    pool.query<Row>(text, values),
    timeoutMs,
    'an answer',
  )
  const last = [results].flat().at(-1)
  return last?.rows ?? []
}

/** @throws TypeError for a name that is none, the error of PostgreSQL, or one that names `postgres migrate` */
export async function openPostgresStore(
  url: string,
  place: string,
  givenSchema: string | undefined,
): Promise<Store> {
  const schema = readSchemaName('--schema', givenSchema)
  const pool = openPool(url)
  try {
    await assertSchema(async (text, values) => ({ rows: await ask(pool, text, values) }), schema)
    const [head] = await ask(pool, `SELECT retention_ms FROM "${schema}".meta`)
    const retentionMs = Number(head?.['retention_ms'] ?? 0)
    return new PostgresAdministration(pool, schema, place, retentionMs)
  } catch (error) {
    await endPool(pool)
    throw error
  }
}

/** Ends the pool; a server that does not answer is not waited for. */
export async function endPool(pool: pg.Pool): Promise<void> {
  await within(pool.end(), 200, 'closing').catch(() => undefined)
}

class PostgresAdministration implements Store {
  readonly kind = 'postgres'
  readonly place: string
  readonly revocations: Store['revocations']
  readonly #pool: pg.Pool
  readonly #schema: string
  readonly #retentionMs: number

  constructor(pool: pg.Pool, schema: string, place: string, retentionMs: number) {
    this.#pool = pool
    this.#schema = schema
    this.#retentionMs = retentionMs
    this.place = `${place}, schema ${schema}`
    this.revocations = postgresRevocations(pool, this.#options)
  }

  /** A command must not raise how long the servers keep kick-outs. */
  get #options() {
    const { retentionSeconds } = postgresDefaults
    return {
      schema: this.#schema,
      retentionSeconds: this.#retentionMs > 0 ? this.#retentionMs / 1000 : retentionSeconds,
    }
  }

  async findSessions(subject: string, issuer: string | undefined): Promise<SessionRecord[]> {
    const store = postgresStore(this.#pool, this.#options)
    try {
      const issuers = issuer === undefined ? await this.#issuersOf(subject) : [issuer]
      const lists = await Promise.all(issuers.map(async (name) => store.list(name, subject)))
      return lists.flat()
    } finally {
      await store.close()
    }
  }

  async #issuersOf(subject: string): Promise<string[]> {
    const rows = await ask(
      this.#pool,
      `SELECT DISTINCT issuer FROM "${this.#schema}".sessions WHERE subject = $1 ORDER BY issuer`,
      [encodeText(subject)],
    )
    return rows.map((row) => decodeText(String(row['issuer'])))
  }

  async readLog(): Promise<LogSummary> {
    const [head] = await ask(
      this.#pool,
      `SELECT epoch, created_at, seq, retention_ms, (SELECT count(*) FROM "${this.#schema}".log) AS entries
       FROM "${this.#schema}".meta`,
    )
    return {
      isOpened: head !== undefined,
      epoch: head && String(head['epoch']),
      createdAt: head && Number(head['created_at']),
      seq: Number(head?.['seq'] ?? 0),
      entries: Number(head?.['entries'] ?? 0),
      partitions: 1,
      retentionMs: Number(head?.['retention_ms'] ?? 0) || undefined,
    }
  }

  async readServers(): Promise<ServerReport[]> {
    const rows = await ask(this.#pool, `SELECT * FROM "${this.#schema}".read_servers()`)
    const reports = rows.map((row) => ({
      serverId: String(row['server_id']),
      ageMs: Math.max(Number(row['said_at']), 0),
      state: String(row['state']),
      stalenessMs: Number(row['staleness_ms']),
      seq: Number(row['seq']),
      maxStalenessMs: Number(row['max_staleness_ms']),
      epoch: String(row['epoch']),
    }))
    return reports.sort((a, b) => (a.serverId < b.serverId ? -1 : 1))
  }

  async close(): Promise<void> {
    await this.revocations.close()
    await endPool(this.#pool)
  }
}
