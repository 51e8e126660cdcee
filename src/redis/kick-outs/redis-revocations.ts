import type { AccessTokenClaims } from '../../auth.ts'
import { type Clock, systemClock } from '../../clock.ts'
import { emitterOf, type EventSource, lendEvents, type RevocationsEvent } from '../../events.ts'
import { closedError, CopyState, type StateReport } from '../../revocation/copy-state.ts'
import { Denylist } from '../../revocation/denylist.ts'
import type { PartitionState } from '../../revocation/freshness.ts'
import { Republisher } from '../../revocation/republisher.ts'
import {
  isRevoked,
  notRevoked,
  type Revocation,
  type RevocationVerdict,
} from '../../revocation/revocation.ts'
import {
  type AuditedRevocations,
  type KickOutOptions,
  type KickOutPage,
  type KickOutQuery,
  type KickOutResult,
  type ServerStatus,
  notify,
  readKickOutOptions,
  type RevocationsStatus,
  toKickOutFailure,
} from '../../revocation/revocations.ts'
import { type KickOutTarget, resolveTarget } from '../../revocation/target.ts'
import { History } from './history.ts'
import type { CommandConnection } from '../client/connection.ts'
import { describeFailure, isForbidden, isUnfit, toUnavailable } from '../client/failure.ts'
import type { HeartbeatReply } from '../scripts/heartbeat.ts'
import { LogCopy } from './copy.ts'
import { Lookup } from './look-up.ts'
import { RevocationLog } from './publish.ts'
import type { RevocationsSettings } from '../options.ts'

/** How long `checkNow` waits until a young epoch is settled. It is more than `epochSettleMs`. */
const settlePatienceMs = 1000
/** How long a request waits for the copy of a process that has just started. */
const startPatienceMs = 250

/**
 * Revocations on Redis. In replica mode this process follows every partition's stream and decides from memory. Where the
 * copy is not proved fresh, `whenStale` decides. A token that the copy calls revoked is refused, fresh or not.
 */
export class RedisRevocations implements AuditedRevocations {
  readonly #settings: RevocationsSettings
  readonly #clock: Clock
  readonly #emit: EventSource<RevocationsEvent>
  readonly #connection: CommandConnection
  readonly #ownsConnection: boolean
  readonly #log: RevocationLog
  readonly #history: History
  readonly #lookup: Lookup
  readonly #denylist: Denylist
  readonly #republisher: Republisher
  readonly #listeners = new Set<(revocation: Revocation) => void>()
  readonly #state: CopyState
  readonly #copy: LogCopy
  #isServer = false
  /** Resolves when the copy is complete, and after `startPatienceMs` at the latest. */
  #startedWithin: Promise<void> | undefined
  #closed = false
  /** The newest head of each partition. */
  readonly #heads = new Map<number, HeartbeatReply>()

