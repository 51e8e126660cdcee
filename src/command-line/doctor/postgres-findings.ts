import type pg from 'pg'
import { schemaVersion } from '../../postgres/schema/schema-sql.ts'
import type { ServerReport } from '../../revocation/confirm.ts'
import { countText, durationText } from '../output.ts'
import { ask } from '../postgres-store.ts'
import { clockFinding } from './clock-findings.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { serverFindings } from './server-findings.ts'

const minMajor = 13

type Row = Record<string, unknown>

/** What any role may ask the server. */
const serverQuestion = `SELECT current_setting('server_version') AS version,
  current_setting('server_version_num')::int / 10000 AS major, current_user AS role,
  pg_is_in_recovery() AS standby, pg_encoding_to_char(d.encoding) AS encoding,
  current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
  current_setting('synchronous_commit') AS synchronous_commit, current_setting('autovacuum') AS autovacuum,
  current_setting('synchronous_standby_names') AS synchronous_standby_names,
  current_setting('default_transaction_read_only') AS read_only,
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now
  FROM pg_database d WHERE d.datname = current_database()`

function serverFindingsOf(row: Row): Finding[] {
  const findings: Finding[] = [
    Number(row['major']) >= minMajor
      ? ok('version', `PostgreSQL ${String(row['version'])}`)
      : fail(
          'version',
          `PostgreSQL ${String(row['version'])}`,
          `use PostgreSQL ${minMajor} or later`,
        ),
  ]
  if (row['encoding'] !== 'UTF8') {
    findings.push(
      fail(
        'encoding',
        `the database has encoding ${String(row['encoding'])}: ids that it cannot hold are refused`,
        'use a database with encoding UTF8',
      ),
    )
  }
  if (row['standby'] === true) {
    findings.push(
      fail(
        'role',
        'this server is a standby: it proves nothing, and takes no kick-out',
        'connect to the primary, or name all hosts with target_session_attrs=read-write',
      ),
    )
  } else if (row['read_only'] === 'on') {
    findings.push(
      fail(
        'role',
        'transactions of this role are read-only by default: neither servers nor kick-outs can write',
        'ALTER ROLE … SET default_transaction_read_only = off',
      ),
    )
  }
  findings.push(persistenceFinding(row))
  if (row['autovacuum'] === 'off') {
    findings.push(
      warn(
        'vacuum',
        'autovacuum is off: tables that are updated all the time grow without end',
        'ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()',
      ),
    )
  }
  return findings
}

function persistenceFinding(row: Row): Finding {
  const off = ['fsync', 'full_page_writes'].find((name) => row[name] === 'off')
  if (off !== undefined) {
    return fail(
      'persistence',
      `${off} is off: a crash may lose kick-outs that were acknowledged, or the whole database`,
      `ALTER SYSTEM SET ${off} = on; SELECT pg_reload_conf()`,
    )
  }
  const mode = String(row['synchronous_commit'])
  return mode === 'off' || mode === 'local'
    ? ok(
        'persistence',
        `fsync on (synchronous_commit is ${mode}, and on for what this package writes)`,
      )
    : ok('persistence', `fsync on, synchronous_commit ${mode}`)
}

async function replicaFindings(pool: pg.Pool, row: Row): Promise<Finding[]> {
  if (row['standby'] === true) return []
  const [standbys] = await ask(
    pool,
    'SELECT count(*)::int AS standbys FROM pg_stat_replication',
  ).catch(() => [])
  const count = Number(standbys?.['standbys'] ?? 0)
  if (count === 0) return [ok('replicas', 'none: while this server is down, kick-outs are refused')]
  if (row['synchronous_standby_names'] !== '')
    return [ok('replicas', `${countText(count, 'standby server')}, synchronous`)]
  return [
    warn(
      'replicas',
      `${countText(count, 'standby server')}, none synchronous: a failover may lose the last kick-outs, until a server that remembers writes them again`,
      "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'; SELECT pg_reload_conf()",
    ),
  ]
}

async function schemaFinding(pool: pg.Pool, schema: string): Promise<Finding> {
  const remedy = 'express-kickout postgres migrate, by a role that may create a schema'
  const [row] = await ask(
    pool,
    `SELECT to_regprocedure('"${schema}".schema_version()') AS there, to_regnamespace('"${schema}"') AS named`,
  )
  if (!row?.['there']) {
    return row?.['named']
      ? fail('schema', `schema ${schema} holds nothing of this package`, remedy)
      : fail('schema', `there is no schema ${schema} in this database`, remedy)
  }
  const [held] = await ask(pool, `SELECT "${schema}".schema_version() AS version`)
  const version = Number(held?.['version'])
  if (version === schemaVersion) return ok('schema', `schema ${schema}, version ${version}`)
  return version < schemaVersion
    ? fail(
        'schema',
        `schema ${schema} has version ${version}, and ${schemaVersion} is needed`,
        remedy,
      )
    : fail(
        'schema',
        `schema ${schema} has version ${version}, made by a newer express-kickout`,
        'use that version here too',
      )
}

