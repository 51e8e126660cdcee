import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, instantOf } from '../../clock.ts'
import type { RevocationsState } from '../../events.ts'
import {
  addChunk,
  emptyLoad,
  type Freshness,
  freshnessOf,
  type GapCause,
  initialPartition,
  isFresh,
  logStart,
  onConnected,
  onEntries,
  onLoaded,
  onRound,
  type PartitionState,
  type Step,
} from '../../revocation/freshness.ts'
import { newServerId } from '../../revocation/server-id.ts'
import type { LogEntry, LogHead } from '../../revocation/log.ts'
import type { Revocation } from '../../revocation/revocation.ts'
import { assertSchema, writeBudgetMs } from '../client/commands.ts'
import { isForbidden, isMissing } from '../client/failure.ts'
import { OwnConnection } from '../client/own-connection.ts'
import type { PostgresPool, RevocationsSettings } from '../options.ts'
import { decodeRow, type LogRow, seqOf } from './entry-format.ts'

/** How long a read waits while there is no proof yet, so that a server that boots is ready soon. */
const bootPollMs = 25
/** How often the reader checks its primary again. */
const serverCheckEveryMs = 4000
/** How many entries one read asks for. */
const chunkSize = 2000
/** The same for the further reads of a load. They report nothing, and so need no commit. */
const loadChunkSize = 10_000
/** A connection whose answer takes longer counts as dead: TCP would take minutes to notice. */
const roundTimeoutMs = 1000
const maxReconnectMs = 500
/** The pause before the next read of a log that this process may not repair. */
const forbiddenRetryMs = 500

/** The head of the log, and what is known about its retention. */
export interface Head extends LogHead {
  /** The largest retention of all processes, milliseconds. */
  readonly retentionMs: number
  /** When the retention was last raised, milliseconds by the log's clock, and the retention before; 0 if it never was. */
  readonly raisedAt: number
  readonly retentionBeforeMs: number
}

export interface ReaderDeps {
  readonly clock: Clock
  /** Whether this process checks tokens, so that kick-outs have to wait for it. */
  readonly isServer: () => boolean
  /** How the copy is doing, for the report. */
  readonly report: () => { state: RevocationsState; stalenessMs: number }
  readonly apply: (revocation: Revocation, remainingMs: number, isConfirmed: boolean) => void
  readonly onState: (state: PartitionState) => void
  readonly onHead: (head: Head) => void
  readonly onGap: (cause: GapCause) => void
  /** The log was read as a whole; `sinceMs` (monotonic) is when that began. */
  readonly onLoaded: (sinceMs: number) => void
  readonly onFailure: (error: unknown) => void
}

/**
 * Follows the log on a connection of its own: connects, loads the log where the state machine says so, then reads new entries
 * at each notification and every `pollMs`. `revocation/freshness.ts` makes every decision. A lost notification only costs
 * time, since notifications prove nothing.
 */
export class Reader {
  readonly serverId: string
  readonly #pool: PostgresPool
  readonly #settings: RevocationsSettings
  readonly #deps: ReaderDeps
  readonly #ending = new AbortController()
  #state: PartitionState = initialPartition
  #connection: OwnConnection | undefined
  #checkedAtMs = Number.NEGATIVE_INFINITY
  /** Whether the last read brought entries. A round follows at once and reports that they are applied. */
  #isBusy = false
  #running: Promise<void> | undefined

  constructor(pool: PostgresPool, settings: RevocationsSettings, deps: ReaderDeps) {
    this.serverId = newServerId(settings.name)
    this.#pool = pool
    this.#settings = settings
    this.#deps = deps
  }

  /** Safe to repeat. */
  start(): void {
    this.#running ??= this.#run()
  }

