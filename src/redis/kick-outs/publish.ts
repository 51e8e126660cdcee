import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { UnavailableError } from '../../errors.ts'
import type { Revocation } from '../../revocation/revocation.ts'
import type { KickOutOptions } from '../../revocation/revocations.ts'
import { readReason, type ResolvedTarget } from '../../revocation/target.ts'
import type { CommandConnection } from '../client/connection.ts'
import { toUnavailable } from '../client/failure.ts'
import { Keys, marginMs } from '../keys.ts'
import { Replication } from './replication.ts'
import { encodeRevocation } from './entry-format.ts'
import { kickOutScript } from '../scripts/kick-out.ts'
import { reassertScript } from '../scripts/republish.ts'
import { setHorizonScript } from '../scripts/set-horizon.ts'
import type { LayoutSettings } from '../options.ts'

/** How long a write may take before the caller is told that it is not known to have happened. */
export const writeBudgetMs = 900

/** What a kick-out did, before anybody has confirmed it. */
export interface Published {
  readonly revocation: Revocation
  /** The primary's clock, for what is left of the retention. */
  readonly remainingMs: number
  readonly partition: number
  readonly seq: number
  readonly sessionsEnded: number
}

/** A UUID, since Node.js keeps random bytes for those at hand; others are fetched one by one, on every refresh. */
export const newEpoch = (): string => randomUUID()

export const newKickOutId = (): string => randomUUID()

/**
 * The log of revocations in Redis, as its writers see it: append, and write again.
 *
 * Everything here is safe to repeat.
 */
export class RevocationLog {
  readonly keys: Keys
  readonly settings: LayoutSettings
  readonly partitions: readonly number[]
  readonly #connection: CommandConnection

  constructor(connection: CommandConnection, settings: LayoutSettings) {
    this.#connection = connection
    this.settings = settings
    this.keys = new Keys(settings)
    this.partitions = Array.from({ length: settings.partitions }, (_, partition) => partition)
  }

  /** Arguments that every script which may begin the log is given. */
  get opening(): { new_epoch: string; partitions: number } {
    return { new_epoch: newEpoch(), partitions: this.settings.partitions }
  }

  /** How long an entry stays in the stream. */
  get windowMs(): number {
    return this.settings.retentionMs + marginMs
  }

  /**
   * Writes a kick-out.
   *
   * @throws UnavailableError when it is not known to be in Redis, or on too few of its replicas; repeat it
   */
  async publish(target: ResolvedTarget, options: KickOutOptions): Promise<Published> {
    const reason = readReason(options.reason)
    const written = {
      kickOutId: newKickOutId(),
      issuer: target.issuer,
      level: target.level,
      id: target.id,
      ...(reason !== undefined && { reason }),
      ...(options.by !== undefined && { by: options.by }),
    }
    const { level, issuer, id } = written
    const partition = this.keys.partitionOf(level, issuer, id)
    try {
      if (level === 'client' || level === 'everyone') await this.#setHorizons(level, issuer, id)
      const waits = this.settings.minReplicas > 0
      const connection = waits ? this.#connection.holding : this.#connection
      const reply = await connection.runPatiently(writeBudgetMs, async (client) => {
        const node = waits ? await connection.nodeOf(client, this.keys.meta(partition)) : client
        const published = await kickOutScript(node, this.#keysOf(written), {
          ...this.opening,
          issuer,
          level,
          id,
          base: this.keys.base(partition),
          horizon: this.#horizonOf(written),
          revocation: encodeRevocation(written),
          reason: reason ?? '',
          retention_ms: this.settings.retentionMs,
          window_ms: this.windowMs,
          expires_at: target.expiresAtMs ?? 0,
          user_ttl_ms: this.windowMs,
        })
        if (waits) await this.#assertReplicated(node as Redis)
        return published
      })
      const { at, keptUntil, version, seq, sessionsEnded } = reply
      const revocation: Revocation = {
        ...written,
        at,
        until: keptUntil,
        ...(version !== undefined && { version }),
      }
      return { revocation, remainingMs: keptUntil - at, partition, seq, sessionsEnded }
    } catch (error) {
      throw toUnavailable('revocations', 'The kick-out was not confirmed, safe to repeat', error)
    }
  }

  /** Writes a revocation again that Redis has lost. */
  async reassert(
    revocation: Omit<Revocation, 'kickOutId' | 'until'>,
    remainingMs: number,
  ): Promise<void> {
    const { level, issuer, id, at, version, reason } = revocation
    const partition = this.keys.partitionOf(level, issuer, id)
    await this.#connection.runPatiently(writeBudgetMs, async (client) =>
      reassertScript(client, this.#keysOf(revocation), {
        ...this.opening,
        issuer,
        level,
        base: this.keys.base(partition),
        horizon: this.#horizonOf(revocation),
        revocation: encodeRevocation({ ...revocation, kickOutId: newKickOutId() }),
        reason: reason ?? '',
        at,
        remaining_ms: Math.ceil(remainingMs),
        given_version: version ?? '',
        window_ms: this.windowMs,
        user_ttl_ms: this.windowMs,
      }),
    )
  }

  async #setHorizons(level: 'client' | 'everyone', issuer: string, id: string): Promise<void> {
    // Partition 0 is written with the revocation itself.
    const others = this.partitions.slice(1)
    const horizon = this.keys.horizon(level, issuer, id)
    await Promise.all(
      others.map(async (partition) =>
        this.#connection.runPatiently(writeBudgetMs, async (client) =>
          setHorizonScript(
            client,
            {
              meta_key: this.keys.meta(partition),
              stream_key: this.keys.stream(partition),
              horizons_key: this.keys.horizons(partition),
            },
            { ...this.opening, horizon },
          ),
        ),
      ),
    )
  }

  async #assertReplicated(node: Redis): Promise<void> {
    const { minReplicas } = this.settings
    const reached = await Replication.of(node).reach(minReplicas, writeBudgetMs / 3)
    if (reached < minReplicas) {
      throw new UnavailableError(
        'revocations',
        `The kick-out was not confirmed, safe to repeat: ${reached} of ${minReplicas} Redis replicas have it`,
      )
    }
  }

  #horizonOf({ level, issuer, id }: Pick<Revocation, 'level' | 'issuer' | 'id'>): string {
    return level === 'client' || level === 'everyone' ? this.keys.horizon(level, issuer, id) : ''
  }

  #keysOf({
    level,
    issuer,
    id,
  }: Pick<Revocation, 'level' | 'issuer' | 'id'>): Parameters<typeof kickOutScript>[1] {
    const { keys } = this
    const partition = keys.partitionOf(level, issuer, id)
    // Scripts are handed every key, and touch those of the level; the others only have to lie in the same slot.
    const unused = `${keys.base(partition)}-`
    return {
      meta_key: keys.meta(partition),
      stream_key: keys.stream(partition),
      deny_key: keys.deny(level, issuer, id),
      user_key: level === 'subject' ? keys.user(issuer, id) : unused,
      sessions_key: level === 'subject' ? keys.userSessions(issuer, id) : unused,
      session_key: level === 'session' ? keys.session(id) : unused,
      horizons_key: keys.horizons(partition),
    }
  }
}