/** Rights of this role on everything in the schema. */
async function rightsFinding(pool: pg.Pool, schema: string, role: string): Promise<Finding> {
  const [row] = await ask(
    pool,
    `SELECT
      has_schema_privilege(to_regnamespace('"${schema}"'), 'USAGE') AS usage,
      (SELECT array_agg(DISTINCT c.relname || ' (' || p.right_needed || ')' )
        FROM pg_class c CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (right_needed)
        WHERE c.relnamespace = to_regnamespace('"${schema}"') AND c.relkind = 'r'
          AND NOT has_table_privilege(c.oid, p.right_needed)) AS tables,
      (SELECT array_agg(DISTINCT f.proname::text) FROM pg_proc f
        WHERE f.pronamespace = to_regnamespace('"${schema}"') AND NOT has_function_privilege(f.oid, 'EXECUTE')) AS functions`,
  )
  const tables = (row?.['tables'] ?? []) as string[]
  const functions = (row?.['functions'] ?? []) as string[]
  const missing = [
    ...(row?.['usage'] === true ? [] : [`USAGE on schema ${schema}`]),
    ...tables,
    ...functions.map((name) => `EXECUTE on ${name}`),
  ]
  if (missing.length === 0) return ok('rights', `role ${role} may read and write the schema`)
  const shown = missing.slice(0, 6).join(', ')
  const more = missing.length > 6 ? ` and ${missing.length - 6} more` : ''
  return fail(
    'rights',
    `role ${role} lacks ${shown}${more}`,
    `GRANT USAGE ON SCHEMA ${schema} TO ${role}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${role}; ` +
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role}`,
  )
}

async function logFinding(pool: pg.Pool, schema: string): Promise<Finding> {
  const [row] = await ask(
    pool,
    `SELECT m.seq, m.first, m.retention_ms,
      (SELECT count(*) FROM "${schema}".log l WHERE l.seq BETWEEN m.first AND m.seq) AS whole,
      (SELECT count(*) FROM "${schema}".log) AS entries
     FROM "${schema}".meta m`,
  )
  if (!row) {
    return fail(
      'log',
      'the head of the log is missing: another program deleted the row of the table meta',
      'any server of yours makes it again; kick out again whom you have kicked out since, or everyone',
    )
  }
  const expected = Math.max(0, Number(row['seq']) - Number(row['first']) + 1)
  if (Number(row['whole']) < expected) {
    return fail(
      'log',
      `${expected - Number(row['whole'])} of ${countText(expected, 'kick-out')} are missing: another program deleted rows of the table log`,
      'servers that remember them write them again within seconds; if this stays, run express-kickout postgres new-epoch',
    )
  }
  const retentionMs = Number(row['retention_ms'])
  const kept = retentionMs > 0 ? `, kept for ${durationText(retentionMs)}` : ''
  return ok('log', `${countText(Number(row['entries']), 'kick-out')}${kept}`)
}

/** Reads the reports, and changes nothing. */
async function readReports(pool: pg.Pool, schema: string): Promise<ServerReport[]> {
  const rows = await ask(
    pool,
    `SELECT server_id, "${schema}".now_ms() - said_at AS age, state, staleness_ms, seq, max_staleness_ms, epoch
     FROM "${schema}".servers ORDER BY server_id`,
  )
  return rows.map((row) => ({
    serverId: String(row['server_id']),
    ageMs: Math.max(0, Number(row['age'])),
    state: String(row['state']),
    stalenessMs: Number(row['staleness_ms']),
    seq: Number(row['seq']),
    maxStalenessMs: Number(row['max_staleness_ms']),
    epoch: String(row['epoch']),
  }))
}

/** Everything that is right and wrong with a PostgreSQL. */
export async function postgresFindings(pool: pg.Pool, schema: string): Promise<Finding[]> {
  const sentAt = Date.now()
  const [row = {}] = await ask(pool, serverQuestion)
  const clock = { there: Number(row['now']), sentAt, receivedAt: Date.now() }
  const schemaFound = await schemaFinding(pool, schema)
  const findings = [
    ...serverFindingsOf(row),
    ...(await replicaFindings(pool, row)),
    clockFinding('PostgreSQL', clock),
    schemaFound,
  ]
  if (schemaFound.status !== 'ok') return findings
  const rights = await rightsFinding(pool, schema, String(row['role']))
  if (rights.status !== 'ok') return [...findings, rights]
  return [
    ...findings,
    rights,
    await logFinding(pool, schema),
    ...serverFindings(await readReports(pool, schema)),
  ]
}
