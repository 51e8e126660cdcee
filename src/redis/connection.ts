import type { Redis } from 'ioredis'
import { isDemoted } from './failure.ts'
import { inspect } from './inspect.ts'
import type { Keys } from './keys.ts'
import {
  connectTimeoutMs,
  duplicateForCommands,
  duplicateForReading,
  isCluster,
} from './own-client.ts'
import type { RedisClient } from './settings.ts'
import { Timeout, within } from './timeout.ts'

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
  #connectFailure: Error | undefined
  #holding: CommandConnection | undefined
  #connectionNumber = 0
  #droppedConnection = 0
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
    const client = await within(this.#ready(), budgetMs, 'Connecting to Redis').catch(
      (error: unknown) => {
        // Why the attempts fail says more than that they take long.
        throw this.#connectFailure ?? error
      },
    )
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
        // Whoever asks for the primary again, by Sentinel or by name, may be led to another one.
        if (isDemoted(error)) this.#restart(client)
        if (!(error instanceof Timeout)) throw error
        this.refreshSlots()
        const isSilent = this.#answeredAtMs < performance.now() - budgetMs
        if (isSilent) this.#restart(client)
        if (isSilent || performance.now() >= startedAtMs + limitMs || limitMs === budgetMs)
          throw error
      }
    }
  }

  /** Another connection, made on first use, for commands that hold theirs up. It is closed with this one. */
  get holding(): CommandConnection {
    this.#holding ??= new CommandConnection(this.#template)
    if (this.#closed) this.#holding.close()
    return this.#holding
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
      ? await this.nodeOf(await within(this.#ready(), connectTimeoutMs, 'Connecting to Redis'), key)
      : (this.#template as Redis)
    const client = duplicateForReading(node)
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
  async inspect(keys: Keys, budgetMs: number): Promise<void> {
    await this.run(budgetMs, async (client) => inspect(await this.nodeOf(client, keys.meta(0))))
  }

  /** Another one after each reconnect; 0 before the first connection. */
  get connectionNumber(): number {
    return this.#connectionNumber
  }

  /** On a Cluster: asks anew who holds which slot. */
  refreshSlots(): void {
    if (this.#client && isCluster(this.#client)) this.#client.refreshSlotsCache()
  }

  close(): void {
    this.#closed = true
    this.#client?.disconnect()
    this.#holding?.close()
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
    client.on('error', (error: Error) => {
      this.#connectFailure = error
    })
    client.on('ready', () => {
      this.#connectionNumber++
      this.#connectFailure = undefined
    })
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
    // It is lazy, and a cluster client that has given up stays so until it is asked.
    if (client.status === 'wait' || client.status === 'end') client.connect().catch(() => undefined)
    await ready
  }

  /**
   * Drops whatever is under way and connects anew; with Sentinel that asks again who the primary is. Once per connection:
   * on a silent link it goes on calling itself ready for a while, and each further time would leave a timer and a listener.
   */
  #restart(client: RedisClient): void {
    if (client.status !== 'ready' || this.#droppedConnection === this.#connectionNumber) return
    this.#droppedConnection = this.#connectionNumber
    client.disconnect(true)
  }
}
