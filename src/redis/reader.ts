import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { type Clock, instantOf } from '../clock.ts'
import type { RevocationsState } from '../events.ts'
import type { LogEntry } from '../revocation/log.ts'
import type { Revocation } from '../revocation/revocation.ts'
import {
  addChunk,
  emptyLoad,
  type GapCause,
  initialPartition,
  logStart,
  onConnected,
  onLoaded,
  onRound,
  type PartitionState,
  type Step,
} from '../revocation/replica.ts'
import type { CommandConnection } from './connection.ts'
import { inspect } from './inspect.ts'
import { reconnectDelayMs } from './own-client.ts'
import { decodeEntry } from './revocation-codec.ts'
import { newEpoch, type RevocationLog } from './revocation-log.ts'
import { heartbeatScript, type HeartbeatReply } from './scripts/heartbeat.ts'
import { renewEpochScript } from './scripts/renew-epoch.ts'
import { within } from './timeout.ts'

/** Entries of one read. Small enough that reading a million of them never holds the event loop for long. */
const chunkSize = 500
/** How long a read waits while there is no proof yet: a server that boots is ready as soon as it can be. */
const bootBlockMs = 25
/** How many rounds go by until the server is looked over again. */
const stepsBetweenMeetings = 20
/** A reply that is not there this long after it had to be: the connection is dead, whatever TCP says. */
const watchdogSlackMs = 600

export interface ReaderSettings {
  readonly partition: number
  readonly nodeId: string
  /** How long a read waits for something new. */
  readonly blockMs: number
}

export interface ReaderDeps {
  readonly connection: CommandConnection
  readonly log: RevocationLog
  readonly clock: Clock
  /** How the whole replica is doing, for the heartbeat. */
  readonly report: () => { state: RevocationsState; stalenessMs: number }
  /** Puts what was read in force; `isConfirmed` where it is where it has to be in the log. */
  readonly apply: (revocation: Revocation, remainingMs: number, isConfirmed: boolean) => void
  readonly onState: (state: PartitionState) => void
  readonly onGap: (cause: GapCause) => void
  /** The whole window is about to be read, and has been read. */
  readonly onLoading: () => void
  readonly onLoaded: () => void
  /** The connection failed, or could not be made. */
  readonly onFailure: (error: unknown) => void
}

/**
 * Follows one partition's stream on a connection of its own: connect, load if the state machine says so, then read what is
 * new, block by block. It decides nothing; see `revocation/replica.ts`.
 */
export class Reader {
  readonly #settings: ReaderSettings
  readonly #deps: ReaderDeps
  #state: PartitionState = initialPartition
  #client: Redis | undefined
  readonly #ending = new AbortController()

  constructor(settings: ReaderSettings, deps: ReaderDeps) {
    this.#settings = settings
    this.#deps = deps
  }

