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
import type { Revocation } from '../../revocation/revocation.ts'
import type { AuditedRevocations } from '../../revocation/revocations.ts'
import type { CommandConnection } from '../client/connection.ts'
import { isUnfit, toUnavailable, toUnfit } from '../client/failure.ts'
import { Keys } from '../keys.ts'
import { RedisRevocations } from '../kick-outs/redis-revocations.ts'
import { newKickOutId, RevocationLog, writeBudgetMs } from '../kick-outs/publish.ts'
import { amendSessionScript } from '../scripts/amend-session.ts'
import { readSessionsScript } from '../scripts/read-sessions.ts'
import { rotateScript } from '../scripts/rotate.ts'
import type { SessionReply } from '../scripts/session-reply.ts'
import { startSessionScript } from '../scripts/start-session.ts'
import { type LayoutSettings, redisDefaults, type RedisClient } from '../options.ts'

const noOptions = { reason: undefined, by: undefined, at: undefined, isAwaited: false } as const

type Details = Pick<SessionRecord, 'device' | 'authentication'>

function encodeDetails({ device, authentication }: Details): string {
  return JSON.stringify({ ...(device && { device }), authentication })
}

function toRecord(reply: SessionReply): SessionRecord {
  const { client, scope } = reply
  const { device, authentication } = JSON.parse(reply.details) as Details
  return {
    sessionId: reply.sessionId,
    issuer: reply.issuer,
    subject: reply.subject,
    clientId: client === '' ? undefined : client,
    scopes: scope === '' ? [] : scope.split(' '),
    device,
    authentication,
    startedAt: reply.startedAt,
    lastSeenAt: reply.lastSeenAt,
    expiresAt: reply.expiresAt,
    absoluteUntil: reply.absoluteUntil,
    counter: reply.counter,
    version: reply.version,
    sealed: reply.sealed === '' ? undefined : reply.sealed,
    stepUp: reply.stepUp === '' ? undefined : reply.stepUp,
  }
}

/** The fields of a record that `amend` writes. */
const amendedFields = { sealed: 'sealed', stepUp: 'step_up' } as const

/** Sessions on Redis: each method is one script in one slot. */
export class RedisSessionStore implements SessionStore {
  readonly retentionSeconds: number
  readonly #settings: LayoutSettings
  readonly #connection: CommandConnection
  readonly #keys: Keys
  readonly #log: RevocationLog
  #revocations: RedisRevocations | undefined

  constructor(connection: CommandConnection, settings: LayoutSettings) {
    this.#connection = connection
    this.#settings = settings
    this.#keys = new Keys(settings)
    this.#log = new RevocationLog(connection, settings)
    this.retentionSeconds = settings.retentionMs / 1000
  }

  async ready(): Promise<void> {
    try {
      await this.#log.open()
    } catch (error) {
      if (isUnfit(error)) throw toUnfit(error)
      throw toUnavailable('sessions', 'Redis cannot be reached', error)
    }
  }

  partitionOf(issuer: string, subject: string): number {
    return this.#keys.partitionOfUser(issuer, subject)
  }

