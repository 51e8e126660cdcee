import type { AccessTokenClaims } from '../auth.ts'
import type { EventFacts, RevocationsEvent, RevocationsState } from '../events.ts'
import type { Clock } from '../clock.ts'
import { assertOptions, optionError, readFunction, readNumber } from '../options.ts'
import type { KickOutProgress } from './confirm.ts'
import type { KickOutAuthor, Revocation, RevocationVerdict } from './revocation.ts'
import { type KickOutTarget, readReason } from './target.ts'

/**
 * How long a revocation is kept by default, in seconds: 25 hours, so that every provider's default access token fits
 * (Auth0: 24 hours, Entra ID: up to 90 minutes).
 */
export const defaultRetentionSeconds = 90_000

/** How long `kickOut` waits for other resource servers by default, in milliseconds. */
export const defaultConfirmTimeoutMs = 1000

/** How a kick-out is made and recorded. */
export interface KickOutOptions {
  /** For the history of kick-outs. Never shown to the client, and in no error. At most 255 characters, the rest is cut. */
  reason?: string
  /**
   * How long to wait for other resource servers, milliseconds; 0 does not wait.
   *
   * @defaultValue 1000
   */
  confirmTimeoutMs?: number
  /** Who kicks out, for the history of kick-outs. */
  by?: string | KickOutAuthor
  /**
   * Called while `kickOut` waits for other servers: with the first list of them, and whenever one has confirmed, appeared
   * or gone. What it throws changes nothing.
   */
  onProgress?: (progress: KickOutProgress) => void
  /**
   * When it happened, milliseconds since the epoch, for a signal that arrives late: a session that began later stays in.
   * Not in the future, and not longer ago than the retention.
   *
   * @defaultValue now, by the store's clock
   */
  at?: number
}

/** The result of a kick-out. */
export interface KickOutResult {
  /** Identifies this kick-out in the history. That of the first one where the token or session was out already. */
  readonly id: string
  /** When it took effect, milliseconds by the store's clock. */
  readonly at: number
  /**
   * Resource servers that may still accept a token by what they knew before, or have it already; this process among them
   * if it is one. `NaN` where the list of servers cannot be read.
   */
  readonly servers: number
  /** How many of them had applied it. */
  readonly confirmed: number
  /** The ids of those that had not, as in `listServers`. */
  readonly unconfirmed: readonly string[]
  /** From call to resolution. */
  readonly elapsedMs: number
  /** Sessions that it ended, where the store holds sessions. */
  readonly sessionsEnded: number
}

/** How the copy in this process is doing. */
export interface RevocationsStatus {
  /** `live` where the copy is proved fresh. */
  readonly state: RevocationsState
  /** Age of the proof that the copy is complete, milliseconds; 0 where there is nothing to prove. */
  readonly stalenessMs: number
  /** Live revocations held in this process. */
  readonly entries: number
}

/** The revocation state as a resource server sees it. */
export interface Revocations {
  /** The issuer that targets without one mean. A guard refuses Revocations made for an issuer that it does not trust. */
  readonly issuer?: string
  /**
   * Kicks out a token, a session, a user, a client or everyone. Resolves once the store has accepted it *and* it is in
   * force in this process. Safe to repeat.
   *
   * @throws TypeError for a wrong target
   * @throws UnavailableError when the store did not confirm it; repeat it
   */
  kickOut(target: KickOutTarget, options?: KickOutOptions): Promise<KickOutResult>
  /**
   * Whether a token is kicked out. Synchronous whenever it can be.
   *
   * @throws UnavailableError when that cannot be proved
   */
  check(claims: AccessTokenClaims): RevocationVerdict | Promise<RevocationVerdict>
  /** Calls the listener with each revocation as it comes into force in this process. Returns the way to stop that. */
  onKickOut(listener: (revocation: Revocation) => void): () => void
  /** How the copy in this process is doing, now. */
  status(): RevocationsStatus
  /** Resolves when `check` can answer from this process; never before the copy is complete. */
  ready(): Promise<void>
  /** Ends its connections. Afterwards `check` and `kickOut` fail with `UnavailableError`. Safe to repeat. */
  close(): Promise<void>
  /** Whether a kick-out is in force in the process alone that made it. */
  readonly isPerProcess?: boolean
  /** Tokens that live longer than this are refused by the guard, since they could outlive their own kick-out. */
  readonly retentionSeconds?: number
  /** The same for a token that was issued at a moment (milliseconds), where the retention was raised in between. */
  retentionSecondsFor?(issuedAtMs: number): number
}

/** One line of the history of kick-outs. */
export interface KickOutRecord {
  /** The `id` of its result. */
  readonly id: string
  /** When it took effect, milliseconds by the store's clock. */
  readonly at: number
  /** Who did it: an admin, or what the application said. */
  readonly by?: string | KickOutAuthor
  /** Whose tokens it concerns. */
  readonly issuer: string
  /** What it names. */
  readonly level: Revocation['level']
  /** The id at that level; empty for everyone. */
  readonly target: string
  /** Why, where a reason was given. */
  readonly reason?: string
}

/** What `listKickOuts` is asked for. Everything that is left out does not restrict. */
export interface KickOutQuery {
  /** At most so many, 1 to 1 000. */
  readonly limit: number
  /** `next` of the page before, or the id of a kick-out: only those before it. */
  readonly before?: string
  /** The id of the subject or client that did it; `*`: those that name one, which leaves logouts out. */
  readonly by?: string
  readonly level?: Revocation['level']
  readonly target?: string
  /** Only kick-outs of these issuers. */
  readonly issuers?: readonly string[]
}