  constructor(
    connection: CommandConnection,
    settings: RevocationsSettings,
    options: { ownsConnection: boolean; log?: RevocationLog; clock?: Clock },
  ) {
    this.#connection = connection
    this.#ownsConnection = options.ownsConnection
    this.#settings = settings
    this.#clock = options.clock ?? systemClock
    this.#emit = emitterOf(settings.onEvent)
    lendEvents(this, this.#emit)
    this.#state = new CopyState({
      emit: this.#emit,
      report: () => this.#report(),
      describeFailure,
      isUnfit,
    })
    this.#log = options.log ?? new RevocationLog(connection, settings)
    this.#history = new History(connection, this.#log)
    const isFollowed = settings.mode === 'replica'
    const limits = { budgetMs: settings.lookupTimeoutMs, isFollowed }
    this.#lookup = new Lookup(connection, this.#log, limits, (partition) => {
      // A process that follows the log reports the loss when the reader notices it.
      if (!isFollowed) this.#emit({ type: 'revocations.gap', partition, reason: 'epoch' })
    })
    this.#denylist = new Denylist(this.#clock)
    this.#republisher = new Republisher(
      {
        republish: async (revocation, remainingMs) => this.#log.republish(revocation, remainingMs),
        partitionOf: (level, issuer, id) => this.#log.keys.partitionOf(level, issuer, id),
        isForbidden,
      },
      this.#denylist,
    )
    this.#copy = this.#follow()
  }

  /** The largest retention of all processes, as read in the heads of the log. */
  get retentionSeconds(): number {
    let retentionMs = this.#settings.retentionMs
    for (const head of this.#heads.values()) retentionMs = Math.max(retentionMs, head.retentionMs)
    return retentionMs / 1000
  }

  /** For a token that was issued at a moment, milliseconds: kick-outs before a raise were kept for the shorter time. */
  retentionSecondsFor(issuedAtMs: number): number {
    let retentionMs = this.retentionSeconds * 1000
    for (const { raisedAt, retentionBeforeMs } of this.#heads.values()) {
      if (issuedAtMs < raisedAt) retentionMs = Math.min(retentionMs, retentionBeforeMs)
    }
    return retentionMs / 1000
  }

  check(claims: AccessTokenClaims): RevocationVerdict | Promise<RevocationVerdict> {
    if (this.#closed) throw closedError()
    const verdict = isRevoked(claims, this.#denylist, systemClock)
    if (verdict.revoked) return verdict
    if (this.#settings.mode === 'lookup') return this.#lookup.check(claims)
    return this.#copy.isFresh() ? notRevoked : this.#checkUnproved(claims)
  }

  async checkNow(claims: AccessTokenClaims): Promise<RevocationVerdict> {
    const verdict = isRevoked(claims, this.#denylist, systemClock)
    return verdict.revoked ? verdict : this.#lookup.check(claims, settlePatienceMs)
  }

  async kickOut(target: KickOutTarget, options: KickOutOptions = {}): Promise<KickOutResult> {
    if (this.#closed) throw closedError()
    const startedAt = this.#clock.monotonic()
    const resolved = resolveTarget(target, this.#settings.issuer)
    const read = readKickOutOptions(options, this.retentionSeconds, this.#clock)
    const isAwaited = options.confirmTimeoutMs !== 0
    const published = await this.#log
      .publish(resolved, { ...read, by: options.by, isAwaited })
      .catch((error: unknown) => {
        this.#emit(toKickOutFailure(resolved.level, this.#clock.monotonic() - startedAt, error))
        throw error
      })
    const { revocation, partition, sessionsEnded, isNew } = published
    this.enforce(revocation, published.remainingMs)
    const reached = await this.#history.confirm(partition, published, options)
    const elapsedMs = this.#clock.monotonic() - startedAt
    const { kickOutId: id, at, level } = revocation
    const { servers, confirmed } = reached
    if (isNew) this.#emit({ type: 'kickout.published', id, level, servers, confirmed, elapsedMs })
    return { id, at, ...reached, elapsedMs, sessionsEnded }
  }

  /**
   * Puts a revocation in force in this process.
   *
   * @param isConfirmed - whether it was read from the log. One that was only acknowledged may be lost by a failover: this
   * process republishes it if the next load does not bring it.
   */
  enforce(revocation: Revocation, remainingMs: number, isConfirmed = false): void {
    // A process that has written a kick-out follows the log, so that it can republish it when Redis loses it.
    if (!isConfirmed && !this.#closed) this.#copy.start()
    const changed = this.#denylist.apply(revocation, remainingMs, isConfirmed)
    if (changed) notify(this.#listeners, revocation)
  }

  onKickOut(listener: (revocation: Revocation) => void): () => void {
    this.#start()
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  status(): RevocationsStatus {
    this.#denylist.tidy()
    const { state, stalenessMs } = this.#state.note()
    return { state, stalenessMs, entries: this.#denylist.size }
  }

  async ready(): Promise<void> {
    if (this.#closed) throw closedError()
    if (this.#settings.mode === 'lookup') {
      await this.#lookup.ready()
      return
    }
    this.#start()
    await this.#state.started()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#republisher.close()
    this.#state.close()
    this.#listeners.clear()
    await this.#copy.close()
    if (this.#ownsConnection) await this.#connection.close()
  }

  async listKickOuts(query: KickOutQuery): Promise<KickOutPage> {
    return this.#history.listKickOuts(query)
  }

  async listServers(): Promise<ServerStatus[]> {
    const own = { serverId: this.#copy.serverId, ...this.#report() }
    // This process's own state is newer than its last report.
    return (await this.#history.listServers()).map((node) =>
      node.serverId === own.serverId ? { ...node, ...own } : node,
    )
  }

  /** The copy does not prove that this token is not revoked. */
  #checkUnproved(claims: AccessTokenClaims): RevocationVerdict | Promise<RevocationVerdict> {
    this.#start()
    const { state, stalenessMs } = this.#state.note()
    const { unfit } = this.#state
    if (unfit !== undefined) throw toUnavailable('revocations', 'Redis cannot be used', unfit)
    // On a Cluster one primary that does not answer makes the copy as a whole stale, but concerns a part of the tokens only.
    if (this.#log.partitions.length > 1 && this.#copy.isFreshIn(this.#log.partitionsOf(claims)))
      return notRevoked
    if (state === 'starting') return this.#checkWhileStarting(claims)
    switch (this.#settings.whenStale) {
      case 'lookup':
        return this.#lookup.check(claims)
      case 'reject':
        throw this.#state.unavailable(
          `The copy of the revocations is ${Math.round(stalenessMs)} ms old`,
        )
      case 'accept':
        return notRevoked
    }
  }

  /** Before the copy is complete, a request is looked up where `whenStale` allows it, or waits for the copy for a moment. */
  async #checkWhileStarting(claims: AccessTokenClaims): Promise<RevocationVerdict> {
    this.#startedWithin ??= new Promise((resolve) => {
      const timer = setTimeout(resolve, startPatienceMs)
      timer.unref()
      const settle = (): void => {
        clearTimeout(timer)
        resolve()
      }
      this.#state.started().then(settle, settle)
    })
    if (this.#settings.whenStale === 'lookup') {
      const verdict = await this.#lookup.check(claims).catch(() => undefined)
      if (verdict) return verdict
    }
    await this.#startedWithin
    if (this.#report().state !== 'starting') return this.check(claims)
    throw this.#state.unavailable('The revocations are not loaded yet')
  }

  #report(): StateReport {
    if (this.#closed) return { state: 'closed', stalenessMs: Number.POSITIVE_INFINITY }
    if (this.#settings.mode === 'lookup') return { state: 'live', stalenessMs: 0 }
    return this.#copy.freshness()
  }

  /** Makes this process a resource server: from now on kick-outs wait for its confirmation. */
  #start(): void {
    if (this.#closed || this.#settings.mode === 'lookup') return
    this.#isServer = true
    this.#copy.start()
  }

  #follow(): LogCopy {
    return new LogCopy(this.#settings.maxStalenessMs, {
      connection: this.#connection,
      log: this.#log,
      readFrom: this.#settings.readFrom,
      name: this.#settings.name,
      clock: this.#clock,
      isServer: () => this.#isServer,
      report: () => this.#report(),
      onHead: (partition, head) => {
        this.#heads.set(partition, head)
        this.#log.noteDate(head.latest)
      },
      apply: (revocation, remainingMs, isConfirmed) =>
        this.enforce(revocation, remainingMs, isConfirmed),
      onState: (partition, state) => this.#onPartition(partition, state),
      onGap: (partition, cause) => {
        // The old primary may have hung and woken up. It acknowledges writes until Sentinel demotes it, and loses them.
        if (cause === 'failover') this.#connection.reconnect()
        this.#emit({ type: 'revocations.gap', partition, reason: cause })
      },
      onLoaded: (partition, sinceMs) => this.#republisher.begin(partition, sinceMs),
      onFailure: (error) => this.#state.failed(error),
    })
  }

  #onPartition(partition: number, { epoch }: PartitionState): void {
    // Look-ups begin when the copy is stale. They need to know which epochs the reader has seen before.
    if (epoch !== undefined) {
      const { now = 0, createdAt = 0 } = this.#heads.get(partition) ?? {}
      this.#lookup.noteEpoch(partition, epoch, now - createdAt)
    }
    this.#state.progressed()
  }
}
