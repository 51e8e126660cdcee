import { setTimeout as sleep } from 'node:timers/promises'
import { Timeout, within } from '../../timeout.ts'
import {
  postgresDefaults,
  type PostgresPool,
  type PostgresPoolClient,
  type QueryAnswer,
} from '../options.ts'
import { schemaVersion } from '../schema/schema-sql.ts'
import { isMissing, isRepeatable, NotConnected, UnfitDatabase } from './failure.ts'

/** The budget of a write, in milliseconds. After it the caller gets an error, although PostgreSQL may have written. */
export const writeBudgetMs = 900

const retryMs = 40
/** The part of a budget that a further attempt needs. The error of the last answer says more than a timeout would. */
const leastPartLeft = 1 / 3
/** How many budgets a statement may wait for a connection while others are answered. */
const maxPatience = 5

/** Asks for one row, with the names of its columns. */
export interface Ask {
  (text: string, values?: unknown[]): Promise<QueryAnswer>
}

/** Says that the schema is not the one that this version of the package works with, and what to do. */
function describeSchema(schema: string, found: number | undefined): string {
  const is = found === undefined ? 'is not there' : `has version ${found}`
  return (
    `The PostgreSQL schema "${schema}" ${is}, and this version of express-kickout works with version ${schemaVersion}: ` +
    `run npx express-kickout postgres migrate${schema === postgresDefaults.schema ? '' : ` --schema ${schema}`}, ` +
    `or the statements of schemaSql({ schema: '${schema}' })`
  )
}

/** @throws UnfitDatabase unless the schema has the version that this package works with */
export async function assertSchema(ask: Ask, schema: string): Promise<void> {
  let found: number | undefined
  try {
    const { rows } = await ask(`SELECT "${schema}".schema_version() AS version`)
    found = Number((rows[0] as { version?: unknown } | undefined)?.version)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  if (found !== schemaVersion) throw new UnfitDatabase(describeSchema(schema, found))
}

/**
 * Runs statements on clients of the user's pool, each within a budget. A client whose answer is late is closed and not given
 * back, since its connection may never answer.
 */
export class Commands {
  readonly #pool: PostgresPool
  readonly #schema: string
  #answeredAtMs = Number.NEGATIVE_INFINITY
  #isChecked = false
  #closed = false

  constructor(pool: PostgresPool, schema: string) {
    this.#pool = pool
    this.#schema = schema
  }

  close(): void {
    this.#closed = true
  }

  /**
   * Calls one of the schema's functions. Within the budget it repeats a call that certainly wrote nothing.
   *
   * @returns its rows
   * @throws the error of PostgreSQL, or `Timeout`
   */
  async call(name: string, values: readonly unknown[], budgetMs: number): Promise<unknown[]> {
    const deadlineMs = performance.now() + budgetMs
    for (;;) {
      try {
        return await this.#once(name, values, deadlineMs - performance.now())
      } catch (error) {
        const isLate = performance.now() + budgetMs * leastPartLeft >= deadlineMs
        if (!isRepeatable(error) || isLate || this.#closed) throw error
        await sleep(retryMs * (0.5 + Math.random()))
      }
    }
  }

  async #once(name: string, values: readonly unknown[], budgetMs: number): Promise<unknown[]> {
    if (this.#closed) throw new Error('closed')
    const client = await this.#connect(budgetMs)
    // A pool listens for errors of idle connections only. Without this listener a lost connection would end the process.
    client.on?.('error', ignore)
    const deadlineMs = performance.now() + budgetMs
    let isSound = false
    try {
      const ask: Ask = async (text, parameters) => {
        const leftMs = deadlineMs - performance.now()
        if (leftMs <= 0) throw new Timeout(`PostgreSQL took longer than ${Math.ceil(budgetMs)} ms`)
        return within(client.query(text, parameters), leftMs, 'PostgreSQL')
      }
      if (!this.#isChecked) {
        await assertSchema(ask, this.#schema)
        this.#isChecked = true
      }
      const places = values.map((_, index) => `$${index + 1}`).join(', ')
      const { rows } = await ask(`SELECT * FROM "${this.#schema}".${name}(${places})`, [...values])
      isSound = true
      this.#answeredAtMs = performance.now()
      return [...rows]
    } catch (error) {
      // After an answer with an SQLSTATE the connection is still sound. After a missing function the schema is checked again.
      isSound =
        /^[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code)) && !isShutdown(error)
      if (isMissing(error)) this.#isChecked = false
      throw error
    } finally {
      if (isSound) client.removeListener?.('error', ignore)
      client.release(!isSound)
    }
  }

  /** Waits for a connection of the pool, for longer than the budget only while PostgreSQL answers other statements. */
  async #connect(budgetMs: number): Promise<PostgresPoolClient> {
    const connecting = this.#pool.connect()
    const limitMs = performance.now() + budgetMs * maxPatience
    for (;;) {
      try {
        return await within(connecting, budgetMs, 'A connection to PostgreSQL')
      } catch (error) {
        const nowMs = performance.now()
        const isAnswering = this.#answeredAtMs > nowMs - budgetMs
        if (error instanceof Timeout && isAnswering && nowMs < limitMs && !this.#closed) continue
        this.#giveBack(connecting)
        throw new NotConnected(error instanceof Error ? error.message : 'no connection')
      }
    }
  }

  /** A connection that comes late goes back to the pool. */
  #giveBack(connecting: Promise<PostgresPoolClient>): void {
    connecting.then(
      (client) => client.release(),
      () => undefined,
    )
  }
}

/** The query under way fails by itself. */
function ignore(): void {
  // There is nothing else to do.
}

function isShutdown(error: unknown): boolean {
  return /^(57P0|08|25006)/.test(String((error as { code?: unknown }).code))
}
