import { schemaSql } from '../postgres/index.ts'
import { readSchemaName } from '../postgres/options.ts'
import { schemaVersion } from '../postgres/schema/schema-sql.ts'
import { textOf } from './arguments.ts'
import type { Invocation } from './commands.ts'
import { variables } from './environment.ts'
import { refusal, storeFailure, usageError } from './failure.ts'
import { findAddress, loadPeer, placeOf, type StoreAddress } from './store.ts'

/** How long a statement may take, milliseconds: another migration may be under way. */
const statementTimeoutMs = 60_000

function readSchema({ given }: Invocation): string {
  try {
    return readSchemaName('express-kickout', textOf(given, 'schema'))
  } catch (error) {
    throw usageError((error as Error).message.replace(/^.*option "schema"/, '--schema'))
  }
}

function findDatabase(invocation: Invocation): StoreAddress {
  const address = findAddress(invocation, ['postgres'])
  if (address) return address
  throw usageError(`no database is named: set ${variables.postgresUrl}, or pass --postgres URL`)
}

type AskFirst = (text: string) => Promise<Record<string, unknown> | undefined>

/** Runs statements, and tells of failures with where the database is. */
async function withDatabase(
  { url, kind }: StoreAddress,
  use: (ask: AskFirst) => Promise<void>,
): Promise<void> {
  const { ask, endPool, openPool } = await loadPeer('pg', async () => import('./postgres-store.ts'))
  const pool = openPool(url)
  try {
    await use(async (text) => (await ask(pool, text, undefined, statementTimeoutMs))[0])
  } catch (error) {
    throw storeFailure(placeOf({ url, kind }), error)
  } finally {
    await endPool(pool)
  }
}

/** The version of the schema that is there; 0 for none. */
async function versionOf(ask: AskFirst, schema: string): Promise<number> {
  const found = await ask(`SELECT to_regprocedure('"${schema}".schema_version()') AS there`)
  if (!found?.['there']) return 0
  return Number((await ask(`SELECT "${schema}".schema_version() AS version`))?.['version'])
}

/** Makes the schema or brings it up to date; with `--print` it only shows the statements. */
export async function migrate(invocation: Invocation): Promise<boolean> {
  const { given, output } = invocation
  const schema = readSchema(invocation)
  const statements = schemaSql({ schema })
  if (given.print === true) {
    output.raw(statements)
    return true
  }
  await withDatabase(findDatabase(invocation), async (ask) => {
    const before = await versionOf(ask, schema)
    if (before > schemaVersion) {
      throw refusal(
        `the schema ${schema} has version ${before}, which a newer express-kickout has made; this one knows version ${schemaVersion}`,
      )
    }
    await ask(statements)
    output.json({ schema, version_before: before, version: schemaVersion })
    output.line(
      before === 0
        ? `schema ${schema} made, version ${schemaVersion}`
        : `schema ${schema}: version ${before} before, ${schemaVersion} now`,
    )
  })
  return true
}

/**
 * Begins another life of the log. After a restore to an earlier point numbers of the log stand for other entries than the
 * servers remember; in a new epoch each server reads everything again, and writes again what is missing.
 */
export async function beginEpoch(invocation: Invocation): Promise<boolean> {
  const { output } = invocation
  const schema = readSchema(invocation)
  await withDatabase(findDatabase(invocation), async (ask) => {
    if ((await versionOf(ask, schema)) !== schemaVersion) {
      throw refusal(
        `the schema ${schema} does not have version ${schemaVersion}: run express-kickout postgres migrate`,
      )
    }
    await ask(
      `SELECT "${schema}".prepare(); SELECT "${schema}".open_log(); SELECT "${schema}".begin_epoch()`,
    )
    const head = await ask(`SELECT epoch FROM "${schema}".meta`)
    const epoch = String(head?.['epoch'])
    output.json({ schema, epoch })
    output.line(`schema ${schema}: epoch ${epoch} begins`)
    output.line(
      '  every server reads the log again, and writes again the kick-outs that are missing',
    )
  })
  return true
}
