import type {
  AmendOutcome,
  AmendRequest,
  NewSession,
  RotateOutcome,
  RotateRequest,
  SessionRecord,
  SessionStore,
  StartOutcome,
} from '../../issuer/sessions/session-store.ts'
import { reuseReason, surplusReason } from '../../revocation/reasons.ts'
import type { AuditedRevocations } from '../../revocation/revocations.ts'
import type { Revocation } from '../../revocation/revocation.ts'
import { type Commands, writeBudgetMs } from '../client/commands.ts'
import { toUnavailable } from '../client/failure.ts'
import { decodeText, encodeText } from '../encoding.ts'
import { PostgresRevocations } from '../kick-outs/postgres-revocations.ts'
import { newKickOutId, RevocationLog } from '../kick-outs/publish.ts'
import { postgresDefaults, type PostgresPool, type StoreSettings } from '../options.ts'

/** A row of `sessions`, as JSON of PostgreSQL. */
interface SessionRow {
  readonly session_id: string
  readonly issuer: string
  readonly subject: string
  readonly client: string | null
  readonly scopes: string
  readonly details: string
  readonly started_at: number
  readonly seen_at: number
  readonly idle_until: number
  readonly ends_at: number
  readonly counter: number
  readonly version: number
  readonly sealed: string | null
  readonly step_up: string | null
}

interface StartRow {
  readonly o_outcome: 'started' | 'full'
  readonly o_now: string
  readonly o_started_at: string
  readonly o_version: string
  /** JSON: an array of {@link EndedRow}. */
  readonly o_ended: string
}

/** A session that was kicked out. Times in milliseconds. */
interface EndedRow {
  readonly session_id: string
  readonly kick_out_id: string
  readonly at: number
  readonly kept_until: number
}

interface RotateRow {
  readonly o_outcome: RotateOutcome['outcome']
  readonly o_now: string
  readonly o_at: string
  readonly o_kept_until: string
  readonly o_session: string
}

interface AmendRow {
  readonly o_outcome: AmendOutcome['outcome']
  readonly o_now: string
  readonly o_session: string
}

type Details = Pick<SessionRecord, 'device' | 'authentication'>

function encodeDetails({ device, authentication }: Details): string {
  return JSON.stringify({ ...(device && { device }), authentication })
}

function toRecord(text: string): SessionRecord {
  const row = JSON.parse(text) as SessionRow
  const { device, authentication } = JSON.parse(row.details) as Details
  return {
    sessionId: decodeText(row.session_id),
    issuer: decodeText(row.issuer),
    subject: decodeText(row.subject),
    clientId: row.client === null ? undefined : decodeText(row.client),
    scopes: row.scopes === '' ? [] : row.scopes.split(' '),
    device,
    authentication,
    startedAt: row.started_at,
    lastSeenAt: row.seen_at,
    expiresAt: Math.min(row.idle_until, row.ends_at),
    absoluteUntil: row.ends_at,
    counter: row.counter,
    version: row.version,
    sealed: row.sealed === null ? undefined : decodeText(row.sealed),
    stepUp: row.step_up === null ? undefined : decodeText(row.step_up),
  }
}

/** Sessions on PostgreSQL: each method is one statement. */
export class PostgresSessionStore implements SessionStore {
  readonly retentionSeconds: number
  readonly #settings: StoreSettings
  readonly #pool: PostgresPool
  readonly #commands: Commands
  readonly #log: RevocationLog
  #revocations: PostgresRevocations | undefined

  constructor(pool: PostgresPool, commands: Commands, settings: StoreSettings) {
    this.#pool = pool
    this.#commands = commands
    this.#settings = settings
    this.#log = new RevocationLog(commands, settings)
    this.retentionSeconds = settings.retentionMs / 1000
  }

  partitionOf(): number {
    return 0
  }

