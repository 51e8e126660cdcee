import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { type Clock, instantOf } from '../../clock.ts'
import type { RevocationsState } from '../../events.ts'
import type { LogEntry } from '../../revocation/log.ts'
import type { Revocation } from '../../revocation/revocation.ts'
import {
  absentEpoch,
  addChunk,
  emptyLoad,
  type GapCause,
  initialPartition,
  onConnected,
  onEntries,
  onLoaded,
  onRound,
  type PartitionState,
  type Step,
} from '../../revocation/freshness.ts'
import type { CommandConnection } from '../client/connection.ts'
import { beatEveryMs } from '../../revocation/confirm.ts'
import { isForbidden } from '../client/failure.ts'
import { inspect, inspectReplica } from '../client/server-check.ts'
import type { HeartbeatReply } from '../scripts/heartbeat.ts'
import { openScript } from '../scripts/open.ts'
import { readerReconnectDelayMs } from '../client/client-options.ts'
import { Pace, type PaceSettings } from './pace.ts'
import { chunkSize, type ServerFacts, PartitionLog } from './partition-log.ts'
import type { RevocationLog } from './publish.ts'
import { within } from '../../timeout.ts'

/** How long a read waits while there is no proof yet, so that a server that boots is ready soon. */
const bootBlockMs = 25
/** How often the reader checks its Redis server again. */
const serverCheckEveryMs = 4000
/** How long a script on the primary may take while entries are read from a replica. */
const primaryBudgetMs = 900
/** The pause before a window is read again that the replica did not have as a whole. */
const lagPauseMs = 50
/** The budget of opening a log again. */
const reopenBudgetMs = 500
/** The pause before the next read of a log that this process may not repair. */
const forbiddenRetryMs = 500
/** How far the clock of Redis may be ahead of this server's. One that is further ahead would make entries expire early. */
const maxRedisAheadMs = 60_000
/** A connection whose reply is this late counts as dead: TCP would take minutes to notice. */
const watchdogSlackMs = 600

export interface ReaderSettings extends PaceSettings {
  readonly partition: number
  readonly serverId: string
  readonly maxStalenessMs: number
  readonly readFrom: 'primary' | 'replica'
}

export interface ReaderDeps {
  readonly connection: CommandConnection
  readonly log: RevocationLog
  readonly clock: Clock
  /** Whether this process checks tokens, so that kick-outs have to wait for it. */
  readonly isServer: () => boolean
  /** How the copy of all partitions is doing, for the heartbeat. */
  readonly report: () => { state: RevocationsState; stalenessMs: number }
  /** Puts a revocation in force. `isConfirmed`: its entry lies within the window that the log must hold. */
  readonly apply: (revocation: Revocation, remainingMs: number, isConfirmed: boolean) => void
  readonly onState: (state: PartitionState) => void
  readonly onHead: (head: HeartbeatReply) => void
  readonly onGap: (cause: GapCause) => void
  /** Called before and after the whole window is read. */
  readonly onLoading: () => void
  readonly onLoaded: () => void
  /** The connection failed, or could not be made. */
  readonly onFailure: (error: unknown) => void
}

/**
 * Follows one partition's stream on a connection of its own: connects, loads the window where the state machine says so,
 * then reads new entries in blocking reads. `revocation/freshness.ts` makes every decision.
 */
