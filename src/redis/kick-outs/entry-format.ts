import { isIdentifier } from '../../identifier.ts'
import type { LogEntry } from '../../revocation/log.ts'
import {
  type Revocation,
  type RevocationFact,
  type RevocationLevel,
  revocationLevels,
} from '../../revocation/revocation.ts'

/** The part of an entry that the writing process knows. The script adds number, epoch, moment and version. */
interface Written {
  /** kick-out id */ readonly k: string
  /** issuer */ readonly i: string
  /** level */ readonly l: RevocationLevel
  /** target */ readonly t: string
  /** reason */ readonly r?: string
  /** by */ readonly b?: Revocation['by']
}

export function encodeRevocation(
  revocation: Pick<Revocation, 'kickOutId' | 'issuer' | 'level' | 'id' | 'reason' | 'by'>,
): string {
  const written: Written = {
    k: revocation.kickOutId,
    i: revocation.issuer,
    l: revocation.level,
    t: revocation.id,
    ...(revocation.reason !== undefined && { r: revocation.reason }),
    ...(revocation.by !== undefined && { b: revocation.by }),
  }
  return JSON.stringify(written)
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

function isAuthor(value: unknown): value is Revocation['by'] {
  if (typeof value !== 'object' || value === null) return isText(value)
  const { issuer, subject, client } = value as Record<string, unknown>
  return isIdentifier(issuer) && (isIdentifier(subject) || isIdentifier(client))
}

function readWritten(text: string): Written | undefined {
  let written: Partial<Written> | null
  try {
    written = JSON.parse(text) as Partial<Written> | null
  } catch {
    return undefined
  }
  if (typeof written !== 'object' || written === null) return undefined
  const { k, i, l, t, r, b } = written
  const isSound =
    typeof k === 'string' &&
    isIdentifier(i) &&
    revocationLevels.some((level) => level === l) &&
    (l === 'everyone' ? t === '' : isIdentifier(t)) &&
    isText(r) &&
    isAuthor(b)
  return isSound ? (written as Written) : undefined
}

const numbers = /^(\d{1,15}):[^:]*:(\d{1,16}):(\d{1,16}):(\d{0,16})$/

/**
 * Reads one entry of the stream. An entry that differs from the format in any part comes back without a number: no copy
 * is proved complete while the stream holds one.
 */
export function decodeEntry([position, fields]: readonly [string, readonly string[]]): LogEntry {
  const foreign = { position, seq: undefined, revocation: undefined }
  const [d, numbered = '', r, text = '', awaited] = fields
  const match = d === 'd' && r === 'r' ? numbers.exec(numbered) : null
  const written = match && readWritten(text)
  if (!match || !written) return foreign
  const [, seq, at, until, version] = match
  return {
    position,
    seq: Number(seq),
    ...(awaited === 'w' && { isAwaited: true }),
    revocation: {
      kickOutId: written.k,
      issuer: written.i,
      level: written.l,
      id: written.t,
      at: Number(at),
      until: Number(until),
      ...(version !== '' && { version: Number(version) }),
      ...(written.r !== undefined && { reason: written.r }),
      ...(written.b !== undefined && { by: written.b }),
    },
  }
}

/**
 * Reads the value of a look-up key.
 *
 * @throws Error for a value of another program: it may have replaced a kick-out
 */
export function decodeFact(value: string | undefined): RevocationFact | undefined {
  if (value === undefined) return undefined
  const match = /^(\d+):(\d*):[^:]*:[^:]*:(.*)$/s.exec(value)
  if (!match) throw new Error('A look-up key holds a value that is not a kick-out')
  const [, at, version, reason = ''] = match
  return {
    at: Number(at),
    ...(version !== '' && { version: Number(version) }),
    ...(reason !== '' && { reason }),
  }
}
