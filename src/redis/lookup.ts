import type { AccessTokenClaims } from '../auth.ts'
import type { Clock } from '../clock.ts'
import { UnavailableError } from '../errors.ts'
import {
  idAtLevel,
  isRevoked,
  type RevocationFact,
  type RevocationLevel,
  revocationLevels,
  type RevocationVerdict,
} from '../revocation/revocation.ts'
import type { CommandConnection } from './connection.ts'
import { toUnavailable } from './failure.ts'
import type { Keys } from './keys.ts'
import { decodeFact } from './revocation-codec.ts'
import { lookupScript } from './scripts/lookup.ts'

/** How long look-ups do not count after the log began anew: servers that remember write it again meanwhile. */
const settleMs = 1000

type Located = Partial<Record<RevocationLevel, number>>

/** Where each level of a token would lie. */
function locate(claims: AccessTokenClaims, keys: Keys): Located {
  return Object.fromEntries(
    revocationLevels.flatMap((level) => {
      const id = idAtLevel(level, claims)
      return id === undefined ? [] : [[level, keys.partitionOf(level, claims.iss, id)]]
    }),
  )
}

/** Asks Redis about one token: one round trip, to each of the one or two partitions that can know it. */
export class Lookup {
  readonly #connection: CommandConnection
  readonly #keys: Keys
  readonly #budgetMs: number
  readonly #clock: Clock
  readonly #epochs = new Map<number, { epoch: string | undefined; since: number }>()

  constructor(connection: CommandConnection, keys: Keys, budgetMs: number, clock: Clock) {
    this.#connection = connection
    this.#keys = keys
    this.#budgetMs = budgetMs
    this.#clock = clock
  }

  /** @throws UnavailableError when Redis did not answer in time, or has just lost its state */
  async check(claims: AccessTokenClaims): Promise<RevocationVerdict> {
    const located = locate(claims, this.#keys)
    const partitions = [...new Set(Object.values(located))]
    const facts = new Map<RevocationLevel, RevocationFact>()
    try {
      await Promise.all(
        partitions.map(async (partition) => this.#askPartition(partition, claims, located, facts)),
      )
    } catch (error) {
      throw toUnavailable('revocations', 'The look-up in Redis failed', error)
    }
    return isRevoked(claims, { get: (_issuer, level) => facts.get(level) })
  }

  async #askPartition(
    partition: number,
    claims: AccessTokenClaims,
    located: Located,
    facts: Map<RevocationLevel, RevocationFact>,
  ): Promise<void> {
    const unused = `${this.#keys.base(partition)}-`
    const keyOf = (level: RevocationLevel): string =>
      located[level] === partition
        ? this.#keys.deny(level, claims.iss, idAtLevel(level, claims) ?? '')
        : unused
    const { epoch, values } = await this.#connection.run(this.#budgetMs, async (client) =>
      lookupScript(
        client,
        {
          meta_key: this.#keys.meta(partition),
          token_key: keyOf('token'),
          session_key: keyOf('session'),
          subject_key: keyOf('subject'),
          client_key: keyOf('client'),
          everyone_key: keyOf('everyone'),
        },
        {},
      ),
    )
    revocationLevels.forEach((level, index) => {
      const fact = decodeFact(values[index])
      if (fact) facts.set(level, fact)
    })
    this.#assertSettled(partition, epoch)
  }

  /** A log that lost its state says "not revoked" about everybody. */
  #assertSettled(partition: number, epoch: string | undefined): void {
    const now = this.#clock.monotonic()
    const known = this.#epochs.get(partition)
    if (known?.epoch !== epoch) {
      // The first epoch that a process sees has nothing to be compared with.
      const isFirst = !known || known.epoch === undefined
      this.#epochs.set(partition, { epoch, since: isFirst ? Number.NEGATIVE_INFINITY : now })
    }
    const since = this.#epochs.get(partition)?.since ?? now
    if (now - since < settleMs) {
      throw new UnavailableError('revocations', 'Redis has lost its state and is being told again')
    }
  }
}