  async start(session: NewSession): Promise<StartOutcome> {
    const { sessionId, issuer, subject, clientId, scopes, device, authentication } = session
    const [answer] = await this.#call('start_session', [
      Math.ceil(this.#settings.retentionMs),
      encodeText(sessionId),
      encodeText(issuer),
      encodeText(subject),
      clientId === undefined ? null : encodeText(clientId),
      scopes.join(' '),
      encodeDetails(session),
      Math.ceil(session.idleTtlMs),
      Math.ceil(session.absoluteTtlMs),
      session.maxPerSubject ?? 0,
      session.whenFull === 'refuse',
    ])
    const row = answer as StartRow
    if (row.o_outcome === 'full') return { outcome: 'full' }
    const now = Number(row.o_now)
    const gone = JSON.parse(row.o_ended) as EndedRow[]
    const ended = gone.map((session) => decodeText(session.session_id))
    gone.forEach(({ kick_out_id: kickOutId, at, kept_until: until }, index) => {
      this.#enforceEnd({
        kickOutId,
        issuer,
        id: ended[index] ?? '',
        at,
        until,
        reason: surplusReason,
      })
    })
    const record: SessionRecord = {
      ...{ sessionId, issuer, subject, clientId, scopes, device, authentication },
      startedAt: Number(row.o_started_at),
      lastSeenAt: now,
      expiresAt: now + Math.ceil(Math.min(session.idleTtlMs, session.absoluteTtlMs)),
      absoluteUntil: now + Math.ceil(session.absoluteTtlMs),
      counter: 0,
      version: Number(row.o_version),
    }
    return { outcome: 'started', session: record, ended }
  }

  async rotate(request: RotateRequest): Promise<RotateOutcome> {
    const { sessionId, clientId, scopes } = request
    const kickOutId = newKickOutId()
    const [answer] = await this.#call('rotate', [
      Math.ceil(this.#settings.retentionMs),
      encodeText(sessionId),
      request.counter,
      clientId !== undefined,
      clientId === undefined ? null : encodeText(clientId),
      scopes ?? null,
      Math.floor(request.graceMs),
      Math.floor(request.lostAnswerMs),
      Math.ceil(request.idleTtlMs),
      kickOutId,
    ])
    const { o_outcome: outcome, ...row } = answer as RotateRow
    switch (outcome) {
      case 'ended':
      case 'expired':
      case 'client':
      case 'scope':
        return { outcome }
      case 'reused': {
        const session = toRecord(row.o_session)
        const { issuer } = session
        const [at, until] = [Number(row.o_at), Number(row.o_kept_until)]
        this.#enforceEnd({ kickOutId, issuer, id: sessionId, at, until, reason: reuseReason })
        return { outcome, session }
      }
      case 'rotated':
      case 'fast_forwarded':
      case 'retried':
      case 'retried_late': {
        const session = toRecord(row.o_session)
        return { outcome, session, counter: session.counter, now: Number(row.o_now) }
      }
    }
  }

  async amend({ sessionId, field, before, after }: AmendRequest): Promise<AmendOutcome> {
    const [answer] = await this.#call('amend_session', [
      encodeText(sessionId),
      field === 'stepUp',
      before === undefined ? null : encodeText(before),
      encodeText(after),
    ])
    const { o_outcome: outcome, ...row } = answer as AmendRow
    if (outcome !== 'amended') return { outcome }
    return { outcome, session: toRecord(row.o_session), now: Number(row.o_now) }
  }

  async find(sessionId: string): Promise<SessionRecord | undefined> {
    const [found] = await this.#read([encodeText(sessionId), null, null])
    return found
  }

  async list(issuer: string, subject: string, limit?: number): Promise<SessionRecord[]> {
    return (await this.#read([null, encodeText(issuer), encodeText(subject)])).slice(0, limit)
  }

  revocations(issuer: string): AuditedRevocations {
    return this.#shared(issuer)
  }

  async close(): Promise<void> {
    await this.#revocations?.close()
    this.#commands.close()
  }

  async #read(values: unknown[]): Promise<SessionRecord[]> {
    const rows = await this.#call('read_sessions', values)
    return rows.map((row) => toRecord((row as { read_sessions: string }).read_sessions))
  }

  /**
   * Puts the revocation of a session, which a function of the schema has written, in force in this process, before the
   * caller gets its answer.
   */
  #enforceEnd(ended: Omit<Revocation, 'level'>): void {
    this.#shared(ended.issuer).enforce({ ...ended, level: 'session' }, ended.until - ended.at)
  }

  #shared(issuer: string): PostgresRevocations {
    this.#revocations ??= new PostgresRevocations(
      { ...postgresDefaults, ...this.#settings, issuer, name: undefined },
      { pool: this.#pool, commands: this.#commands, log: this.#log },
    )
    return this.#revocations
  }

  async #call(name: string, values: readonly unknown[]): Promise<unknown[]> {
    try {
      return await this.#commands.call(name, values, writeBudgetMs)
    } catch (error) {
      throw toUnavailable('sessions', 'The session store failed', error)
    }
  }
}
