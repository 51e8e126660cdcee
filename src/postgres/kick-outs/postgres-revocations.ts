import type { AccessTokenClaims } from '../../auth.ts'
import { type Clock, systemClock } from '../../clock.ts'
import { emitterOf, type EventSource, lendEvents, type RevocationsEvent } from '../../events.ts'
import { closedError, CopyState, type StateReport } from '../../revocation/copy-state.ts'
import { Denylist } from '../../revocation/denylist.ts'
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
import type { Commands } from '../client/commands.ts'
import { describeFailure, isUnfit, toUnavailable } from '../client/failure.ts'
import type { PostgresPool, RevocationsSettings } from '../options.ts'
import { type Head, Reader } from './follow.ts'
import { History } from './history.ts'
import { Lookup } from './look-up.ts'
import { RevocationLog } from './publish.ts'

export interface PostgresRevocationsDeps {
  readonly pool: PostgresPool
  readonly commands: Commands
  /** The log of a session store, which then closes the commands. */
  readonly log?: RevocationLog
}

/**
 * Revocations on PostgreSQL. This process follows the log and decides from memory. Where the copy is not proved fresh,
 * `whenStale` decides. A token that the copy calls revoked is refused, fresh or not.
 */
export class PostgresRevocations implements AuditedRevocations {
  readonly #settings: RevocationsSettings
  readonly #clock: Clock = systemClock
  readonly #emit: EventSource<RevocationsEvent>
  readonly #deps: PostgresRevocationsDeps
  readonly #log: RevocationLog
  readonly #history: History
  readonly #lookup: Lookup
  readonly #denylist: Denylist
  readonly #republisher: Republisher
  readonly #listeners = new Set<(revocation: Revocation) => void>()
  readonly #state: CopyState
  readonly #reader: Reader
  #isServer = false
  #closed = false
  #head: Head | undefined

  constructor(settings: RevocationsSettings, deps: PostgresRevocationsDeps) {
    this.#settings = settings
    this.#deps = deps
    this.#emit = emitterOf(settings.onEvent)
    lendEvents(this, this.#emit)
    this.#state = new CopyState({
      emit: this.#emit,
      report: () => this.#report(),
      describeFailure,
      isUnfit,
    })
    this.#log = deps.log ?? new RevocationLog(deps.commands, settings)
    this.#history = new History(deps.commands, settings)
    this.#lookup = new Lookup(deps.commands, settings.lookupTimeoutMs)
    this.#denylist = new Denylist(this.#clock)
    this.#republisher = new Republisher(this.#log, this.#denylist)
    this.#reader = this.#createReader()
  }

  /** The largest retention of all processes, as read in the head of the log. */
  get retentionSeconds(): number {
    return Math.max(this.#settings.retentionMs, this.#head?.retentionMs ?? 0) / 1000
  }

  /** For a token that was issued at a moment, milliseconds: kick-outs before a raise were kept for the shorter time. */
  retentionSecondsFor(issuedAtMs: number): number {
    const { raisedAt = 0, retentionBeforeMs = 0 } = this.#head ?? {}
    const retention = this.retentionSeconds
    return issuedAtMs < raisedAt ? Math.min(retention, retentionBeforeMs / 1000) : retention
  }

  check(claims: AccessTokenClaims): RevocationVerdict | Promise<RevocationVerdict> {
    if (this.#closed) throw closedError()
    const verdict = isRevoked(claims, this.#denylist, systemClock)
    if (verdict.revoked) return verdict
    return this.#reader.isFresh() ? notRevoked : this.#checkUnproved(claims)
  }

  async checkNow(claims: AccessTokenClaims): Promise<RevocationVerdict> {
    if (this.#closed) throw closedError()
    const verdict = isRevoked(claims, this.#denylist, systemClock)
    return verdict.revoked ? verdict : this.#lookup.check(claims)
  }

  async kickOut(target: KickOutTarget, options: KickOutOptions = {}): Promise<KickOutResult> {
    if (this.#closed) throw closedError()
    const startedAt = this.#clock.monotonic()
    const resolved = resolveTarget(target, this.#settings.issuer)
    const read = readKickOutOptions(options, this.retentionSeconds, this.#clock)
    const published = await this.#log
      .publish(resolved, { ...read, by: options.by }, (written) => {
        this.enforce(written.revocation, written.remainingMs)
      })
      .catch((error: unknown) => {
        this.#emit(toKickOutFailure(resolved.level, this.#clock.monotonic() - startedAt, error))
        throw error
      })
    const { revocation, sessionsEnded, isNew } = published
    const reached = await this.#history.confirm(published, options)
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
    // A process that has written a kick-out follows the log, so that it can republish it when PostgreSQL loses it.
    if (!isConfirmed && !this.#closed) this.#reader.start()
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
    this.#start()
    await this.#state.started()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#republisher.close()
    this.#state.close()
    this.#listeners.clear()
    await this.#reader.close()
    if (!this.#deps.log) this.#deps.commands.close()
  }

  async listKickOuts(query: KickOutQuery): Promise<KickOutPage> {
    return this.#history.listKickOuts(query)
  }

  async listServers(): Promise<ServerStatus[]> {
    const own = { serverId: this.#reader.serverId, ...this.#report() }
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
    if (unfit !== undefined) throw toUnavailable('revocations', 'PostgreSQL cannot be used', unfit)
    if (state === 'starting') throw this.#state.unavailable('The revocations are not loaded yet')
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

  #report(): StateReport {
    if (this.#closed) return { state: 'closed', stalenessMs: Number.POSITIVE_INFINITY }
    return this.#reader.freshness()
  }

  /** Makes this process a resource server: from now on kick-outs wait for its confirmation. */
  #start(): void {
    if (this.#closed) return
    this.#isServer = true
    this.#reader.start()
  }

  #createReader(): Reader {
    return new Reader(this.#deps.pool, this.#settings, {
      clock: this.#clock,
      isServer: () => this.#isServer,
      report: () => this.#report(),
      onHead: (head) => {
        this.#head = head
      },
      apply: (revocation, remainingMs, isConfirmed) =>
        this.enforce(revocation, remainingMs, isConfirmed),
      onState: ({ epoch, seq }) => {
        if (epoch !== undefined) this.#lookup.note(epoch, seq)
        this.#state.progressed()
      },
      onGap: (cause) => this.#emit({ type: 'revocations.gap', partition: 0, reason: cause }),
      onLoaded: (sinceMs) => this.#republisher.begin(0, sinceMs),
      onFailure: (error) => this.#state.failed(error),
    })
  }
}
