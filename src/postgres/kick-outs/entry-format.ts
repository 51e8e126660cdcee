import { isIdentifier } from '../../identifier.ts'
import type { LogEntry } from '../../revocation/log.ts'
import { type Revocation, revocationLevels } from '../../revocation/revocation.ts'
import { decodeText } from '../encoding.ts'

/** A row of the log, as JSON of PostgreSQL. */
export interface LogRow {
  readonly seq: number
  readonly kick_out_id: string
  readonly issuer: string
  readonly level: string
  readonly target: string
  readonly at: number
  readonly kept_until: number
  readonly version: number | null
  readonly reason: string | null
  /** JSON of `by`. */
  readonly written_by: string | null
}

function toRevocation(row: LogRow): Revocation | undefined {
  const level = revocationLevels.find((known) => known === row.level)
  const issuer = decodeText(row.issuer)
  const id = decodeText(row.target)
  if (!level || !isIdentifier(issuer)) return undefined
  if (level === 'everyone' ? id !== '' : !isIdentifier(id)) return undefined
  return {
    kickOutId: row.kick_out_id,
    issuer,
    level,
    id,
    at: row.at,
    until: row.kept_until,
    ...(row.version !== null && { version: row.version }),
    ...(row.reason !== null && { reason: decodeText(row.reason) }),
    ...(row.written_by !== null && {
      by: JSON.parse(row.written_by) as NonNullable<Revocation['by']>,
    }),
  }
}

/** Reads one row of the log. A row of another program comes back without a number: no copy is proved while it is there. */
export function decodeRow(row: LogRow): LogEntry {
  const position = `${row.seq}-${row.kick_out_id}`
  let revocation: Revocation | undefined
  try {
    revocation = toRevocation(row)
  } catch {
    // `written_by` is not JSON: another program wrote the row.
  }
  return { position, seq: revocation && row.seq, revocation }
}

/** The number in a position of the log. */
export function seqOf(position: string): number {
  return Number(position.slice(0, position.indexOf('-')))
}
