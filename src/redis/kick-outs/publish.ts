import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { UnavailableError } from '../../errors.ts'
import type { AccessTokenClaims } from '../../auth.ts'
import { idsAtLevel, type Revocation, revocationLevels } from '../../revocation/revocation.ts'
import type { KickOutOptions } from '../../revocation/revocations.ts'
import type { ResolvedTarget } from '../../revocation/target.ts'
import type { CommandConnection } from '../client/connection.ts'
import { toUnavailable } from '../client/failure.ts'
import { Keys } from '../keys.ts'
import { ReplicaWait } from './replica-wait.ts'
import { encodeRevocation } from './entry-format.ts'
import { kickOutScript } from '../scripts/kick-out.ts'
import type { openingArguments } from '../scripts/prelude.ts'
import { openScript } from '../scripts/open.ts'
import { republishScript } from '../scripts/republish.ts'
import { raiseMarkScript } from '../scripts/raise-mark.ts'
import type { LayoutSettings } from '../options.ts'

/** The budget of a write. After it the caller gets an error, although Redis may have written. */
export const writeBudgetMs = 900

/** Options of a kick-out, as checked. */
export interface PublishOptions {
  readonly reason: string | undefined
  readonly by: KickOutOptions['by'] | undefined
  /** Milliseconds; `undefined` for now, by the store's clock. */
  readonly at: number | undefined
  /** Whether the caller waits for other servers. Then they report the entry at once. */
  readonly isAwaited: boolean
}

/** A kick-out that Redis has written and other servers have not confirmed yet. */
export interface Published {
  readonly revocation: Revocation
  /** For how long it is still kept, by the primary's clock. */
  readonly remainingMs: number
  readonly partition: number
  readonly seq: number
  readonly epoch: string
  readonly sessionsEnded: number
  /** `false` where the token or session was out already. */
  readonly isNew: boolean
}

/** 48 random bits tell the lives of one log apart. The epoch stands in every entry and in every report of a server. */
const epochLength = 13

/** Made of a UUID, since Node.js caches random bytes for UUIDs. Others would be fetched from the system at every refresh. */
export const newEpoch = (): string => randomUUID().slice(0, epochLength)

export const newKickOutId = (): string => randomUUID()

/**
 * Writes to the log of revocations in Redis: appends a kick-out, and republishes a lost one.
 *
 * Everything here is safe to repeat.
 */
export class RevocationLog {
  readonly keys: Keys
  readonly settings: LayoutSettings
  readonly partitions: readonly number[]
  readonly #connection: CommandConnection
  /** The connection on which Redis was last checked. */
  #openedConnection = 0
  #opening: Promise<void> | undefined
  /** The latest date of a token or session that this process has read from the log, milliseconds. */
  #seenAt = 0

  constructor(connection: CommandConnection, settings: LayoutSettings) {
    this.#connection = connection
    this.settings = settings
    this.keys = new Keys(settings)
    this.partitions = Array.from({ length: settings.partitions }, (_, partition) => partition)
  }

  /** The partitions that can hold a kick-out of a token: one or two. */
  partitionsOf(claims: AccessTokenClaims): number[] {
    const partitions = revocationLevels.flatMap((level) =>
      idsAtLevel(level, claims).map((id) => this.keys.partitionOf(level, claims.iss, id)),
    )
    return [...new Set(partitions)]
  }

  keysOfPartition(partition: number): { meta_key: string; stream_key: string } {
    return { meta_key: this.keys.meta(partition), stream_key: this.keys.stream(partition) }
  }

  /** Arguments of every script: the layout that this process is configured for. */
  get layout(): { partitions: number; retention_ms: number } {
    return { partitions: this.settings.partitions, retention_ms: this.settings.retentionMs }
  }

  /** Arguments of every script that may open the log. */
  get opening(): Record<(typeof openingArguments)[number], string | number> {
    return { new_epoch: newEpoch(), sent_at: Date.now(), seen_at: this.#seenAt, ...this.layout }
  }

  /**
   * Remembers a date that the log has given to a token or session. A Redis that has lost its state, and whose clock is
   * behind, would otherwise date the next kick-out before that token.
   */
  noteDate(atMs: number): void {
    this.#seenAt = Math.max(this.#seenAt, atMs)
  }

  /**
   * Checks Redis before the first write on each connection. Partition 0 holds the number of partitions and is opened before
   * the others: two processes with different numbers would each write where the other does not read.
   *
   * @throws UnfitRedis when Redis may evict kick-outs
   * @throws Error when Redis holds data of another number of partitions
   */
  async assertUsable(): Promise<void> {
    const { connectionNumber } = this.#connection
    if (connectionNumber > 0 && this.#openedConnection === connectionNumber) return
    this.#opening ??= this.open().finally(() => {
      this.#opening = undefined
    })
    await this.#opening
  }

