import { keyFunctions } from './key-functions.ts'
import { logFunctions } from './log-functions.ts'
import { readingFunctions } from './reading-functions.ts'
import { sessionFunctions } from './session-functions.ts'
import { tables } from './tables.ts'

/** The schema that this version of the package works with. */
export const schemaVersion = 1

/**
 * The statements that make the schema, or bring an older one up to date, in one transaction. Safe to repeat: what is there
 * stays. Two that run at once wait for each other.
 *
 * @param schema - a name that was checked, see `readSchemaName`
 */
export function schemaStatements(schema: string): string {
  const statements = `
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended('express-kickout schema', 0));
CREATE SCHEMA IF NOT EXISTS ":c";
${tables}
${logFunctions}
${readingFunctions}
${sessionFunctions}
${keyFunctions}
SELECT :s.open_log();
CREATE OR REPLACE FUNCTION :s.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT ${schemaVersion} $$;
COMMIT;
`
  return statements
    .replaceAll(':s.', `"${schema}".`)
    .replaceAll(':k.', `"${schema}_keys".`)
    .replaceAll(':c', schema)
}