  freshness(): Freshness {
    return freshnessOf([this.#state], this.#settings.maxStalenessMs, this.#deps.clock)
  }

  /** Whether the copy is proved fresh, now. */
  isFresh(): boolean {
    return isFresh(this.#state.proof, this.#settings.maxStalenessMs, this.#deps.clock)
  }

  /** Stops reading, and deletes this server's report unless PostgreSQL is slow to answer. */
  async close(): Promise<void> {
    this.#ending.abort()
    const leave = this.#connection?.query(
      `DELETE FROM "${this.#settings.schema}".servers WHERE server_id = $1`,
      [this.serverId],
      200,
    )
    await leave?.catch(() => undefined)
    this.#disconnect()
    await this.#running
  }

  /** A function, since TypeScript would not expect the signal to change during an `await`. */
  #hasEnded(): boolean {
    return this.#ending.signal.aborted
  }

  #disconnect(): void {
    this.#connection?.close()
    this.#connection = undefined
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#hasEnded(); attempt++) {
      try {
        await this.#follow(() => {
          attempt = 0
        })
      } catch (error) {
        this.#disconnect()
        if (this.#hasEnded()) return
        this.#deps.onFailure(error)
        await this.#pause(Math.min(maxReconnectMs, 25 * 2 ** Math.min(attempt, 6)))
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#ending
    await sleep(ms, undefined, { ref: false, signal }).catch(() => undefined)
  }

  async #follow(onHealthy: () => void): Promise<void> {
    const connection = await OwnConnection.open(this.#pool)
    if (this.#hasEnded()) {
      connection.close()
      return
    }
    this.#connection = connection
    const { schema, listen } = this.#settings
    await assertSchema(
      async (text, values) => connection.query(text, values, roundTimeoutMs),
      schema,
    )
    if (listen) await connection.query(`LISTEN "${schema}"`, undefined, roundTimeoutMs)
    let step = await this.#checkServer(connection)
    while (!this.#hasEnded()) {
      step = await this.#carryOut(connection, step)
      onHealthy()
      const isDue = this.#deps.clock.monotonic() - this.#checkedAtMs >= serverCheckEveryMs
      if (!isDue || step.then !== 'follow' || step.cause) continue
      this.#note(step.state)
      step = await this.#checkServer(connection)
    }
  }

  /** Checks the primary on each connection, and now and then: a pooler may have changed to another server. */
  async #checkServer(connection: OwnConnection): Promise<Step> {
    const { rows } = await connection.query(
      `SELECT "${this.#settings.schema}".history_id() AS id`,
      undefined,
      roundTimeoutMs,
    )
    const { head } = await this.#read(connection, this.#state.seq, 0)
    this.#checkedAtMs = this.#deps.clock.monotonic()
    return onConnected(this.#state, head, (rows[0] as { id: string }).id)
  }

  #note(state: PartitionState): void {
    this.#state = state
    this.#deps.onState(state)
  }

  /** Carries out a step of the state machine, and returns the next one. */
  async #carryOut(connection: OwnConnection, step: Step): Promise<Step> {
    this.#note(step.state)
    if (step.cause !== undefined && step.cause !== 'first') this.#deps.onGap(step.cause)
    switch (step.then) {
      case 'follow':
        return this.#round(connection)
      case 'load':
      case 'load-later':
        return this.#load(connection)
      case 'renew-epoch':
        await this.#renewEpoch(connection, step.cause === 'sequence')
        return this.#load(connection)
    }
  }

  async #round(connection: OwnConnection): Promise<Step> {
    if (!this.#isBusy) {
      const tenth = Math.max(25, this.#settings.maxStalenessMs / 10)
      const pollMs = Math.min(this.#settings.pollMs, tenth)
      const isProved = this.#state.proof !== undefined
      const isNotified = await connection.woken(isProved ? pollMs : bootPollMs)
      if (isNotified && isProved && !this.#hasEnded()) return this.#readAhead(connection)
    }
    if (this.#hasEnded()) return { state: this.#state, then: 'follow' }
    const sentAt = instantOf(this.#deps.clock)
    const { head, entries } = await this.#read(connection, seqOf(this.#state.cursor), chunkSize)
    this.#applyAll(entries, head.now, 0)
    this.#isBusy = entries.length > 0
    return onRound(this.#state, { sentAt, head, entries, limit: chunkSize })
  }

  /**
   * Applies what a notification is about before the round that follows at once. A round is answered only when its report is
   * on disk: a kick-out would wait for that, and a second round would have to report it.
   */
  async #readAhead(connection: OwnConnection): Promise<Step> {
    const { entries, now } = await this.#readEntries(
      connection,
      seqOf(this.#state.cursor),
      chunkSize,
    )
    this.#applyAll(entries, now, 0)
    this.#isBusy = true
    return onEntries(this.#state, entries)
  }

  async #load(connection: OwnConnection): Promise<Step> {
    const sinceMs = this.#deps.clock.monotonic()
    const first = await this.#read(connection, seqOf(logStart), chunkSize)
    const { head } = first
    let { entries } = first
    let summary = emptyLoad
    for (let limit = chunkSize; ; limit = loadChunkSize) {
      summary = addChunk(summary, entries, head.first)
      // PostgreSQL reads the next entries while this process applies these.
      const next =
        entries.length < limit
          ? undefined
          : this.#readEntries(connection, seqOf(summary.cursor), loadChunkSize)
      next?.catch(() => undefined)
      this.#applyAll(entries, head.now, head.first)
      if (!next) break
      ;({ entries } = await next)
    }
    this.#isBusy = true
    const step = onLoaded(this.#state, head, summary)
    if (step.then === 'follow') this.#deps.onLoaded(sinceMs)
    return step
  }

  /** Where the role of this process may not write, another process has to. Until then there is no proof. */
  async #renewEpoch(connection: OwnConnection, wasHoleSeen: boolean): Promise<void> {
    try {
      await connection.query(
        `SELECT "${this.#settings.schema}".renew_epoch($1, $2)`,
        [this.#state.epoch ?? '', wasHoleSeen],
        writeBudgetMs,
      )
    } catch (error) {
      if (!isForbidden(error)) throw error
      this.#deps.onFailure(error)
      await this.#pause(forbiddenRetryMs)
    }
  }

  /** Reports, and reads the head of the log and the entries after the cursor. */
  async #read(
    connection: OwnConnection,
    cursor: number,
    limit: number,
  ): Promise<{ head: Head; entries: LogEntry[] }> {
    const { schema, maxStalenessMs, retentionMs } = this.#settings
    const { state, stalenessMs } = this.#deps.report()
    const { rows } = await connection
      .query(
        `SELECT * FROM "${schema}".read_round($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
        [
          Math.ceil(retentionMs),
          this.#deps.isServer() ? this.serverId : '',
          state,
          Number.isFinite(stalenessMs) ? Math.round(stalenessMs) : 0,
          this.#state.seq,
          this.#state.epoch ?? '',
          Math.round(maxStalenessMs),
          cursor,
          limit,
        ],
        roundTimeoutMs,
      )
      .catch(async (error: unknown) => {
        if (isMissing(error)) {
          await assertSchema(async (text) => connection.query(text, [], roundTimeoutMs), schema)
        }
        throw error
      })
    const row = rows[0] as { o_head: string; o_entries: string }
    const head = JSON.parse(row.o_head) as Head
    this.#deps.onHead(head)
    return { head, entries: (JSON.parse(row.o_entries) as LogRow[]).map(decodeRow) }
  }

  /** Reads entries without the head, and writes nothing. They prove nothing; the next round does. */
  async #readEntries(
    connection: OwnConnection,
    cursor: number,
    limit: number,
  ): Promise<{ entries: LogEntry[]; now: number }> {
    const { schema } = this.#settings
    const { rows } = await connection.query(
      `SELECT "${schema}".now_ms() AS now, coalesce(json_agg(e ORDER BY e.seq), '[]')::text AS entries FROM (
        SELECT seq, kick_out_id, issuer, level, target, at, kept_until, version, reason, written_by
        FROM "${schema}".log WHERE seq > $1 ORDER BY seq LIMIT $2) e`,
      [cursor, limit],
      roundTimeoutMs,
    )
    const { entries, now } = rows[0] as { entries: string; now: string }
    return { entries: (JSON.parse(entries) as LogRow[]).map(decodeRow), now: Number(now) }
  }

  #applyAll(entries: readonly LogEntry[], now: number, first: number): void {
    for (const { revocation, seq } of entries) {
      if (!revocation || seq === undefined) continue
      this.#deps.apply(revocation, revocation.until - now, seq >= first)
    }
  }
}
