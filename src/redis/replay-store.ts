import { createHash } from 'node:crypto'
import type { ReplayStore } from '../replay/replay-store.ts'
import type { CommandConnection } from './client/connection.ts'
import { toUnavailable } from './client/failure.ts'
import { inspect } from './client/server-check.ts'
import type { ReplayStoreSettings } from './options.ts'
import { claimScript } from './scripts/claim.ts'

/** A replay store with a connection of its own. */
export interface RedisReplayStore extends ReplayStore {
  /** Closes its connection. Afterwards `claim` rejects. */
  close(): Promise<void>
}

/** How long one claim may take. */
const claimBudgetMs = 500
/** Over how many hash tags, and so slots of a Cluster, ids are spread. */
const buckets = 16

/**
 * Claims on Redis: one script, and so one round trip, each. A full Redis refuses to write, and one that may evict keys is
 * refused; so no claim is ever forgotten early. Claims that a restart or a failover may have lost are told by
 * `remembersSinceMs`.
 */
export class RedisClaims implements RedisReplayStore {
  readonly #connection: CommandConnection
  readonly #settings: ReplayStoreSettings
  /** By bucket, on this process's clock. */
  readonly #since = new Array<number>(buckets).fill(Number.NEGATIVE_INFINITY)
  #inspectedConnection = 0

  constructor(connection: CommandConnection, settings: ReplayStoreSettings) {
    this.#connection = connection
    this.#settings = settings
  }

  get remembersSinceMs(): number {
    return Math.max(...this.#since)
  }

  async claim(namespace: string, id: string, ttlMs: number): Promise<boolean> {
    const digest = createHash('sha256').update(`${namespace.length}:${namespace}${id}`).digest()
    const bucket = digest.readUInt8(0) % buckets
    const { keyPrefix, prefix } = this.#settings
    const base = `${keyPrefix}{${prefix}:replay:${bucket}}:`
    const keys = { marker_key: `${base}since`, id_key: `${base}id:${digest.toString('base64url')}` }
    try {
      await this.#inspect(keys.marker_key)
      const { isFirst, remembersForMs } = await this.#connection.run(
        claimBudgetMs,
        async (client) => claimScript(client, keys, { ttl_ms: Math.ceil(ttlMs) }),
      )
      // Of the moment of the answer, so never earlier than by the clock of Redis.
      this.#since[bucket] = Date.now() - remembersForMs
      return isFirst
    } catch (error) {
      throw toUnavailable('replay', 'The replay store cannot be asked', error)
    }
  }

  async close(): Promise<void> {
    this.#connection.close()
    return Promise.resolve()
  }

  /** Once for each connection. */
  async #inspect(key: string): Promise<void> {
    const { connectionNumber } = this.#connection
    if (connectionNumber > 0 && this.#inspectedConnection === connectionNumber) return
    await this.#connection.run(claimBudgetMs, async (client) =>
      inspect(await this.#connection.nodeOf(client, key)),
    )
    this.#inspectedConnection = this.#connection.connectionNumber
  }
}
