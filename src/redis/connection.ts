import type { Cluster, Redis } from 'ioredis'
import { UnfitRedis } from './failure.ts'
import type { Keys } from './keys.ts'
import type { RedisClient } from './settings.ts'

/** How long one attempt to connect may take. */
const connectTimeoutMs = 2000
const maxReconnectDelayMs = 400

/** Spread, so that a fleet does not come back all at once. */
export function reconnectDelayMs(attempt: number): number {
  const delay = Math.min(maxReconnectDelayMs, 25 * 2 ** Math.min(attempt, 5))
  return delay / 2 + Math.random() * (delay / 2)
}

function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster
}

/**
 * Overrides for every connection of ours. Nothing is queued while there is no connection and nothing is sent twice: a
 * command that waits for minutes, or runs again by itself, is worse than one that fails.
 */
const ownConnection = {
  keyPrefix: '',
  lazyConnect: true,
  enableOfflineQueue: false,
  enableAutoPipelining: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: connectTimeoutMs,
  replyMapping: 'legacy',
} as const

function duplicateForCommands(template: RedisClient): RedisClient {
  if (isCluster(template)) {
    return template.duplicate([], {
      keyPrefix: '',
      lazyConnect: true,
      enableOfflineQueue: false,
      enableAutoPipelining: false,
      scaleReads: 'master',
      clusterRetryStrategy: reconnectDelayMs,
      redisOptions: {
        ...template.options.redisOptions,
        keyPrefix: '',
        connectTimeout: connectTimeoutMs,
        replyMapping: 'legacy',
      },
    }) as Cluster
  }
  return template.duplicate({ ...ownConnection, retryStrategy: reconnectDelayMs }) as Redis
}

/** Settles with the promise, or rejects after a while. What comes later is nobody's business any more. */
export async function within<Value>(
  promise: Promise<Value>,
  ms: number,
  what: string,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Timeout(`${what} took longer than ${Math.ceil(ms)} ms`)),
      ms,
    )
    timer.unref()
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
    promise.catch(() => undefined)
  }
}

/** Redis did not answer in time. */
export class Timeout extends Error {
  override readonly name = 'Timeout'
}

type Command<Reply> = (client: RedisClient) => Promise<Reply>

/** How often a patient command may outlast its budget while the server goes on answering others. */
const maxPatience = 5

/**
 * The connection for commands: one per deployment of ours in a process, made after the user's client and on first use.
 * Every command has a budget, and a server that is silent for the whole of it loses the connection, so that nothing piles
 * up behind one that hangs.
 */
