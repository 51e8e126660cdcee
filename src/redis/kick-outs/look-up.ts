import type { Cluster } from 'ioredis'
import type { AccessTokenClaims } from '../../auth.ts'
import { systemClock } from '../../clock.ts'
import { copyOf, UnavailableError } from '../../errors.ts'
import {
  idsAtLevel,
  isRevoked,
  type RevocationFact,
  type RevocationLevel,
  revocationLevels,
  type RevocationVerdict,
} from '../../revocation/revocation.ts'
import type { CommandConnection } from '../client/connection.ts'
import { isCluster } from '../client/client-options.ts'
import { isMoving, isUnfit, toUnavailable, toUnfit } from '../client/failure.ts'
import { decodeFact } from './entry-format.ts'
import { absentEpoch, epochSettleMs } from '../../revocation/freshness.ts'
import { type RevocationLog, writeBudgetMs } from './publish.ts'
import { type LookupReply, lookupScript } from '../scripts/look-up.ts'

/** An epoch of a partition's log, as this process saw it. */
interface SeenEpoch {
  readonly epoch: string
  /** When this process first saw it, or when it began where it was the first epoch to be seen; monotonic. */
  readonly sinceMs: number
  /** When it was last seen, monotonic. */
  seenMs: number
  futureToldAt: number
  futureSinceMs: number
}

type Ids = Partial<Record<RevocationLevel, string>>

/** For a look-up of the head alone. */
const noNames = {
  token_key: '',
  session_key: '',
  subject_key: '',
  client_key: '',
  everyone_key: '',
}

function factKey(level: RevocationLevel, id = ''): string {
  return `${level} ${id}`
}

/**
 * Asks Redis about one token: one round trip to each partition that can hold a kick-out of it. A log that has just lost its
 * state says "not revoked" of every token, so that answer does not count until the servers have had time to republish.
 */
export class Lookup {
  readonly #connection: CommandConnection
  readonly #log: RevocationLog
  readonly #budgetMs: number
  readonly #isFollowed: boolean
  readonly #onLoss: (partition: number) => void
  readonly #seen = new Map<number, SeenEpoch>()
  #inspectedConnection = 0
  /** The error of the last look-up; `undefined` after one that succeeded. */
  #lastError: UnavailableError | undefined
  #isProbing = false

  /**
   * @param isFollowed - whether this process follows the log, and so sees its epoch again and again
   * @param onLoss - called when a look-up finds that a log has lost its state
   */
  constructor(
    connection: CommandConnection,
    log: RevocationLog,
    { budgetMs, isFollowed }: { budgetMs: number; isFollowed: boolean },
    onLoss: (partition: number) => void,
  ) {
    this.#isFollowed = isFollowed
    this.#onLoss = onLoss
    this.#connection = connection
    this.#log = log
    this.#budgetMs = budgetMs
  }

  /**
   * While Redis does not answer, one look-up at a time goes on asking it and all others fail at once. Otherwise each request
   * would wait for the whole budget, and the first requests after an outage would wait in a queue.
   *
   * @param patienceMs - how long to wait until "not revoked" counts, where the epoch is young
   * @throws UnavailableError when Redis did not answer in time, must not be used, or has just lost its state
   */
  async check(claims: AccessTokenClaims, patienceMs = 0): Promise<RevocationVerdict> {
    if (this.#lastError === undefined) return this.#lookUp(claims, patienceMs)
    if (this.#isProbing) throw copyOf(this.#lastError)
    this.#isProbing = true
    try {
      return await this.#lookUp(claims, patienceMs)
    } finally {
      this.#isProbing = false
    }
  }

  async #lookUp(claims: AccessTokenClaims, patienceMs: number): Promise<RevocationVerdict> {
    const failed = 'The look-up in Redis failed'
    let answers
    try {
      await this.#inspect(this.#budgetMs)
      answers = await Promise.all(
        this.#locate(claims).map(async ([partition, ids]) => ({
          ids,
          ...(await this.#ask(partition, claims.iss, ids, this.#budgetMs)),
        })),
      )
      this.#lastError = undefined
    } catch (error) {
      this.#lastError = toUnavailable('revocations', failed, error)
      throw copyOf(this.#lastError)
    }
    const facts = new Map<string, RevocationFact>()
    const doubtMs = Math.max(0, ...answers.map((answer) => answer.doubtMs))
    try {
      for (const { ids, values } of answers) {
        values.forEach((value, index) => {
          const fact = decodeFact(value)
          const level = revocationLevels[index]
          if (fact && level) facts.set(factKey(level, ids[level]), fact)
        })
      }
    } catch (error) {
      throw toUnavailable('revocations', failed, error)
    }
    const known = {
      get: (level: RevocationLevel, id: string) => facts.get(factKey(level, id)),
    }
    const verdict = isRevoked(claims, { of: () => known }, systemClock)
    if (!verdict.revoked && doubtMs > 0) {
      if (doubtMs <= patienceMs) {
        // An absent log has to be read during the wait too, see `#isForgotten`.
        const waitMs = Math.min(doubtMs, epochSettleMs / 4)
        await pause(waitMs)
        return this.#lookUp(claims, patienceMs - waitMs)
      }
      throw new UnavailableError(
        'revocations',
        'Redis has lost its state: other servers may still be writing kick-outs again',
      )
    }
    return verdict
  }