export class Reader {
  readonly #settings: ReaderSettings
  readonly #deps: ReaderDeps
  readonly #pace: Pace
  #state: PartitionState = initialPartition
  #client: Redis | undefined
  /** Whether entries are read from a replica; the head is always the primary's. */
  #isReplica = false
  #checkedAtMs = Number.NEGATIVE_INFINITY
  #headNow = 0
  /** What this server reported last, and when. */
  #reported: { atMs: number; seq: number; epoch: string | undefined; state: RevocationsState } = {
    atMs: Number.NEGATIVE_INFINITY,
    seq: 0,
    epoch: undefined,
    state: 'starting',
  }
  #isFirst = true
  /** A date of the log's beginning that lies in the future, by the clock of an earlier primary, and when it was first seen. */
  #future = { createdAt: 0, seenAtMs: 0 }
  readonly #ending = new AbortController()

  constructor(settings: ReaderSettings, deps: ReaderDeps) {
    this.#settings = settings
    this.#deps = deps
    this.#pace = new Pace(settings, deps.clock)
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
        await this.#pause(readerReconnectDelayMs(attempt))
      }
    }
  }

  /** Stops reading, and deletes this server's report unless Redis is slow to answer. */
  async close(): Promise<void> {
    this.#ending.abort()
    this.#disconnect()
    const { log, connection } = this.#deps
    const leave = connection.run(200, async (client) =>
      client.hdel(log.keys.servers(this.#settings.partition), this.#settings.serverId),
    )
    await leave.catch(() => undefined)
  }

  /** A function, since TypeScript would not expect the signal to change during an `await`. */
  #hasEnded(): boolean {
    return this.#ending.signal.aborted
  }

  #disconnect(): void {
    this.#client?.disconnect()
    this.#client = undefined
    // Redis may not have received the last heartbeat, so the next connection reports again.
    this.#isFirst = true
    this.#reported = { ...this.#reported, atMs: Number.NEGATIVE_INFINITY }
  }

  async #follow(onHealthy: () => void): Promise<void> {
    const { connection, log } = this.#deps
    const { partition } = this.#settings
    const key = log.keys.meta(partition)
    const replica =
      this.#settings.readFrom === 'replica' ? await connection.dedicatedReplica(key) : undefined
    const client = replica ?? (await connection.dedicated(key))
    if (this.#hasEnded()) {
      client.disconnect()
      return
    }
    this.#client = client
    this.#isReplica = replica !== undefined
    const partitionLog = this.#isReplica
      ? new PartitionLog(client, log, partition, async (command) =>
          connection.run(primaryBudgetMs, command),
        )
      : new PartitionLog(client, log, partition)
    let step = await this.#checkServer(client, partitionLog)
    for (;;) {
      step = await this.#carryOut(partitionLog, step)
      onHealthy()
      const isDue = this.#deps.clock.monotonic() - this.#checkedAtMs >= serverCheckEveryMs
      if (!isDue || step.then !== 'follow' || step.cause) continue
      this.#state = step.state
      if (await this.#isReplicaFound(key)) {
        this.#disconnect()
        return
      }
      step = await this.#checkServer(client, partitionLog)
    }
  }

  /** Whether the primary, which is followed for lack of a replica, has one now. */
  async #isReplicaFound(key: string): Promise<boolean> {
    if (this.#settings.readFrom !== 'replica' || this.#isReplica) return false
    return this.#deps.connection.hasReplica(key)
  }

  /** Checks the server on each connection, and now and then: it may become a replica while the connection lasts. */
  async #checkServer(client: Redis, log: PartitionLog): Promise<Step> {
    const { replicationId } = await this.#watched(this.#inspect(client))
    const head = await this.#watched(this.#heartbeat(log))
    this.#checkedAtMs = this.#deps.clock.monotonic()
    return onConnected(this.#state, head, replicationId)
  }

  /** @throws Error for a replica that follows another primary, as after a failover; the reader then connects again */
  async #inspect(client: Redis): Promise<{ replicationId: string }> {
    if (!this.#isReplica) return inspect(client)
    const { connection, log } = this.#deps
    const { partition } = this.#settings
    const [replica, primary] = await Promise.all([
      inspectReplica(client),
      connection.run(primaryBudgetMs, async (commands) =>
        inspect(await connection.nodeOf(commands, log.keys.meta(partition))),
      ),
    ])
    if (replica.replicationId !== primary.replicationId)
      throw new Error('The Redis replica follows another primary')
    return primary
  }

  /** Carries out a step of the state machine, and returns the next one. */
  async #carryOut(log: PartitionLog, step: Step): Promise<Step> {
    this.#state = step.state
    this.#deps.onState(step.state)
    if (step.cause !== undefined && step.cause !== 'first') this.#deps.onGap(step.cause)
    switch (step.then) {
      case 'follow': {
        await this.#pause(this.#pace.gatherMs())
        const entriesForMs = this.#pace.untilHeadMs()
        return entriesForMs > 0 ? this.#readEntries(log, entriesForMs) : this.#round(log)
      }
      case 'load':
        return this.#load(log)
      case 'load-later':
        await this.#pause(lagPauseMs)
        return this.#load(log)
      case 'renew-epoch':
        await this.#renewEpoch(log, step.cause === 'sequence')
        return this.#load(log)
    }
  }

  /** Where the user of this process may not write, another process has to. Until then there is no proof. */
  async #renewEpoch(log: PartitionLog, wasHoleSeen: boolean): Promise<void> {
    try {
      await this.#watched(log.renewEpoch(this.#state.epoch, wasHoleSeen))
    } catch (error) {
      if (!isForbidden(error)) throw error
      this.#deps.onFailure(error)
      await this.#pause(forbiddenRetryMs)
    }
  }

  async #reopen(): Promise<void> {
    const { log, connection } = this.#deps
    const keys = log.keysOfPartition(this.#settings.partition)
    const open = connection.run(reopenBudgetMs, async (client) =>
      openScript(client, keys, { ...log.opening, needs_entries: 1 }),
    )
    await open.catch((error: unknown) => {
      if (!isForbidden(error)) throw error
    })
  }

  async #heartbeat(log: PartitionLog): Promise<HeartbeatReply> {
    const head = this.#dateBeginning(await log.heartbeat(this.#facts()))
    this.#isFirst = false
    this.#pace.noteServers(head.servers)
    if (head.awaited > this.#reported.seq) this.#pace.noteAwaited(false)
    this.#deps.onHead(head)
    return head
  }

  /**
   * The next write to the log brings a beginning in the future down to now. Until then the log is as old as this server has
   * seen it: otherwise a server that boots would prove nothing for as long as the clock was set back.
   */
  #dateBeginning(head: HeartbeatReply): HeartbeatReply {
    const { createdAt, now } = head
    if (createdAt <= now) return head
    const nowMs = this.#deps.clock.monotonic()
    if (this.#future.createdAt !== createdAt) this.#future = { createdAt, seenAtMs: nowMs }
    return { ...head, createdAt: now - (nowMs - this.#future.seenAtMs) }
  }

  async #round(log: PartitionLog): Promise<Step> {
    const { unreadable, cursor } = this.#state
    const isBooting = this.#state.proof === undefined && unreadable === undefined
    const blockMs = isBooting ? bootBlockMs : this.#blockMs
    const sentAt = instantOf(this.#deps.clock)
    this.#pace.noteHeadAsked(sentAt.monotonicMs)
    // All three are sent at once. The server answers in this order, so the head is never newer than the entries.
    const beat = this.#heartbeat(log)
    const lookedFor = unreadable === undefined ? true : log.holdsUnreadable(unreadable)
    const read = log.readNewer(cursor, blockMs)
    const [head, isThere, entries] = await this.#watched(Promise.all([beat, lookedFor, read]))
    this.#headNow = head.now
    this.#applyAll(entries, head.now, 0)
    this.#pace.noteRound(unreadable === undefined ? entries.length : 0)
    // Only the head was lost. No server would republish, since no entry is missing, so this one opens the log again.
    if (head.epoch === absentEpoch && head.length > 0) await this.#reopen()
    return onRound(this.#state, {
      sentAt,
      head,
      entries,
      limit: chunkSize,
      isUnreadableGone: !isThere,
      isReplica: this.#isReplica,
    })
  }

  /** Reads entries without the head, until the next head is due. */
  async #readEntries(log: PartitionLog, waitMs: number): Promise<Step> {
    const read = log.readNewer(this.#state.cursor, Math.ceil(waitMs))
    const entries = await this.#watched(read)
    this.#applyAll(entries, this.#headNow, 0)
    this.#pace.noteEntries(entries.length)
    return onEntries(this.#state, entries)
  }

  async #load(log: PartitionLog): Promise<Step> {
    const head = await this.#watched(this.#heartbeat(log))
    this.#deps.onLoading()
    let summary = emptyLoad
    for (;;) {
      const entries = await this.#watched(log.readWindow(summary.cursor))
      this.#applyAll(entries, head.now, head.first)
      summary = addChunk(summary, entries, head.first)
      if (entries.length < chunkSize) break
    }
    const step = onLoaded(this.#state, head, summary, this.#isReplica)
    if (step.then === 'follow') this.#deps.onLoaded()
    return step
  }

  #applyAll(entries: readonly LogEntry[], headNow: number, first: number): void {
    const wallMs = this.#deps.clock.now()
    const now = headNow - wallMs > maxRedisAheadMs ? wallMs : headNow
    for (const { revocation, seq, isAwaited } of entries) {
      if (!revocation || seq === undefined) continue
      if (isAwaited) this.#pace.noteAwaited(true)
      this.#deps.apply(revocation, revocation.until - now, seq >= first)
    }
  }

  #facts(): ServerFacts {
    const { serverId, maxStalenessMs } = this.#settings
    const { seq, epoch } = this.#state
    const facts = { maxStalenessMs, seq, epoch, isFirst: this.#isFirst, ...this.#deps.report() }
    return { serverId: this.#hasNews(facts) ? serverId : undefined, ...facts }
  }

  /** Whether a report is due. Then it also notes that this server reports now. */
  #hasNews({ seq, epoch, state }: Omit<ServerFacts, 'serverId'>): boolean {
    if (!this.#deps.isServer()) return false
    const atMs = this.#deps.clock.monotonic()
    const last = this.#reported
    const isDue = atMs - last.atMs >= beatEveryMs(this.#settings.maxStalenessMs)
    const isAwaited = this.#pace.isAwaited && seq !== last.seq
    if (!isDue && !isAwaited && state === last.state && epoch === last.epoch) return false
    this.#pace.noteReported()
    this.#reported = { atMs, seq, epoch, state }
    return true
  }

  /** Ends a read that gets no reply: on a half-open connection it would hang for minutes. It proves nothing. */
  async #watched<Reply>(reply: Promise<Reply>): Promise<Reply> {
    return within(reply, this.#blockMs + watchdogSlackMs, 'Redis')
  }

  get #blockMs(): number {
    return this.#pace.blockMs(this.#deps.isServer())
  }

  /** Ends early when the reader is closed. */
  async #pause(ms: number): Promise<void> {
    if (ms < 1) return
    const { signal } = this.#ending
    await sleep(ms, undefined, { ref: false, signal }).catch(() => undefined)
  }
}
