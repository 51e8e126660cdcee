import type { RevocationsEvent } from '../events.ts'
import {
  assertOptions,
  optionError,
  readBoolean,
  readChoice,
  readFunction,
  readNumber,
  readString,
} from '../options.ts'
import { keyStoreOptionNames, type KeyStoreOptions } from '../key-store/sealed-key-store.ts'
import { readServerName } from '../revocation/server-id.ts'
import { defaultRetentionSeconds } from '../revocation/revocations.ts'

/** One answer of PostgreSQL. */
export interface QueryAnswer {
  /** The rows, as objects by column. */
  readonly rows: readonly unknown[]
}

/** A client of a pool. */
export interface PostgresPoolClient {
  /** Runs one statement with its parameters. */
  query(text: string, values?: unknown[]): Promise<QueryAnswer>
  /**
   * Gives the connection back.
   *
   * @param destroy - `true`: the connection is closed instead of used again
   */
  release(destroy?: boolean): void
  /** Of `pg`: a connection that is lost while it is lent says so by the event `error`. */
  on?(event: 'error', listener: () => void): unknown
  /** Takes such a listener away again. */
  removeListener?(event: 'error', listener: () => void): unknown
}

/** A `pg` Pool, or anything with its `query` and `connect`. It stays the caller's: it is never ended here. */
export interface PostgresPool {
  /** Runs one statement with its parameters, on any connection. */
  query(text: string, values?: unknown[]): Promise<QueryAnswer>
  /** Lends a connection until its `release`. */
  connect(): Promise<PostgresPoolClient>
}

/** Options that every process of a deployment has to give alike. */
export interface PostgresLayoutOptions {
  /**
   * The schema that the tables lie in: 1 to 48 characters a-z, 0-9 and `_`.
   *
   * @defaultValue 'kickout'
   */
  schema?: string
  /**
   * How long a revocation is kept, seconds: at least the longest token lifetime plus twice the clock tolerance.
   *
   * @defaultValue 90000
   */
  retentionSeconds?: number
  /** Receives changes of the copy's state and kick-outs, see `RevocationsEvent`. */
  onEvent?: (event: RevocationsEvent) => void
}

export interface PostgresStoreOptions extends PostgresLayoutOptions {
  /**
   * How often the log is read where nothing wakes the reader, milliseconds, 50 to 10000.
   *
   * @defaultValue 500
   */
  pollMs?: number
  /**
   * `LISTEN` on a connection of our own, so that a kick-out arrives at once. `false` where connections lead through a
   * transaction pooler (PgBouncer): then a kick-out arrives within `pollMs`.
   *
   * @defaultValue true
   */
  listen?: boolean
}

export interface PostgresRevocationsOptions extends PostgresStoreOptions {
  /**
   * How old the proof that the copy is complete may be, milliseconds; at least 250.
   *
   * @defaultValue 5000
   */
  maxStalenessMs?: number
  /**
   * Past that: `'lookup'` asks PostgreSQL per request, `'reject'` is 503 at once, `'accept'` lets requests through.
   *
   * @defaultValue 'lookup'
   */
  whenStale?: 'lookup' | 'reject' | 'accept'
  /** The issuer meant by targets that name none. */
  issuer?: string
  /**
   * Budget of one look-up, milliseconds.
   *
   * @defaultValue 150
   */
  lookupTimeoutMs?: number
  /**
   * The service that this process belongs to, at most 40 letters, digits, dots, dashes and underscores. Its id in
   * `unconfirmed` and in the list of servers begins with it. The host's name by default.
   */
  name?: string
}

/** What `postgresKeyStore` takes. */
export interface PostgresKeyStoreOptions extends KeyStoreOptions {
  /**
   * The schema of the other stores; the keys lie in one beside it, whose name ends in `_keys`.
   *
   * @defaultValue 'kickout'
   */
  schema?: string
}

/** What `schemaSql` is given. */
export interface SchemaOptions {
  /**
   * The schema that the tables lie in.
   *
   * @defaultValue 'kickout'
   */
  schema?: string
}