  /**
   * Resolves when look-ups can be answered: the log of a new deployment has to be seen absent for a while.
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
          // A log that another process opens during the wait is young again.
          for (;;) {
            const { doubtMs } = await this.#ask(partition, '', {}, writeBudgetMs)
            if (doubtMs <= 0) return
            await pause(doubtMs)
          }
        }),
      )
    } catch (error) {
      if (isUnfit(error)) throw toUnfit(error)
      throw toUnavailable('revocations', 'Redis cannot be reached', error)
    }
  }

  /**
   * The partitions that can hold a kick-out of the token, and the ids to look up there. A token that names different clients
   * in several claims needs one more look-up for each of them.
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
    const { keys, layout } = this.#log
    const keyOf = (level: RevocationLevel): string => {
      const id = ids[level]
      return id === undefined ? '' : keys.deny(level, issuer, id)
    }
    const names = {
      token_key: keyOf('token'),
      session_key: keyOf('session'),
      subject_key: keyOf('subject'),
      client_key: keyOf('client'),
      everyone_key: keyOf('everyone'),
    }
    const reply = await this.#connection.run(budgetMs, async (client) => {
      const ask = async (asked: typeof names): Promise<LookupReply> =>
        lookupScript(client, { servers_key: keys.servers(partition) }, { ...layout, ...asked })
      return isCluster(client) ? this.#askCluster(client, partition, names, ask) : ask(names)
    })
    return { values: reply.values, doubtMs: this.#doubtMs(partition, reply) }
  }

  /**
   * While a Cluster moves a slot, it refuses a script that touches keys that have moved already, but redirects a command
   * with one key. The commands are sent before the script, so that a script that ran proves that a primary answered them.
   */
  async #askCluster(
    client: Cluster,
    partition: number,
    names: Readonly<Record<string, string>>,
    ask: (names: Record<keyof typeof noNames, string>) => Promise<LookupReply>,
  ): Promise<LookupReply> {
    const values = Promise.all(
      Object.values(names).map(async (key) => (key === '' ? undefined : client.get(key))),
    )
    const head = ask(noNames).catch(async (error: unknown) => {
      if (!isMoving(error)) throw error
      const key = this.#log.keys.meta(partition)
      const [epoch, toldAt, createdAt] = await client.hmget(key, 'epoch', 'told_at', 'created_at')
      return {
        epoch: epoch ?? absentEpoch,
        createdAt: Number(createdAt ?? 0),
        toldAt: Number(toldAt ?? 0),
        now: Date.now(),
      }
    })
    const [found, known] = await Promise.all([values, head])
    return { ...known, values: found.map((value) => value ?? undefined) }
  }

  /** For how long "not revoked" does not count yet: other servers may still be republishing. */
  #doubtMs(partition: number, { epoch, createdAt, toldAt, now }: LookupReply): number {
    const seen = this.noteEpoch(partition, epoch, now - createdAt)
    // A primary whose clock was ahead wrote a moment in the future. It counts from when this process first saw it.
    if (toldAt > now && seen.futureToldAt !== toldAt) {
      seen.futureToldAt = toldAt
      seen.futureSinceMs = performance.now()
    }
    const republishedAgoMs = toldAt > now ? performance.now() - seen.futureSinceMs : now - toldAt
    return epochSettleMs - Math.min(republishedAgoMs, performance.now() - seen.sinceMs)
  }

  /**
   * Notes the epoch in which this process saw a log. The first epoch that it sees is as old as the log says. An epoch that
   * began after the log was absent for long has lost nothing, and counts as old. Any other epoch has to last for a while,
   * and so has the absence of a log that was never opened.
   */
  noteEpoch(partition: number, epoch: string, ageMs: number): SeenEpoch {
    const nowMs = performance.now()
    const known = this.#seen.get(partition)
    const isUnbroken = known !== undefined && !this.#isOutdated(known, nowMs)
    if (isUnbroken && known.epoch === epoch) {
      known.seenMs = nowMs
      return known
    }
    const seen = {
      epoch,
      sinceMs: this.#beganMs(isUnbroken, known, epoch, ageMs),
      seenMs: nowMs,
      futureToldAt: 0,
      futureSinceMs: 0,
    }
    this.#seen.set(partition, seen)
    if (known && known.epoch !== absentEpoch) this.#onLoss(partition)
    return seen
  }

  #beganMs(
    isUnbroken: boolean,
    known: SeenEpoch | undefined,
    epoch: string,
    ageMs: number,
  ): number {
    const nowMs = performance.now()
    if (epoch === absentEpoch) return nowMs
    if (!known) return nowMs - Math.max(0, ageMs)
    const wasAbsentForLong =
      isUnbroken && known.epoch === absentEpoch && nowMs - known.sinceMs >= epochSettleMs
    return wasAbsentForLong ? Number.NEGATIVE_INFINITY : nowMs
  }

  /** A log that was absent at the last look-up, long ago, may have been opened and lost since then. */
  #isOutdated({ epoch, seenMs }: SeenEpoch, nowMs: number): boolean {
    return this.#isFollowed && epoch === absentEpoch && nowMs - seenMs > epochSettleMs
  }

  /** Checks Redis once per connection: one that evicts keys loses kick-outs without an error. */
  async #inspect(budgetMs: number): Promise<void> {
    const { connectionNumber } = this.#connection
    if (connectionNumber > 0 && this.#inspectedConnection === connectionNumber) return
    await this.#connection.inspect(budgetMs)
    // Partition 0 holds the number of partitions. With a wrong number a look-up would read partitions that are always empty.
    if (this.#log.settings.partitions > 1) await this.#ask(0, '', {}, budgetMs)
    this.#inspectedConnection = this.#connection.connectionNumber
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
