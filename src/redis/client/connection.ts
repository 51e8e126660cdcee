import type { Cluster, Redis } from 'ioredis'
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

/** How often a connection behind Sentinel is pinged, and how long the answer may take. */
const pingEveryMs = 500

/** How long `close` waits for the answers of commands under way. */
const drainMs = 500

/** How many budgets a patient command may take while the server goes on answering others. */
const maxPatience = 5
/** How long commands that wait for a connection wait between two looks at it. */
const readyPollMs = 20

/**
 * The connection for commands: one for each store or `Revocations`, made on first use with the options of the user's client.
 * Every command has a budget. The connection to a server that is silent for a whole budget is dropped, so that commands do
 * not pile up behind a server that hangs.
 */
export class CommandConnection {
  readonly #template: RedisClient
  readonly #source: ConnectionTemplate
  #client: RedisClient | undefined
  #readyPoll: Promise<void> | undefined
  #answeredAtMs = Number.NEGATIVE_INFINITY
  #connectFailure: Error | undefined
  #blocking: CommandConnection | undefined
  #connectionNumber = 0
  #droppedConnection = 0
  #pingTimer: NodeJS.Timeout | undefined
  #closed = false
  readonly #underWay = new Set<Promise<unknown>>()
  /** The slots of the partitions' keys, which never change. */
  readonly #slots = new Map<string, number>()
  #isLookingForSilence = false

  constructor(source: ConnectionTemplate) {
    this.#source = source
    this.#template = source.client
  }

