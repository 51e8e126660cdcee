import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import type { ReplayStore } from '../replay/replay-store.ts'
import type { CommandConnection } from './client/connection.ts'
import { isUnfit, toUnavailable, toUnfit } from './client/failure.ts'
import { inspect } from './client/server-check.ts'
import type { ReplayStoreSettings } from './options.ts'
import { claimScript } from './scripts/claim.ts'

/** A replay store with a connection of its own. */
export interface RedisReplayStore extends ReplayStore {
  /** Whether an id is claimed; claims nothing. */
  has(namespace: string, id: string): Promise<boolean>
  /** Closes its connection. Afterwards `claim` rejects. */
  close(): Promise<void>
}

/** How long one claim may take. */
const claimBudgetMs = 500
/** Over how many hash tags, and so slots of a Cluster, ids are spread. */
const buckets = 16
/** How long `ready` waits between two attempts. */
const retryMs = 200

/**
 * The bucket and name of an id, of one size however long the id is. The hash covers the length of the namespace, so that no
 * two pairs of namespace and id have the same digest.
 */
function placeOf(namespace: string, id: string): { bucket: number; name: string } {
  const digest = createHash('sha256').update(`${namespace.length}:${namespace}${id}`).digest()
  return { bucket: digest.readUInt8(0) % buckets, name: digest.toString('base64url') }
}

/**
 * Claims on Redis, one script and one round trip each. A full Redis refuses to write, and a Redis that may evict keys is
 * refused, so that no claim is lost early. After a restart or failover, `remembersSinceMs` says since when claims are known.
 */
export class RedisClaims implements RedisReplayStore {
  readonly #connection: CommandConnection
  readonly #settings: ReplayStoreSettings
  /** By bucket, on this process's clock. */
  readonly #since = new Array<number>(buckets).fill(Number.NEGATIVE_INFINITY)
  #inspectedConnection = 0
  #unfit: Error | undefined
  #isClosed = false

  constructor(connection: CommandConnection, settings: ReplayStoreSettings) {
    this.#connection = connection
    this.#settings = settings
  }

  get remembersSinceMs(): number {
    return Math.max(...this.#since)
  }

  async claim(namespace: string, id: string, ttlMs: number): Promise<boolean> {
    const { bucket, name } = placeOf(namespace, id)
    return this.#claim(bucket, name, Math.max(1, Math.ceil(ttlMs)))
  }

  async has(namespace: string, id: string): Promise<boolean> {
    const { bucket, name } = placeOf(namespace, id)
    const keys = this.#keysOf(bucket, name)
    try {
      await this.#inspect(keys.marker_key)
      const found = await this.#connection.run(claimBudgetMs, async (client) =>
        client.exists(keys.id_key),
      )
      return found === 1
    } catch (error) {
      if (isUnfit(error)) this.#unfit = toUnfit(error)
      throw toUnavailable('replay', 'The replay store cannot be asked', error)
    }
  }

  /** Waits for Redis without a limit, and writes the marker of every bucket. */
  async ready(): Promise<void> {
    for (let bucket = 0; bucket < buckets; bucket++) {
      try {
        await this.#claim(bucket, '', 0)
      } catch (error) {
        // Waiting does not help where a setting of Redis has to be changed.
        if (this.#isClosed || this.#unfit) throw this.#unfit ?? error
        await setTimeout(retryMs, undefined, { ref: false })
        bucket--
      }
    }
    const waitMs = Math.ceil(this.remembersSinceMs / 1000) * 1000 - Date.now()
    if (waitMs > 0) await setTimeout(waitMs, undefined, { ref: false })
  }

  #keysOf(bucket: number, id: string): { marker_key: string; id_key: string } {
    const { keyPrefix, prefix } = this.#settings
    const base = `${keyPrefix}{${prefix}:replay:${bucket}}:`
    return { marker_key: `${base}since`, id_key: `${base}id:${id}` }
  }

  async #claim(bucket: number, id: string, ttlMs: number): Promise<boolean> {
    const keys = this.#keysOf(bucket, id)
    const hasSeenMarker = this.#since[bucket] !== Number.NEGATIVE_INFINITY
    const values = { ttl_ms: ttlMs, has_seen_marker: hasSeenMarker ? 1 : 0 }
    try {
      await this.#inspect(keys.marker_key)
      const { isFirst, remembersForMs, isRounded } = await this.#connection.run(
        claimBudgetMs,
        async (client) => claimScript(client, keys, values),
      )
      // Counted from the moment of the answer, so it is never earlier than by the clock of Redis, unless Redis rounded it.
      const since = Date.now() - remembersForMs
      this.#since[bucket] = isRounded ? Math.floor(since / 1000) * 1000 : since
      return isFirst
    } catch (error) {
      if (isUnfit(error)) this.#unfit = toUnfit(error)
      throw toUnavailable('replay', 'The replay store cannot be asked', error)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#connection.close()
  }

  /** Once for each connection. */
  async #inspect(key: string): Promise<void> {
    const { connectionNumber } = this.#connection
    if (connectionNumber > 0 && this.#inspectedConnection === connectionNumber) return
    await this.#connection.run(claimBudgetMs, async (client) =>
      inspect(await this.#connection.nodeOf(client, key)),
    )
    this.#inspectedConnection = this.#connection.connectionNumber
    this.#unfit = undefined
  }
}