  /** Runs until it is closed. Never rejects. */
  async run(): Promise<void> {
    for (let attempt = 0; !this.#hasEnded(); attempt++) {
      try {
        await this.#follow(() => {
          attempt = 0
        })
      } catch (error) {
        this.#disconnect()
        if (this.#hasEnded()) return
        this.#deps.connection.refreshSlots()
        this.#deps.onFailure(error)
        const { signal } = this.#ending
        await sleep(reconnectDelayMs(attempt), undefined, { ref: false, signal }).catch(
          () => undefined,
        )
      }
    }
  }

  /** Leaves, and says so if that can be done at once. */
  async close(): Promise<void> {
    this.#ending.abort()
    this.#disconnect()
    const { log, connection } = this.#deps
    const leave = connection.run(200, async (client) =>
      client.hdel(log.keys.nodes(this.#settings.partition), this.#settings.nodeId),
    )
    await leave.catch(() => undefined)
  }

  /** A word for what may have become true during an await. */
  #hasEnded(): boolean {
    return this.#ending.signal.aborted
  }

  #disconnect(): void {
    this.#client?.disconnect()
    this.#client = undefined
  }

  async #follow(onHealthy: () => void): Promise<void> {
    const { connection, log } = this.#deps
    const client = await connection.dedicated(log.keys.meta(this.#settings.partition))
    if (this.#hasEnded()) {
      client.disconnect()
      return
    }
    this.#client = client
    let step = await this.#meet(client)
    for (let steps = 1; ; steps++) {
      step = await this.#take(client, step)
      onHealthy()
      if (steps % stepsBetweenMeetings > 0 || step.then !== 'follow' || step.cause) continue
      this.#state = step.state
      step = await this.#meet(client)
    }
  }

  /** Looks the server over: on each connection, and now and then, since a primary may change under one. */
  async #meet(client: Redis): Promise<Step> {
    const { replicationId } = await this.#watched(inspect(client))
    const head = await this.#watched(this.#heartbeat(client))
    return onConnected(this.#state, head, replicationId)
  }

  /** Does what the last step said, and makes the next one. */
  async #take(client: Redis, step: Step): Promise<Step> {
    this.#state = step.state
    this.#deps.onState(step.state)
    if (step.cause !== undefined && step.cause !== 'first') this.#deps.onGap(step.cause)
    switch (step.then) {
      case 'follow':
        return this.#round(client)
      case 'load':
        return this.#load(client)
      case 'renew-epoch':
        await this.#renewEpoch(client, step.cause)
        return this.#load(client)
    }
  }

  async #round(client: Redis): Promise<Step> {
    const { clock, log } = this.#deps
    const { partition } = this.#settings
    const { junk } = this.#state
    const isBooting = this.#state.proof === undefined && junk === undefined
    const blockMs = isBooting ? bootBlockMs : this.#settings.blockMs
    const stream = log.keys.stream(partition)
    const sentAt = instantOf(clock)
    // Both go out at once; the server answers them in this order, so the head is no newer than what is read after it.
    const beat = this.#heartbeat(client)
    const lookedFor = junk === undefined ? [junk] : client.xrange(stream, junk, junk)
    const read = client.xread(
      'COUNT', chunkSize, 'BLOCK', blockMs, 'STREAMS', stream, this.#state.cursor,
    ) // prettier-ignore
    const [head, stillThere, reply] = await this.#watched(Promise.all([beat, lookedFor, read]))
    const entries = (reply?.[0]?.[1] ?? []).map(decodeEntry)
    this.#applyAll(entries, head.now, 0)
    const isJunkGone = stillThere.length === 0
    return onRound(this.#state, { sentAt, head, entries, limit: chunkSize, isJunkGone })
  }

  async #load(client: Redis): Promise<Step> {
    const { log } = this.#deps
    const stream = log.keys.stream(this.#settings.partition)
    const head = await this.#watched(this.#heartbeat(client))
    this.#deps.onLoading()
    let summary = emptyLoad
    for (;;) {
      const start = summary.cursor === logStart ? '-' : `(${summary.cursor}`
      const reply = await this.#watched(client.xrange(stream, start, '+', 'COUNT', chunkSize))
      const entries = reply.map(decodeEntry)
      this.#applyAll(entries, head.now, head.first)
      summary = addChunk(summary, entries, head.first)
      if (entries.length < chunkSize) break
    }
    const step = onLoaded(this.#state, head, summary)
    if (step.then === 'follow') this.#deps.onLoaded()
    return step
  }

  async #renewEpoch(client: Redis, cause: GapCause): Promise<void> {
    const { keys } = this.#deps.log
    const { partition } = this.#settings
    await this.#watched(
      renewEpochScript(
        client,
        { meta_key: keys.meta(partition), stream_key: keys.stream(partition) },
        {
          broken_epoch: this.#state.epoch ?? '',
          new_epoch: newEpoch(),
          // What was seen missing from the middle cannot be counted again; what is missing at the end can.
          hole_seen: cause === 'sequence' ? '1' : '0',
        },
      ),
    )
  }

  #applyAll(entries: readonly LogEntry[], now: number, first: number): void {
    for (const { revocation, seq } of entries) {
      if (!revocation || seq === undefined) continue
      this.#deps.apply(revocation, revocation.until - now, seq >= first)
    }
  }

  async #heartbeat(client: Redis): Promise<HeartbeatReply> {
    const { log, report } = this.#deps
    const { partition, nodeId } = this.#settings
    const { state, stalenessMs } = report()
    return heartbeatScript(
      client,
      {
        meta_key: log.keys.meta(partition),
        nodes_key: log.keys.nodes(partition),
        stream_key: log.keys.stream(partition),
      },
      {
        ...log.opening,
        node_id: nodeId,
        state,
        staleness_ms: Number.isFinite(stalenessMs) ? Math.round(stalenessMs) : 0,
        position: this.#state.seq,
      },
    )
  }

  /** A blocked read on a half-open connection hangs for minutes; this one does not. What it ends proves nothing. */
  async #watched<Reply>(reply: Promise<Reply>): Promise<Reply> {
    return within(reply, this.#settings.blockMs + watchdogSlackMs, 'Redis')
  }
}