export class CommandConnection {
  readonly #template: RedisClient
  #client: RedisClient | undefined
  #connected: Promise<void> | undefined
  #answeredAtMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(template: RedisClient) {
    this.#template = template
  }

  /** Runs a command that has to be answered within its budget, come what may. */
  async run<Reply>(budgetMs: number, command: Command<Reply>): Promise<Reply> {
    return this.#run(budgetMs, budgetMs, command)
  }

  /** Runs a command that may wait its turn behind others, as long as the server goes on answering. */
  async runPatiently<Reply>(budgetMs: number, command: Command<Reply>): Promise<Reply> {
    return this.#run(budgetMs, budgetMs * maxPatience, command)
  }

  async #run<Reply>(budgetMs: number, limitMs: number, command: Command<Reply>): Promise<Reply> {
    const startedAtMs = performance.now()
    const client = await within(this.#ready(), budgetMs, 'Connecting to Redis')
    const reply = command(client)
    for (;;) {
      const silentSinceMs = Math.max(startedAtMs, limitMs > budgetMs ? this.#answeredAtMs : 0)
      const patienceMs =
        Math.min(silentSinceMs + budgetMs, startedAtMs + limitMs) - performance.now()
      try {
        const answer = await within(reply, Math.max(1, patienceMs), 'Redis')
        this.#answeredAtMs = performance.now()
        return answer
      } catch (error) {
        if (!(error instanceof Timeout)) throw error
        const isSilent = this.#answeredAtMs < performance.now() - budgetMs
        if (isSilent) this.#restart(client)
        if (isSilent || performance.now() >= startedAtMs + limitMs || limitMs === budgetMs)
          throw error
      }
    }
  }

  /** The client of the primary that holds a key: on a Cluster that of one node, elsewhere the only one. */
  async nodeOf(client: RedisClient, key: string): Promise<Redis> {
    if (!isCluster(client)) return client
    const slot = Number(await client.cluster('KEYSLOT', key))
    const name = client.slots[slot]?.[0]
    const node = client
      .nodes('master')
      .find(({ options }) => `${options.host}:${options.port}` === name)
    if (!node) throw new Error('The node of the slot is not known')
    return node
  }

  /**
   * A connection of its own to the primary that holds a key, for blocking reads. It does not reconnect by itself: whoever
   * reads has to know when it was interrupted.
   */
  async dedicated(key: string): Promise<Redis> {
    const node = isCluster(this.#template)
      ? await this.nodeOf(await this.#ready(), key)
      : (this.#template as Redis)
    const client = node.duplicate({
      ...ownConnection,
      readOnly: false,
      retryStrategy: null,
    }) as Redis
    client.on('error', () => undefined)
    try {
      await within(client.connect(), connectTimeoutMs, 'Connecting to Redis')
    } catch (error) {
      client.disconnect()
      throw error
    }
    return client
  }

  /** @throws UnfitRedis, see {@link inspect} */
  async inspect(keys: Keys): Promise<void> {
    const client = await within(this.#ready(), connectTimeoutMs, 'Connecting to Redis')
    await inspect(await this.nodeOf(client, keys.meta(0)))
  }

  /** On a Cluster: asks anew who holds which slot. */
  refreshSlots(): void {
    if (this.#client && isCluster(this.#client)) this.#client.refreshSlotsCache()
  }

  close(): void {
    this.#closed = true
    this.#client?.disconnect()
  }

  /** Resolves when commands can be sent; waits through a reconnect, and is shared by all that wait. */
  async #ready(): Promise<RedisClient> {
    if (this.#closed) throw new Error('The connection was closed')
    const client = (this.#client ??= this.#create())
    if (client.status === 'ready') return client
    this.#connected ??= this.#waitUntilReady(client).finally(() => {
      this.#connected = undefined
    })
    await this.#connected
    return client
  }

  #create(): RedisClient {
    const client = duplicateForCommands(this.#template)
    // Failures reach whoever runs a command; an unheard 'error' event would be printed.
    client.on('error', () => undefined)
    return client
  }

  async #waitUntilReady(client: RedisClient): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => {
      const onReady = (): void => {
        client.off('end', onEnd)
        resolve()
      }
      const onEnd = (): void => {
        client.off('ready', onReady)
        reject(new Error('The connection to Redis was closed'))
      }
      client.once('ready', onReady)
      client.once('end', onEnd)
    })
    await ready
  }

  /** Drops whatever is under way and connects anew; with Sentinel that asks again who the primary is. */
  #restart(client: RedisClient): void {
    if (client.status === 'ready') client.disconnect(true)
  }
}

function fieldOf(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
}

/**
 * Looks a server over on each new connection.
 *
 * @returns what names this primary and its history
 * @throws UnfitRedis when it may evict keys: each eviction un-revokes somebody, without an error to anyone
 */
export async function inspect(client: Redis): Promise<{ replicationId: string }> {
  const [memory, replication] = await Promise.all([
    client.info('memory'),
    client.info('replication'),
  ])
  const policy = fieldOf(memory, 'maxmemory_policy')
  if (policy !== '' && policy !== 'noeviction') {
    throw new UnfitRedis(
      `Redis has maxmemory-policy ${policy}, which deletes kick-outs when memory runs out: set it to noeviction`,
    )
  }
  if (fieldOf(replication, 'role') === 'slave') throw new Error('READONLY The server is a replica')
  return { replicationId: fieldOf(replication, 'master_replid') }
}
