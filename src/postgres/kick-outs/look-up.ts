import type { AccessTokenClaims } from '../../auth.ts'
import { systemClock } from '../../clock.ts'
import { UnavailableError } from '../../errors.ts'
import { epochSettleMs } from '../../revocation/freshness.ts'
import {
  idsAtLevel,
  isRevoked,
  type RevocationFact,
  type RevocationFacts,
  revocationLevels,
  type RevocationVerdict,
} from '../../revocation/revocation.ts'
import type { Commands } from '../client/commands.ts'
import { toUnavailable } from '../client/failure.ts'
import { decodeText, encodeText } from '../encoding.ts'

interface LookUpRow {
  readonly o_epoch: string
  readonly o_seq: string
  readonly o_told_at: string
  readonly o_now: string
  readonly o_facts: string
}

interface FactRow {
  readonly level: string
  readonly target: string
  readonly at: number
  readonly version: number | null
  readonly reason: string | null
}

/** Asks PostgreSQL about one token, by one statement for all levels. */
export class Lookup {
  readonly #commands: Commands
  readonly #budgetMs: number
  /** The newest number that this process has seen, and its epoch. A lower one in the same epoch is that of a backup. */
  #epoch: string | undefined
  #seq = 0

  constructor(commands: Commands, budgetMs: number) {
    this.#commands = commands
    this.#budgetMs = budgetMs
  }

  /** Notes the newest number that the reader has seen. */
  note(epoch: string, seq: number): void {
    this.#seq = this.#epoch === epoch ? Math.max(this.#seq, seq) : seq
    this.#epoch = epoch
  }

  /** @throws UnavailableError when it cannot be answered, or the answer proves nothing */
  async check(claims: AccessTokenClaims): Promise<RevocationVerdict> {
    const asked = revocationLevels.flatMap((level) =>
      idsAtLevel(level, claims).map((id) => [level, id] as const),
    )
    let row: LookUpRow
    try {
      const [answer] = await this.#commands.call(
        'look_up',
        [
          encodeText(claims.iss),
          asked.map(([level]) => level),
          asked.map(([, id]) => encodeText(id)),
        ],
        this.#budgetMs,
      )
      row = answer as LookUpRow
    } catch (error) {
      throw toUnavailable('revocations', 'PostgreSQL cannot be reached', error)
    }
    const verdict = isRevoked(claims, factsOf(claims.iss, row.o_facts), systemClock)
    if (!verdict.revoked) this.#assertSettled(row)
    return verdict
  }

  /** "Not kicked out" does not count while other servers may still be republishing. */
  #assertSettled(row: LookUpRow): void {
    const seq = Number(row.o_seq)
    if (row.o_epoch === this.#epoch && seq < this.#seq) {
      throw new UnavailableError('revocations', 'PostgreSQL was restored to an earlier state')
    }
    this.note(row.o_epoch, seq)
    if (Number(row.o_now) - Number(row.o_told_at) < epochSettleMs) {
      throw new UnavailableError(
        'revocations',
        'PostgreSQL has lost its state: other servers may still be writing kick-outs again',
      )
    }
  }
}

function factsOf(issuer: string, text: string): RevocationFacts {
  const facts = new Map<string, RevocationFact>()
  for (const { level, target, at, version, reason } of JSON.parse(text) as FactRow[]) {
    facts.set(`${level} ${target}`, {
      at,
      ...(version !== null && { version }),
      ...(reason !== null && { reason: decodeText(reason) }),
    })
  }
  if (facts.size === 0) return { of: () => undefined }
  return {
    of: (asked) =>
      asked === issuer
        ? { get: (level, id) => facts.get(`${level} ${encodeText(id)}`) }
        : undefined,
  }
}