  /** Runs a command that has to be answered within its budget. */
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
        // The server is no longer the primary. A new connection asks Sentinel, or the name server, for the current one.
        if (isDemoted(error)) this.#restart(client)
        const leftMs = startedAtMs + budgetMs - performance.now()
        // The server closes idle connections. A command that found one closed was never sent, so it may be sent again.
        if (wasNeverSent(error) && leftMs > 0 && client.status !== 'ready')
          return await this.#run(leftMs, leftMs + limitMs - budgetMs, command)
        if (!(error instanceof Timeout)) throw error
        this.refreshSlots()
        // Silence counts from when the command was sent. A command that waited for the connection, and had little time left,
        // says nothing about a connection that was made just now.
        const wasPatient = performance.now() - sentAtMs >= budgetMs / 2
        if (isCluster(client) && wasPatient) this.#dropSilentNodes(client)
        const sinceMs = Math.max(startedAtMs, performance.now() - budgetMs)
        const isSilent = this.#answeredAtMs < sinceMs
        if (isSilent && wasPatient) this.#restart(client)
        if (isSilent || performance.now() >= startedAtMs + limitMs || limitMs === budgetMs)
          throw error
      }
    }
  }

  /** A second connection, made on first use, for commands such as `WAIT` that block theirs. It is closed with this one. */
  get blocking(): CommandConnection {
    this.#blocking ??= new CommandConnection(this.#source)
    if (this.#closed) void this.#blocking.close()
    return this.#blocking
  }

  /** The client of the primary that holds a key: on a Cluster that of one node, elsewhere the only one. */
  async nodeOf(client: RedisClient, key: string): Promise<Redis> {
    if (!isCluster(client)) return client
    const slot = await this.#slotOf(key)
    const find = (): Redis | undefined => {
      const name = client.slots[slot]?.[0]
      return client
        .nodes('master')
        .find(({ options }) => `${options.host}:${options.port}` === name)
    }
    // The client drops a node whose connection was closed, and asks for it again only when told to.
    const node = find() ?? (await this.#refreshedSlots(client).then(find))
    if (!node) throw new Error('The Cluster names no primary for the slot of the key')
    return node
  }

  async #refreshedSlots(client: Cluster): Promise<void> {
    const refreshed = new Promise<void>((resolve) => {
      client.refreshSlotsCache(() => resolve())
    })
    await within(refreshed, connectTimeoutMs, 'Redis')
  }

  /** The client picks the node that it asks. Without a budget, a node that answers nothing would hold a reader up for good. */
  async #slotOf(key: string): Promise<number> {
    const known = this.#slots.get(key)
    if (known !== undefined) return known
    const slot = await this.run(firstAnswerTimeoutMs, async (client) =>
      client.cluster('KEYSLOT', key),
    )
    this.#slots.set(key, slot)
    return slot
  }

  /**
   * A connection to the primary that holds a key, for blocking reads. It does not reconnect by itself: the reader has to know
   * of each interruption.
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
   * The Cluster or Sentinel names the replicas; elsewhere the primary does.
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
    // A replica in a Cluster redirects every read to its primary unless the connection is read-only.
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
    return (client.slots[await this.#slotOf(key)] ?? []).slice(1).map((name) => {
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
      // The error of the socket says why; that of `connect` only says that the connection was closed.
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

  /** On a Cluster: reads again which node holds which slot. */
  refreshSlots(): void {
    if (this.#client && isCluster(this.#client)) this.#client.refreshSlotsCache()
  }

  /**
   * Closes the connections to those nodes of a Cluster that answer nothing, while others may answer. A connection that a
   * firewall has forgotten would be used until TCP gives it up, a quarter of an hour later. The next command connects again.
   */
  #dropSilentNodes(client: Cluster): void {
    if (this.#isLookingForSilence) return
    this.#isLookingForSilence = true
    const used = client.nodes().filter(({ status }) => status !== 'wait')
    const dropped = used.map(async (node) =>
      within(node.ping(), firstAnswerTimeoutMs, 'Redis').catch((error: unknown) => {
        if (error instanceof Timeout) node.disconnect()
      }),
    )
    void Promise.all(dropped).finally(() => {
      this.#isLookingForSilence = false
      this.refreshSlots()
    })
  }

  /**
   * Pings the primary, so that a connection to one that hangs is dropped. Sentinel may have replaced such a primary by the
   * time it wakes up. Without the ping it would get the next kick-out, acknowledge it and lose it.
   */
  #startPings(): void {
    this.#pingTimer ??= setInterval(() => {
      if (this.#client?.status !== 'ready') return
      this.run(pingEveryMs, async (client) => (client as Redis).ping()).catch(() => undefined)
    }, pingEveryMs)
    this.#pingTimer.unref()
  }

  /** Connects again: a reader has found another primary, and this connection may still lead to the old one. */
  reconnect(): void {
    if (this.#client && !isCluster(this.#client)) this.#restart(this.#client)
    this.refreshSlots()
    this.#blocking?.reconnect()
  }

  /** Takes no further commands, and waits a moment for the answers of those under way: Redis may have carried them out. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#pingTimer)
    if (this.#underWay.size > 0) {
      const answered = Promise.allSettled(this.#underWay)
      await within(answered, drainMs, 'Redis').catch(() => undefined)
    }
    this.#client?.disconnect()
    await this.#blocking?.close()
  }

  /**
   * Resolves when commands can be sent, which may be after a reconnect. All commands share one promise, which is replaced
   * every 20 ms: on a promise that lasts until Redis is back, the requests of a whole outage would pile up in memory.
   */
  async #ready(budgetMs: number): Promise<RedisClient> {
    const deadlineMs = performance.now() + budgetMs
    for (;;) {
      if (this.#closed) throw new Error('The connection was closed')
      const client = (this.#client ??= this.#create())
      // A dropped connection has the status "ready" until its socket has closed, and fails every command.
      const isDropped = this.#droppedConnection === this.#connectionNumber
      if (client.status === 'ready' && !isDropped) return client
      if (performance.now() >= deadlineMs) {
        // The error of the attempts says why; a timeout would only say that they take long.
        throw this.#connectFailure ?? new Timeout(`Connecting to Redis takes over ${budgetMs} ms`)
      }
      this.#readyPoll ??= this.#waitForReady(client).finally(() => {
        this.#readyPoll = undefined
      })
      await this.#readyPoll
    }
  }

  #create(): RedisClient {
    const asksEachTime = this.#source.credentials !== undefined
    const client = duplicateForCommands(this.#template, asksEachTime)
    if (!isCluster(client) && !asksEachTime) {
      client.on('reconnecting', () => void applyCredentials(client, this.#source))
    }
    if (!isCluster(client) && client.options.sentinels) this.#startPings()
    // The caller of a command gets the failure. Without a listener, ioredis would print the 'error' event.
    client.on('error', (error: Error) => {
      // On a Cluster `lastNodeError` says why no node could be reached.
      this.#connectFailure = (error as { lastNodeError?: Error }).lastNodeError ?? error
    })
    client.on('ready', () => {
      this.#connectionNumber++
      this.#connectFailure = undefined
    })
    // A redirection that arrives while the client of a Cluster closes its connections adds a node to it. That node never
    // connects, so it never ends, and the client connects again only when its last node has ended: without this, never.
    client.on('+node', (node: Redis) => {
      if (client.status === 'disconnecting') node.disconnect()
    })
    // The kernel of a server that hangs accepts connections, but the first answer never comes. ioredis has no timeout for it.
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

  /** Resolves when the client is ready, and after `readyPollMs` at the latest. */
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
      const timer = setTimeout(settle, readyPollMs)
      timer.unref()
      client.once('ready', settle)
      client.once('end', fail)
      // A lazy client connects when it is asked to, and one that has given up stays so until then. The client of a Cluster
      // gives up where an old connection of it ends while it looks up the host names of its nodes.
      const isClosed = client.status === 'end' || (isCluster(client) && client.status === 'close')
      if (client.status === 'wait' || isClosed) {
        applyCredentials(client, this.#source)
          .then(async () => client.connect())
          .catch((error: unknown) => {
            if (error instanceof Error) this.#connectFailure = error
          })
      }
    })
  }

  /**
   * Drops the connection with all commands under way, and connects again; with Sentinel, to the current primary. Once per
   * connection: on a silent link the status stays "ready" for a while, and each further call would leak a timer and a listener.
   */
  #restart(client: RedisClient): void {
    if (client.status !== 'ready' || this.#droppedConnection === this.#connectionNumber) return
    this.#droppedConnection = this.#connectionNumber
    client.disconnect(true)
  }
}