/** The default of every option that has one. */
export const postgresDefaults = {
  schema: 'kickout',
  pollMs: 500,
  listen: true,
  maxStalenessMs: 5000,
  whenStale: 'lookup',
  retentionSeconds: defaultRetentionSeconds,
  lookupTimeoutMs: 150,
} as const

export interface StoreSettings {
  readonly schema: string
  readonly retentionMs: number
  readonly pollMs: number
  readonly listen: boolean
  readonly onEvent: ((event: RevocationsEvent) => void) | undefined
}

export interface RevocationsSettings extends StoreSettings {
  readonly maxStalenessMs: number
  readonly whenStale: 'lookup' | 'reject' | 'accept'
  readonly issuer: string | undefined
  readonly lookupTimeoutMs: number
  readonly name: string | undefined
}

const storeNames = ['schema', 'retentionSeconds', 'onEvent', 'pollMs', 'listen'] as const
const revocationsNames = [
  ...storeNames,
  'maxStalenessMs',
  'whenStale',
  'issuer',
  'lookupTimeoutMs',
  'name',
] as const

const minStalenessMs = 250

function assertPool(where: string, pool: unknown): void {
  const { query, connect } = (pool ?? {}) as Partial<PostgresPool>
  if (typeof query === 'function' && typeof connect === 'function') return
  throw new TypeError(`${where}: the first argument must be a pg Pool: it needs query and connect`)
}

/** @throws TypeError unless it is a name that needs no quotes anywhere */
export function readSchemaName(where: string, value: unknown): string {
  const schema = readString(where, 'schema', value) ?? postgresDefaults.schema
  if (/^[a-z_][a-z0-9_]{0,47}$/.test(schema) && !schema.startsWith('pg_')) return schema
  throw optionError(
    where,
    'schema',
    'must have 1 to 48 characters a-z, 0-9 and _, and must not begin with a digit or pg_',
  )
}

function readLayout(where: string, pool: unknown, options: PostgresStoreOptions): StoreSettings {
  assertPool(where, pool)
  return {
    schema: readSchemaName(where, options.schema),
    retentionMs:
      readNumber(where, 'retentionSeconds', options.retentionSeconds, {
        fallback: postgresDefaults.retentionSeconds,
        min: 1,
      }) * 1000,
    pollMs: readNumber(where, 'pollMs', options.pollMs, {
      fallback: postgresDefaults.pollMs,
      min: 50,
      max: 10_000,
    }),
    listen: readBoolean(where, 'listen', options.listen, postgresDefaults.listen),
    onEvent: readFunction(where, 'onEvent', options.onEvent),
  }
}

/** @throws TypeError that names the option */
export function readStoreSettings(pool: unknown, options: PostgresStoreOptions): StoreSettings {
  assertOptions('postgresStore', options, storeNames)
  return readLayout('postgresStore', pool, options)
}

/** @throws TypeError that names the option. @returns the schema */
export function readKeyStoreSchema(pool: unknown, options: PostgresKeyStoreOptions): string {
  const where = 'postgresKeyStore'
  assertOptions(where, options, [...keyStoreOptionNames, 'schema'])
  assertPool(where, pool)
  return readSchemaName(where, options.schema)
}

/** @throws TypeError that names the option */
export function readRevocationsSettings(
  pool: unknown,
  options: PostgresRevocationsOptions,
): RevocationsSettings {
  const where = 'postgresRevocations'
  assertOptions(where, options, revocationsNames)
  return {
    ...readLayout(where, pool, options),
    maxStalenessMs: readNumber(where, 'maxStalenessMs', options.maxStalenessMs, {
      fallback: postgresDefaults.maxStalenessMs,
      min: minStalenessMs,
    }),
    whenStale: readChoice(
      where,
      'whenStale',
      options.whenStale,
      ['lookup', 'reject', 'accept'],
      postgresDefaults.whenStale,
    ),
    issuer: readString(where, 'issuer', options.issuer),
    name: readServerName(where, options.name),
    lookupTimeoutMs: readNumber(where, 'lookupTimeoutMs', options.lookupTimeoutMs, {
      fallback: postgresDefaults.lookupTimeoutMs,
      min: 1,
    }),
  }
}
