import type { Redis } from 'ioredis'
import { isDemoted, wasNeverSent } from './failure.ts'
import { inspect, replicasOf } from './server-check.ts'
import {
  connectTimeoutMs,
  duplicateForCommands,
  duplicateForReading,
  firstAnswerTimeoutMs,
  isCluster,
} from './client-options.ts'
import type { RedisClient } from '../options.ts'
import { applyCredentials, type ConnectionTemplate } from './template.ts'
import { Timeout, within } from '../../timeout.ts'

function atRandom<Item>(items: readonly Item[]): Item | undefined {
  return items[Math.floor(Math.random() * items.length)]
}

type Command<Reply> = (client: RedisClient) => Promise<Reply>

/** How often an idle connection behind Sentinel is asked whether it is alive, and how long it may take to answer. */
const pulseMs = 500

/** How long commands under way have to be answered while the connection is closed. */
const drainMs = 500

/** How often a patient command may outlast its budget while the server goes on answering others. */
const maxPatience = 5
/** How long whoever waits for a connection waits before looking again. */
const stretchMs = 20

/**
 * The connection for commands: one per deployment of ours in a process, made after the user's client and on first use.
 * Every command has a budget, and a server that is silent for the whole of it loses the connection, so that nothing piles
 * up behind one that hangs.
 */