export interface KickOutPage {
  /** The newest first. */
  readonly kickOuts: readonly KickOutRecord[]
  /** For the next page; `undefined` where there are no more. */
  readonly next?: string
}

const unknownKickOutMark = Symbol.for('express-kickout.unknown-kick-out-error')

/** A `before` that names no kick-out that is still kept. */
export class UnknownKickOutError extends TypeError {
  override readonly name = 'TypeError'
  readonly [unknownKickOutMark] = true

  constructor() {
    super('listKickOuts: "before" names no kick-out that is still kept')
  }
}

/** Whether an error is an {@link UnknownKickOutError}, across copies of the package. */
export function isUnknownKickOutError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && unknownKickOutMark in error
}

/** One live resource server. */
export interface ServerStatus {
  /** Its host name and a random part; another one after each start. */
  readonly serverId: string
  /** How its copy is doing. */
  readonly state: RevocationsState
  /** Age of its proof that the copy is complete, milliseconds. */
  readonly stalenessMs: number
  /** How many revocations of the log it has applied. */
  readonly applied: number
}

/** `Revocations` that also have a history and a list of servers: what the admin router needs. */
export interface AuditedRevocations extends Revocations {
  readonly retentionSeconds: number
  /**
   * The history of kick-outs, nothing older than the retention.
   *
   * @throws TypeError where `before` is not known
   * @throws UnavailableError when the store cannot be read
   */
  listKickOuts(query: KickOutQuery): Promise<KickOutPage>
  /**
   * The live resource servers.
   *
   * @throws UnavailableError when the store cannot be read
   */
  listServers(): Promise<ServerStatus[]>
  /** Like `check`, but asks the store rather than this process's copy of it. */
  checkNow(claims: AccessTokenClaims): Promise<RevocationVerdict>
}

/** Calls every listener, also after one has thrown. */
export function notify(
  listeners: Iterable<(revocation: Revocation) => void>,
  revocation: Revocation,
): void {
  for (const listener of listeners) {
    try {
      listener(revocation)
    } catch {
      // An error of one listener must not keep the others from their call, nor fail the kick-out.
    }
  }
}

export function toKickOutRecord(revocation: Revocation): KickOutRecord {
  return {
    id: revocation.kickOutId,
    at: revocation.at,
    issuer: revocation.issuer,
    level: revocation.level,
    target: revocation.id,
    ...(revocation.by !== undefined && { by: revocation.by }),
    ...(revocation.reason !== undefined && { reason: revocation.reason }),
  }
}

const kickOutOptionNames = ['reason', 'confirmTimeoutMs', 'by', 'onProgress', 'at'] as const
/** Limited, since `by` is in the entry of the log that every server reads. */
const maxAuthorLength = 255
/** How far the clock of a sender may be ahead of this process's clock. */
const futureToleranceMs = 1000

/**
 * Checks the options of a kick-out.
 *
 * @throws TypeError that names the option
 */
export function readKickOutOptions(
  options: KickOutOptions,
  retentionSeconds: number,
  clock: Pick<Clock, 'now'>,
): { readonly reason: string | undefined; readonly at: number | undefined } {
  const where = 'kickOut'
  assertOptions(where, options, kickOutOptionNames)
  readNumber(where, 'confirmTimeoutMs', options.confirmTimeoutMs, { fallback: 0, min: 0 })
  readFunction(where, 'onProgress', options.onProgress)
  const { by, at } = options
  const author: unknown = typeof by === 'object' ? (by.subject ?? by.client) : by
  if (by !== undefined && (typeof author !== 'string' || author.length > maxAuthorLength)) {
    throw optionError(
      where,
      'by',
      `must be a string of at most ${maxAuthorLength} characters, { issuer, subject } or { issuer, client }`,
    )
  }
  if (at !== undefined) {
    readNumber(where, 'at', at, { fallback: 0, min: 0 })
    const now = clock.now()
    if (at > now + futureToleranceMs)
      throw optionError(where, 'at', 'must be milliseconds since the epoch, and not in the future')
    if (at < now - retentionSeconds * 1000)
      throw optionError(
        where,
        'at',
        `must not be longer ago than kick-outs are kept (${retentionSeconds} s)`,
      )
  }
  return { reason: readReason(options.reason), at: at === undefined ? undefined : Math.floor(at) }
}

/** The event of a kick-out that the store did not accept. */
export function toKickOutFailure(
  level: string,
  elapsedMs: number,
  error: unknown,
): EventFacts<RevocationsEvent> {
  const message = error instanceof Error ? error.message : 'unknown'
  return { type: 'kickout.failed', level, elapsedMs, message }
}

/** Whether a kick-out matches a query. The caller applies `before` and `limit`. */
export function fitsQuery(revocation: Revocation, query: KickOutQuery): boolean {
  const { by, level, target, issuers } = query
  const author = typeof revocation.by === 'object' ? authorId(revocation.by) : revocation.by
  return (
    (by === undefined || (by === '*' ? author !== undefined : author === by)) &&
    (level === undefined || revocation.level === level) &&
    (target === undefined || revocation.id === target) &&
    (issuers === undefined || issuers.includes(revocation.issuer))
  )
}

function authorId(author: KickOutAuthor): string | undefined {
  return author.subject ?? author.client
}
