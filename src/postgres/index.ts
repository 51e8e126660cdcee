import { assertOptions } from '../options.ts'
import type { SessionStore } from '../issuer/sessions/session-store.ts'
import type { KeyStore } from '../key-store/key-store.ts'
import { SealedKeyStore } from '../key-store/sealed-key-store.ts'
import type { AuditedRevocations } from '../revocation/revocations.ts'
import { Commands } from './client/commands.ts'
import { PostgresRevocations } from './kick-outs/postgres-revocations.ts'
import {
  type PostgresKeyStoreOptions,
  type PostgresPool,
  type PostgresRevocationsOptions,
  type PostgresStoreOptions,
  readKeyStoreSchema,
  readRevocationsSettings,
  readSchemaName,
  readStoreSettings,
  type SchemaOptions,
} from './options.ts'
import { schemaStatements } from './schema/schema-sql.ts'
import { PostgresSessionStore } from './sessions/session-store.ts'

export type { RevocationsEvent } from '../events.ts'
export type { EncryptionKey, KeyStore, RotationOptions } from '../key-store/key-store.ts'
export type {
  PostgresKeyStoreOptions,
  PostgresLayoutOptions,
  PostgresPool,
  PostgresPoolClient,
  PostgresRevocationsOptions,
  PostgresStoreOptions,
  QueryAnswer,
  SchemaOptions,
} from './options.ts'

/**
 * Revocations shared by many servers over one PostgreSQL (13 or later). Each server keeps a copy of its own and proves its
 * freshness; nothing is connected before first use, and no table is ever made here: see {@link schemaSql}.
 *
 * @param pool - commands run on it; the log is followed on a connection of its own beside it
 * @throws TypeError for wrong options
 */
export function postgresRevocations(
  pool: PostgresPool,
  options: PostgresRevocationsOptions = {},
): AuditedRevocations {
  const settings = readRevocationsSettings(pool, options)
  return new PostgresRevocations(settings, {
    pool,
    commands: new Commands(pool, settings.schema),
  })
}

/**
 * Sessions shared by many issuer processes over one PostgreSQL, beside the revocations of the same users.
 *
 * @param pool - as above; it is never ended here
 * @throws TypeError for wrong options
 */
export function postgresStore(
  pool: PostgresPool,
  options: PostgresStoreOptions = {},
): SessionStore {
  const settings = readStoreSettings(pool, options)
  return new PostgresSessionStore(pool, new Commands(pool, settings.schema), settings)
}

/**
 * The signing keys of an issuer on PostgreSQL, encrypted, shared by all its processes: they publish the same keys, sign with
 * the same one, and rotate by themselves.
 *
 * @param pool - as above; it is never ended here
 * @throws TypeError for wrong options
 */
export function postgresKeyStore(pool: PostgresPool, options: PostgresKeyStoreOptions): KeyStore {
  const schema = readKeyStoreSchema(pool, options)
  return new SealedKeyStore('postgresKeyStore', options, async () => {
    const { PostgresKeyRecords } = await import('./signing-keys/key-records.ts')
    return new PostgresKeyRecords(new Commands(pool, schema))
  })
}

/**
 * The SQL that makes the schema, or brings an older one up to date, in one transaction; safe to repeat. Run it with the
 * migrations of the application, by a role that may create a schema.
 *
 * @throws TypeError for a wrong option
 */
export function schemaSql(options: SchemaOptions = {}): string {
  assertOptions('schemaSql', options, ['schema'])
  return schemaStatements(readSchemaName('schemaSql', options.schema))
}
