import { randomUUID } from 'node:crypto'
import type { Revocation } from '../../revocation/revocation.ts'
import type { KickOutOptions } from '../../revocation/revocations.ts'
import type { ResolvedTarget } from '../../revocation/target.ts'
import { type Commands, writeBudgetMs } from '../client/commands.ts'
import { isForbidden, toUnavailable } from '../client/failure.ts'
import { encodeText } from '../encoding.ts'
import type { StoreSettings } from '../options.ts'
import { Timeout } from '../../timeout.ts'

/** Options of a kick-out, as checked. */
export interface PublishOptions {
  readonly reason: string | undefined
  readonly by: KickOutOptions['by'] | undefined
  /** Milliseconds; `undefined` for now, by the store's clock. */
  readonly at: number | undefined
}

/** A kick-out that PostgreSQL has written and other servers have not confirmed yet. */
export interface Published {
  readonly revocation: Revocation
  /** For how long it is still kept, by the clock of PostgreSQL. */
  readonly remainingMs: number
  readonly seq: number
  readonly epoch: string
  readonly sessionsEnded: number
  /** `false` where the token or session was out already. */
  readonly isNew: boolean
}

interface KickOutRow {
  readonly o_kick_out_id: string
  readonly o_is_new: boolean
  readonly o_seq: string
  readonly o_epoch: string
  readonly o_at: string
  readonly o_now: string
  readonly o_kept_until: string
  readonly o_version: string | null
  readonly o_ended: string
}

export const newKickOutId = (): string => randomUUID()

function authorOf(by: KickOutOptions['by']): string | null {
  const name = typeof by === 'object' ? (by.subject ?? by.client) : by
  return name === undefined ? null : encodeText(name)
}

/**
 * Writes to the log of revocations: appends a kick-out, and republishes a lost one. Everything here is safe to repeat.
 *
 * Kick-outs of one process are written one after the other. One row lock numbers them anyway, and this way answers and
 * listeners get them in the order of the log.
 */
export class RevocationLog {
  readonly settings: StoreSettings
  readonly #commands: Commands
  #last: Promise<unknown> = Promise.resolve()

  constructor(commands: Commands, settings: StoreSettings) {
    this.#commands = commands
    this.settings = settings
  }

  /**
   * Writes a kick-out, and calls `enforce` before the next one is written.
   *
   * @throws UnavailableError when PostgreSQL did not confirm it; it is safe to repeat
   */
  async publish(
    target: ResolvedTarget,
    options: PublishOptions,
    enforce: (published: Published) => void,
  ): Promise<Published> {
    const deadlineMs = performance.now() + writeBudgetMs
    const turn = this.#last.then(async () => {
      const leftMs = deadlineMs - performance.now()
      if (leftMs <= 0) throw new Timeout('PostgreSQL did not answer earlier kick-outs in time')
      const published = await this.#write(target, options, leftMs)
      enforce(published)
      return published
    })
    this.#last = turn.catch(() => undefined)
    try {
      return await turn
    } catch (error) {
      throw toUnavailable('revocations', 'The kick-out was not confirmed, safe to repeat', error)
    }
  }

  async #write(
    { issuer, level, id, expiresAtMs }: ResolvedTarget,
    { reason, by, at }: PublishOptions,
    budgetMs: number,
  ): Promise<Published> {
    const [answer] = await this.#commands.call(
      'kick_out',
      [
        Math.ceil(this.settings.retentionMs),
        newKickOutId(),
        encodeText(issuer),
        level,
        encodeText(id),
        reason === undefined ? null : encodeText(reason),
        authorOf(by),
        by === undefined ? null : JSON.stringify(by),
        at === undefined ? null : Math.floor(at),
        Math.floor(expiresAtMs ?? 0),
        Date.now(),
      ],
      budgetMs,
    )
    const row = answer as KickOutRow
    const keptUntil = Number(row.o_kept_until)
    return {
      revocation: {
        kickOutId: row.o_kick_out_id,
        issuer,
        level,
        id,
        at: Number(row.o_at),
        until: keptUntil,
        ...(row.o_version !== null && { version: Number(row.o_version) }),
        ...(reason !== undefined && { reason }),
        ...(by !== undefined && { by }),
      },
      remainingMs: keptUntil - Number(row.o_now),
      seq: Number(row.o_seq),
      epoch: row.o_epoch,
      sessionsEnded: Number(row.o_ended),
      isNew: row.o_is_new,
    }
  }

  /** Writes a revocation that PostgreSQL has lost again, unless another process has republished it already. */
  async republish(
    { issuer, level, id, reason, at, version }: Omit<Revocation, 'kickOutId' | 'until'>,
    remainingMs: number,
  ): Promise<void> {
    await this.#commands.call(
      'republish',
      [
        Math.ceil(this.settings.retentionMs),
        newKickOutId(),
        encodeText(issuer),
        level,
        encodeText(id),
        reason === undefined ? null : encodeText(reason),
        at,
        Math.ceil(remainingMs),
        version ?? null,
      ],
      writeBudgetMs,
    )
  }

  isForbidden(error: unknown): boolean {
    return isForbidden(error)
  }

  /** There is one partition, since one row lock numbers all entries. */
  partitionOf(): number {
    return 0
  }
}
