import type { AccessTokenClaims } from '../auth.ts'
import type { RevocationsState } from '../events.ts'
import type { Revocation, RevocationVerdict } from './revocation.ts'
import type { KickOutTarget } from './target.ts'

/**
 * How long a revocation is kept by default, in seconds: 25 hours, so that every provider's default access token fits
 * (Auth0: 24 hours, Entra ID: up to 90 minutes).
 */
export const defaultRetentionSeconds = 90_000

/** How long `kickOut` waits for other resource servers unless told otherwise, in milliseconds. */
export const defaultConfirmTimeoutMs = 1000

export interface KickOutOptions {
  /** For the history of kick-outs. Never shown to the client, and in no error. At most 255 characters, the rest is cut. */
  reason?: string
  /**
   * How long to wait for other resource servers, milliseconds; 0 does not wait.
   *
   * @defaultValue 1000
   */
  confirmTimeoutMs?: number
  /** Who does it, for the audit trail. */
  by?: string
}

export interface KickOutResult {
  /** Identifies this kick-out in the audit trail. */
  readonly id: string
  /** When it took effect, milliseconds by the store's clock. */
  readonly at: number
  /** Live resource servers known when it resolved, this process among them if it is one. */
  readonly servers: number
  /** How many of them had applied it. */
  readonly confirmed: number
  /** From call to resolution. */
  readonly elapsedMs: number
  /** Sessions that it ended, where the store holds sessions. */
  readonly sessionsEnded: number
}

export interface RevocationsStatus {
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
  status(): RevocationsStatus
  /** Resolves when `check` can answer from this process; never before the copy is complete. */
  ready(): Promise<void>
  close(): Promise<void>
  /** Tokens that live longer than this are refused by the guard, since they could outlive their own kick-out. */
  readonly retentionSeconds?: number
}

/** One line of the audit trail. */
export interface KickOutRecord {
  readonly id: string
  readonly at: number
  readonly by?: string
  readonly issuer: string
  readonly level: Revocation['level']
  /** The id at that level; empty for everyone. */
  readonly target: string
  readonly reason?: string
}

/** One live resource server. */
export interface ServerStatus {
  readonly serverId: string
  readonly state: RevocationsState
  readonly stalenessMs: number
  /** How many revocations of the log it has applied. */
  readonly applied: number
}

/** `Revocations` that can also tell what happened: what the admin router needs. */
export interface AuditedRevocations extends Revocations {
  readonly retentionSeconds: number
  /** The newest first. Nothing older than the retention. */
  listKickOuts(limit: number): Promise<KickOutRecord[]>
  listServers(): Promise<ServerStatus[]>
  /** Like `check`, but asks the store rather than this process's copy of it. */
  checkNow(claims: AccessTokenClaims): Promise<RevocationVerdict>
}

/** Calls every listener; what one throws concerns nobody else. */
export function notify(
  listeners: Iterable<(revocation: Revocation) => void>,
  revocation: Revocation,
): void {
  for (const listener of listeners) {
    try {
      listener(revocation)
    } catch {
      // A listener's failure is its own; the kick-out stands.
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