export class CommandConnection {
  readonly #template: RedisClient
  readonly #source: ConnectionTemplate
  #client: RedisClient | undefined
  #stretch: Promise<void> | undefined
  #answeredAtMs = Number.NEGATIVE_INFINITY
  #connectFailure: Error | undefined
  #holding: CommandConnection | undefined
  #connectionNumber = 0
  #droppedConnection = 0
  #pulse: NodeJS.Timeout | undefined
  #closed = false
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(source: ConnectionTemplate) {
    this.#source = source
    this.#template = source.client
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
    const client = await this.#ready(budgetMs)
    const sentAtMs = performance.now()
    const reply = command(client)
    this.#underWay.add(reply)
    const forget = (): void => void this.#underWay.delete(reply)
    reply.then(forget, forget)
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
        const leftMs = startedAtMs + budgetMs - performance.now()
        // The server closes idle connections. A command that found one closed was never sent, so it may be sent again.
        if (wasNeverSent(error) && leftMs > 0 && client.status !== 'ready')
          return await this.#run(leftMs, leftMs + limitMs - budgetMs, command)
        if (!(error instanceof Timeout)) throw error
        this.refreshSlots()
        // Silence counts from when the command was sent. One that waited for the connection and had little time left says
        // nothing about a connection that has just been made.
        const wasPatient = performance.now() - sentAtMs >= budgetMs / 2
        const sinceMs = Math.max(startedAtMs, performance.now() - budgetMs)
        const isSilent = this.#answeredAtMs < sinceMs
        if (isSilent && wasPatient) this.#restart(client)
        if (isSilent || performance.now() >= startedAtMs + limitMs || limitMs === budgetMs)
          throw error
      }
    }
  }

  /** Another connection, made on first use, for commands that hold theirs up. It is closed with this one. */
  get holding(): CommandConnection {
    this.#holding ??= new CommandConnection(this.#source)
    if (this.#closed) void this.#holding.close()
    return this.#holding
  }

  /** The client of the primary that holds a key: on a Cluster that of one node, elsewhere the only one. */
  async nodeOf(client: RedisClient, key: string): Promise<Redis> {
    if (!isCluster(client)) return client
    const slot = await client.cluster('KEYSLOT', key)
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
      ? await this.nodeOf(await this.#ready(connectTimeoutMs), key)
      : this.#template
    return this.#connect(duplicateForReading(node))
  }

  /**
   * The same to a replica of that primary, chosen at random; `undefined` where it has none.
   *
   * On a Cluster and behind Sentinel, those say which replicas there are; elsewhere the primary does.
   */
  async dedicatedReplica(key: string): Promise<Redis | undefined> {
    const client = await this.#ready(connectTimeoutMs)
    if (!isCluster(client) && client.options.sentinels) {
      if ((await replicasOf(client)).length === 0) return undefined
      return this.#connect(duplicateForReading(this.#template as Redis, { role: 'slave' }))
    }
    const primary = await this.nodeOf(client, key)
    const replica = atRandom(await this.#replicas(client, primary, key))
    if (!replica) return undefined
    // A node of a Cluster answers for the slots of its primary only when it is told that reading suffices.
    const node = isCluster(client) ? primary : (this.#template as Redis)
    return this.#connect(duplicateForReading(node, { ...replica, readOnly: isCluster(client) }))
  }

  /** Whether {@link dedicatedReplica} finds one. */
  async hasReplica(key: string): Promise<boolean> {
    const client = await this.#ready(connectTimeoutMs)
    return (await this.#replicas(client, await this.nodeOf(client, key), key)).length > 0
  }

  async #replicas(
    client: RedisClient,
    primary: Redis,
    key: string,
  ): Promise<{ host: string; port: number }[]> {
    if (!isCluster(client)) return replicasOf(primary)
    const slot = await client.cluster('KEYSLOT', key)
    return (client.slots[slot] ?? []).slice(1).map((name) => {
      const colon = name.lastIndexOf(':')
      return { host: name.slice(0, colon), port: Number(name.slice(colon + 1)) }
    })
  }

  async #connect(client: Redis): Promise<Redis> {
    let failure: Error | undefined
    client.on('error', (error: Error) => {
      failure = error
    })
    try {
      await applyCredentials(client, this.#source)
      await within(client.connect(), connectTimeoutMs, 'Connecting to Redis')
    } catch (error) {
      client.disconnect()
      // Why it failed says more than that the connection is closed.
      throw failure ?? error
    }
    return client
  }

  /**
   * Inspects every primary.
   *
   * @throws UnfitRedis, see {@link inspect}
   */
  async inspect(budgetMs: number): Promise<void> {
    await this.run(budgetMs, async (client) => {
      const primaries = isCluster(client) ? client.nodes('master') : [client]
      await Promise.all(primaries.map(inspect))
    })
  }

  /** Another one after each reconnect; 0 before the first connection. */
  get connectionNumber(): number {
    return this.#connectionNumber
  }

  /** On a Cluster: asks anew who holds which slot. */
  refreshSlots(): void {
    if (this.#client && isCluster(this.#client)) this.#client.refreshSlotsCache()
  }

  /**
   * Asks now and then whether the primary is still there. One that hangs long enough to be replaced, and then wakes up,
   * would be handed the next kick-out of a quiet issuer, acknowledge it and lose it.
   */
  #startPulse(): void {
    this.#pulse ??= setInterval(() => {
      if (this.#client?.status !== 'ready') return
      this.run(pulseMs, async (client) => (client as Redis).ping()).catch(() => undefined)
    }, pulseMs)
    this.#pulse.unref()
  }

  /** Asks again who the primary is: a reader has found another one, and this connection may still lead to the last. */
  reconnect(): void {
    if (this.#client && !isCluster(this.#client)) this.#restart(this.#client)
    this.refreshSlots()
    this.#holding?.reconnect()
  }

  /** Takes no further commands. Those under way have a moment to be answered: what they write is in force already. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#pulse)
    if (this.#underWay.size > 0) {
      const answered = Promise.allSettled(this.#underWay)
      await within(answered, drainMs, 'Redis').catch(() => undefined)
    }
    this.#client?.disconnect()
    await this.#holding?.close()
  }

  /**
   * Resolves when commands can be sent; waits through a reconnect. It waits in short stretches, shared by all who wait: what
   * waits on one promise until Redis is back stays in memory until then, and under load that is all there is.
   */
  async #ready(budgetMs: number): Promise<RedisClient> {
    const deadlineMs = performance.now() + budgetMs
    for (;;) {
      if (this.#closed) throw new Error('The connection was closed')
      const client = (this.#client ??= this.#create())
      // A dropped connection calls itself ready until its socket has closed, and refuses whatever it is given.
      const isDropped = this.#droppedConnection === this.#connectionNumber
      if (client.status === 'ready' && !isDropped) return client
      if (performance.now() >= deadlineMs) {
        // Why the attempts fail says more than that they take long.
        throw this.#connectFailure ?? new Timeout(`Connecting to Redis takes over ${budgetMs} ms`)
      }
      this.#stretch ??= this.#waitForReady(client).finally(() => {
        this.#stretch = undefined
      })
      await this.#stretch
    }
  }

  #create(): RedisClient {
    const asksEachTime = this.#source.credentials !== undefined
    const client = duplicateForCommands(this.#template, asksEachTime)
    if (!isCluster(client) && !asksEachTime) {
      client.on('reconnecting', () => void applyCredentials(client, this.#source))
    }
    if (!isCluster(client) && client.options.sentinels) this.#startPulse()
    // Failures reach whoever runs a command; an unheard 'error' event would be printed.
    client.on('error', (error: Error) => {
      // On a Cluster the reason why no node could be asked is behind the error.
      this.#connectFailure = (error as { lastNodeError?: Error }).lastNodeError ?? error
    })
    client.on('ready', () => {
      this.#connectionNumber++
      this.#connectFailure = undefined
    })
    // The kernel of a server that hangs accepts connections; its first answer never comes, and nobody else waits for it.
    let timer: NodeJS.Timeout | undefined
    client.on('connect', () => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        if (client.status === 'connect') client.disconnect(true)
      }, firstAnswerTimeoutMs)
      timer.unref()
    })
    return client
  }

  /** Resolves when the client is ready, and after a while in any case. */
  async #waitForReady(client: RedisClient): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer)
        client.off('ready', settle)
        client.off('end', fail)
        resolve()
      }
      const fail = (): void => {
        reject(this.#connectFailure ?? new Error('The connection to Redis was closed'))
        settle()
      }
      const timer = setTimeout(settle, stretchMs)
      timer.unref()
      client.once('ready', settle)
      client.once('end', fail)
      // It is lazy, and a client that has given up stays so until it is asked.
      if (client.status === 'wait' || client.status === 'end') {
        applyCredentials(client, this.#source)
          .then(async () => client.connect())
          .catch((error: unknown) => {
            if (error instanceof Error) this.#connectFailure = error
          })
      }
    })
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