  /** Checks every primary, and opens the log of partition 0 where it was never opened. */
  async open(): Promise<void> {
    await this.#connection.inspect(writeBudgetMs)
    await this.#connection.runPatiently(writeBudgetMs, async (client) =>
      openScript(client, this.keysOfPartition(0), { ...this.opening, needs_entries: 0 }),
    )
    this.#openedConnection = this.#connection.connectionNumber
  }

  /**
   * Writes a kick-out.
   *
   * @throws UnavailableError when Redis did not confirm it, or too few replicas did; it is safe to repeat
   */
  async publish(
    target: ResolvedTarget,
    { reason, by, at: givenMoment, isAwaited }: PublishOptions,
  ): Promise<Published> {
    const written = {
      kickOutId: newKickOutId(),
      issuer: target.issuer,
      level: target.level,
      id: target.id,
      ...(reason !== undefined && { reason }),
      ...(by !== undefined && { by }),
    }
    const { level, issuer, id } = written
    const partition = this.keys.partitionOf(level, issuer, id)
    const givenAt = givenMoment ?? ''
    try {
      await this.assertUsable()
      const marks =
        level === 'client' || level === 'everyone'
          ? await this.#raiseMarks(level, issuer, id, givenAt)
          : []
      const waits = this.settings.minReplicas > 0
      const connection = waits ? this.#connection.blocking : this.#connection
      const reply = await connection.runPatiently(writeBudgetMs, async (client) => {
        const node = waits ? await connection.nodeOf(client, this.keys.meta(partition)) : client
        const published = await kickOutScript(node, this.#keysOf(written), {
          ...this.opening,
          seen_at: Math.max(this.#seenAt, ...marks),
          issuer,
          level,
          id,
          kick_out_id: written.kickOutId,
          base: this.keys.base(partition),
          mark_field: this.#markFieldOf(written),
          revocation: encodeRevocation(written),
          reason: reason ?? '',
          given_at: givenAt,
          expires_at: target.expiresAtMs ?? 0,
          waits: waits ? 1 : 0,
          is_awaited: isAwaited ? 1 : 0,
        })
        if (waits) await this.#assertReplicated(node as Redis)
        return published
      })
      const { at, keptUntil, version, remainingMs, seq, epoch, sessionsEnded, isNew } = reply
      const revocation: Revocation = {
        ...written,
        kickOutId: reply.id,
        at,
        until: keptUntil,
        ...(version !== undefined && { version }),
      }
      return { revocation, remainingMs, partition, seq, epoch, sessionsEnded, isNew }
    } catch (error) {
      throw toUnavailable('revocations', 'The kick-out was not confirmed, safe to repeat', error)
    }
  }

  /** Writes a revocation that Redis has lost again, unless another process has republished it already. */
  async republish(
    revocation: Omit<Revocation, 'kickOutId' | 'until'>,
    remainingMs: number,
  ): Promise<void> {
    const { level, issuer, id, at, version, reason } = revocation
    const partition = this.keys.partitionOf(level, issuer, id)
    const kickOutId = newKickOutId()
    if (level === 'client' || level === 'everyone') await this.#raiseMarks(level, issuer, id, at)
    await this.#connection.runPatiently(writeBudgetMs, async (client) =>
      republishScript(client, this.#keysOf(revocation), {
        ...this.opening,
        issuer,
        level,
        kick_out_id: kickOutId,
        base: this.keys.base(partition),
        mark_field: this.#markFieldOf(revocation),
        revocation: encodeRevocation({ ...revocation, kickOutId }),
        reason: reason ?? '',
        given_at: at,
        remaining_ms: Math.ceil(remainingMs),
        given_version: version ?? '',
      }),
    )
  }

  /** @returns the moment of the kick-out as each partition knows it: the sessions of a user are in one of them */
  async #raiseMarks(
    level: 'client' | 'everyone',
    issuer: string,
    id: string,
    givenAt: number | '',
  ): Promise<number[]> {
    // Partition 0 is written with the revocation itself.
    const others = this.partitions.slice(1)
    const markField = this.keys.markField(level, issuer, id)
    const waits = this.settings.minReplicas > 0
    const connection = waits ? this.#connection.blocking : this.#connection
    return Promise.all(
      others.map(async (partition) =>
        connection.runPatiently(writeBudgetMs, async (client) => {
          const node = waits ? await connection.nodeOf(client, this.keys.meta(partition)) : client
          const mark = await raiseMarkScript(
            node,
            {
              meta_key: this.keys.meta(partition),
              stream_key: this.keys.stream(partition),
              marks_key: this.keys.marks(partition),
            },
            { ...this.opening, mark_field: markField, given_at: givenAt },
          )
          if (waits) await this.#assertReplicated(node as Redis)
          return mark
        }),
      ),
    )
  }

  async #assertReplicated(node: Redis): Promise<void> {
    const { minReplicas } = this.settings
    const reached = await ReplicaWait.of(node).countReached(minReplicas, writeBudgetMs / 3)
    if (reached < minReplicas) {
      throw new UnavailableError(
        'revocations',
        `The kick-out was not confirmed, safe to repeat: ${reached} of ${minReplicas} Redis replicas have it`,
      )
    }
  }

  #markFieldOf({ level, issuer, id }: Pick<Revocation, 'level' | 'issuer' | 'id'>): string {
    return level === 'client' || level === 'everyone' ? this.keys.markField(level, issuer, id) : ''
  }

  #keysOf({
    level,
    issuer,
    id,
  }: Pick<Revocation, 'level' | 'issuer' | 'id'>): Parameters<typeof kickOutScript>[1] {
    const { keys } = this
    const partition = keys.partitionOf(level, issuer, id)
    // The script touches only the keys of the level. For the others it gets a key that is never written, in the same slot.
    const unused = keys.absent(partition)
    return {
      meta_key: keys.meta(partition),
      stream_key: keys.stream(partition),
      deny_key: keys.deny(level, issuer, id),
      user_key: level === 'subject' ? keys.user(issuer, id) : unused,
      sessions_key: level === 'subject' ? keys.userSessions(issuer, id) : unused,
      session_key: level === 'session' ? keys.session(id) : unused,
      marks_key: keys.marks(partition),
    }
  }
}
