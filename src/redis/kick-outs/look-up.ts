import type { AccessTokenClaims } from '../../auth.ts'
import { systemClock } from '../../clock.ts'
import { UnavailableError } from '../../errors.ts'
import {
  idsAtLevel,
  isRevoked,
  type RevocationFact,
  type RevocationLevel,
  revocationLevels,
  type RevocationVerdict,
} from '../../revocation/revocation.ts'
import type { CommandConnection } from '../client/connection.ts'
import { isUnfit, toUnavailable, toUnfit } from '../client/failure.ts'
import { decodeFact } from './entry-format.ts'
import { type RevocationLog, writeBudgetMs } from './publish.ts'
import { type LookupReply, lookupScript } from '../scripts/look-up.ts'

/** How long look-ups that found nothing do not count after the log lost its state: it is being told again meanwhile. */
const settleMs = 1000

type Ids = Partial<Record<RevocationLevel, string>>

function factKey(level: RevocationLevel, id = ''): string {
  return `${level} ${id}`
}

/**
 * Asks Redis about one token: one round trip, to each of the one or two partitions that can know it. A log that has just
 * lost its state says "not revoked" about everybody, so for a while that does not count.
 */
export class Lookup {
  readonly #connection: CommandConnection
  readonly #log: RevocationLog
  readonly #budgetMs: number
  readonly #epochs = new Map<number, { readonly epoch: string; readonly sinceMs: number }>()
  #inspectedConnection = 0

  constructor(connection: CommandConnection, log: RevocationLog, budgetMs: number) {
    this.#connection = connection
    this.#log = log
    this.#budgetMs = budgetMs
  }

  /** @throws UnavailableError when Redis did not answer in time, must not be used, or has just lost its state */
  async check(claims: AccessTokenClaims): Promise<RevocationVerdict> {
    const facts = new Map<string, RevocationFact>()
    let doubtMs = 0
    try {
      await this.#inspect(this.#budgetMs)
      const asked = this.#locate(claims).map(async ([partition, ids]) => {
        const reply = await this.#ask(partition, claims.iss, ids, this.#budgetMs)
        doubtMs = Math.max(doubtMs, reply.doubtMs)
        reply.values.forEach((value, index) => {
          const fact = decodeFact(value)
          const level = revocationLevels[index]
          if (fact && level) facts.set(factKey(level, ids[level]), fact)
        })
      })
      await Promise.all(asked)
    } catch (error) {
      throw toUnavailable('revocations', 'The look-up in Redis failed', error)
    }
    const known = {
      get: (level: RevocationLevel, id: string) => facts.get(factKey(level, id)),
    }
    const verdict = isRevoked(claims, { of: () => known }, systemClock)
    if (!verdict.revoked && doubtMs > 0) {
      throw new UnavailableError('revocations', 'Redis has lost its state and is being told again')
    }
    return verdict
  }

  /**
   * Resolves when look-ups can be answered: the first ones of a new deployment begin its logs.
   *
   * @throws Error when Redis must not be used as it is set up
   * @throws UnavailableError when it cannot be reached
   */
  async ready(): Promise<void> {
    const { partitions } = this.#log.settings
    try {
      await this.#inspect(writeBudgetMs)
      await Promise.all(
        Array.from({ length: partitions }, async (_, partition) => {
          const { doubtMs } = await this.#ask(partition, '', {}, writeBudgetMs)
          if (doubtMs > 0) await pause(doubtMs)
        }),
      )
    } catch (error) {
      if (isUnfit(error)) throw toUnfit(error)
      throw toUnavailable('revocations', 'Redis cannot be asked', error)
    }
  }

  /**
   * What each partition that can know the token is asked for. A token that names its client in several claims with
   * different ids costs a further question for each of them.
   */
  #locate(claims: AccessTokenClaims): (readonly [number, Ids])[] {
    const idsOfPartition = new Map<number, Ids>()
    const further: [number, Ids][] = []
    for (const level of revocationLevels) {
      idsAtLevel(level, claims).forEach((id, index) => {
        const partition = this.#log.keys.partitionOf(level, claims.iss, id)
        if (index > 0) further.push([partition, { [level]: id }])
        else idsOfPartition.set(partition, { ...idsOfPartition.get(partition), [level]: id })
      })
    }
    return [...idsOfPartition, ...further]
  }

  async #ask(
    partition: number,
    issuer: string,
    ids: Ids,
    budgetMs: number,
  ): Promise<{ values: LookupReply['values']; doubtMs: number }> {
    const { keys, opening } = this.#log
    const keyOf = (level: RevocationLevel): string => {
      const id = ids[level]
      return id === undefined ? `${keys.base(partition)}-` : keys.deny(level, issuer, id)
    }
    const { epoch, toldAgainAgoMs, values } = await this.#connection.run(budgetMs, async (client) =>
      lookupScript(
        client,
        {
          meta_key: keys.meta(partition),
          stream_key: keys.stream(partition),
          token_key: keyOf('token'),
          session_key: keyOf('session'),
          subject_key: keyOf('subject'),
          client_key: keyOf('client'),
          everyone_key: keyOf('everyone'),
        },
        opening,
      ),
    )
    return {
      values,
      doubtMs: settleMs - Math.min(toldAgainAgoMs, this.sinceOtherEpochMs(partition, epoch)),
    }
  }

  /**
   * How long ago this process saw the log in another life. A log that it has always seen in this one is as good as old; so
   * whoever reads the log otherwise has to say here what life that one was in.
   */
  sinceOtherEpochMs(partition: number, epoch: string): number {
    const known = this.#epochs.get(partition)
    if (known?.epoch !== epoch) {
      const sinceMs = known ? performance.now() : Number.NEGATIVE_INFINITY
      this.#epochs.set(partition, { epoch, sinceMs })
    }
    return performance.now() - (this.#epochs.get(partition)?.sinceMs ?? 0)
  }

  /** Once per connection: an evicting Redis forgets kick-outs without a word. */
  async #inspect(budgetMs: number): Promise<void> {
    const { connectionNumber } = this.#connection
    if (connectionNumber > 0 && this.#inspectedConnection === connectionNumber) return
    await this.#connection.inspect(this.#log.keys, budgetMs)
    this.#inspectedConnection = this.#connection.connectionNumber
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