  async start(session: NewSession): Promise<StartOutcome> {
    const { sessionId, issuer, subject } = session
    const keys = this.#keys
    const partition = this.partitionOf(issuer, subject)
    const kickOutId = newKickOutId()
    const reply = await this.#run(async (client) =>
      startSessionScript(
        client,
        {
          meta_key: keys.meta(partition),
          stream_key: keys.stream(partition),
          user_key: keys.user(issuer, subject),
          sessions_key: keys.userSessions(issuer, subject),
          session_key: keys.session(sessionId),
        },
        {
          ...this.#log.opening,
          base: keys.base(partition),
          sid: sessionId,
          owner: keys.userName(issuer, subject),
          issuer,
          subject,
          client: session.clientId ?? '',
          scope: session.scopes.join(' '),
          details: encodeDetails(session),
          idle_ms: session.idleTtlMs,
          absolute_ms: session.absoluteTtlMs,
          max_sessions: session.maxPerSubject ?? 0,
          when_full: session.whenFull,
          deny_name: keys.denyName('session', issuer, sessionId),
          kick_out_id: kickOutId,
        },
      ),
    )
    if (reply.outcome === 'full') return reply
    const { now, startedAt, version, keptUntil: until } = reply
    this.#log.noteDate(startedAt)
    const ended = reply.ended.map(({ sessionId: id }) => id)
    await Promise.all(
      reply.ended.map(async ({ sessionId: id, kickOutId }) =>
        this.#settleEnd({ kickOutId, issuer, id, at: now, until, reason: surplusReason }),
      ),
    )
    const record: SessionRecord = {
      sessionId,
      issuer,
      subject,
      clientId: session.clientId,
      scopes: session.scopes,
      device: session.device,
      authentication: session.authentication,
      startedAt,
      lastSeenAt: now,
      expiresAt: now + Math.min(session.idleTtlMs, session.absoluteTtlMs),
      absoluteUntil: now + session.absoluteTtlMs,
      counter: 0,
      version,
    }
    return { outcome: 'started', session: record, ended }
  }

  async rotate(request: RotateRequest): Promise<RotateOutcome> {
    const { sessionId, clientId, scopes } = request
    const keys = this.#keys
    const partition = keys.partitionOfId(sessionId)
    const kickOutId = newKickOutId()
    const reply = await this.#run(async (client) =>
      rotateScript(
        client,
        {
          meta_key: keys.meta(partition),
          stream_key: keys.stream(partition),
          session_key: keys.session(sessionId),
        },
        {
          ...this.#log.opening,
          base: keys.base(partition),
          sid: sessionId,
          counter: request.counter,
          client_given: clientId === undefined ? 0 : 1,
          client: clientId ?? '',
          scopes: scopes?.join(' ') ?? '',
          grace_ms: request.graceMs,
          lost_answer_ms: request.lostAnswerMs,
          idle_ms: request.idleTtlMs,
          kick_out_id: kickOutId,
        },
      ),
    )
    if (!('session' in reply)) return reply
    const session = toRecord(reply.session)
    if (reply.outcome !== 'reused') {
      this.#log.noteDate(reply.now)
      return { ...reply, session }
    }
    const { issuer, sessionId: id } = session
    const { now: at, keptUntil: until } = reply
    await this.#settleEnd({ kickOutId, issuer, id, at, until, reason: reuseReason })
    return { outcome: 'reused', session }
  }

  async amend({ sessionId, field, before, after }: AmendRequest): Promise<AmendOutcome> {
    const keys = this.#keys
    const reply = await this.#run(async (client) =>
      amendSessionScript(
        client,
        { session_key: keys.session(sessionId) },
        {
          base: keys.base(keys.partitionOfId(sessionId)),
          sid: sessionId,
          field: amendedFields[field],
          before: before ?? '',
          after,
        },
      ),
    )
    if (reply.outcome !== 'amended') return reply
    this.#log.noteDate(reply.now)
    return { ...reply, session: toRecord(reply.session) }
  }

  async find(sessionId: string): Promise<SessionRecord | undefined> {
    const partition = this.#keys.partitionOfId(sessionId)
    const [found] = await this.#read(partition, this.#keys.absent(partition), sessionId)
    return found
  }

  async list(issuer: string, subject: string, limit = 0): Promise<SessionRecord[]> {
    const sessions = this.#keys.userSessions(issuer, subject)
    return this.#read(this.partitionOf(issuer, subject), sessions, '', limit)
  }

  revocations(issuer: string): AuditedRevocations {
    return this.#shared(issuer)
  }

  async close(): Promise<void> {
    await this.#revocations?.close()
    await this.#connection.close()
  }

  /** @param limit - 0 for all of them */
  async #read(
    partition: number,
    sessionsKey: string,
    sid: string,
    limit = 0,
  ): Promise<SessionRecord[]> {
    const found = await this.#run(async (client) =>
      readSessionsScript(
        client,
        { sessions_key: sessionsKey },
        { base: this.#keys.base(partition), sid, limit },
      ),
    )
    return found.map(toRecord)
  }

  /**
   * Puts the revocation of a session, which a script has written, in force in this process, before the caller gets its
   * answer. It still has to reach the replicas, as every kick-out.
   *
   * @throws UnavailableError when too few replicas have it
   */
  async #settleEnd(ended: Omit<Revocation, 'level'>): Promise<void> {
    const { issuer, id, at, until } = ended
    const level = 'session'
    this.#shared(issuer).enforce({ ...ended, level }, until - at)
    if (this.#settings.minReplicas === 0) return
    await this.#log.publish({ issuer, level, id }, noOptions)
  }

  #shared(issuer: string): RedisRevocations {
    this.#revocations ??= new RedisRevocations(
      this.#connection,
      { ...redisDefaults, ...this.#settings, issuer, name: undefined },
      { ownsConnection: false, log: this.#log },
    )
    return this.#revocations
  }

  async #run<Reply>(command: (client: RedisClient) => Promise<Reply>): Promise<Reply> {
    try {
      await this.#log.assertUsable()
      return await this.#connection.runPatiently(writeBudgetMs, command)
    } catch (error) {
      throw toUnavailable('sessions', 'The session store failed', error)
    }
  }
}
