import type { AuditedRevocations } from '../../revocation/revocations.ts'

/** Where a session was started, for the user to recognise it by. Each text at most 255 characters. */
export interface Device {
  /** What the user would call it. */
  name?: string
  /** The address of the login. */
  ip?: string
  /** The `User-Agent` of the login. */
  userAgent?: string
}

/** What is told of a session. Times in milliseconds since the epoch. */
export interface SessionInfo {
  /** The `sid` of its access tokens. */
  sessionId: string
  /** The user. */
  subject: string
  /** The client that it was started for. */
  clientId?: string
  /** What it grants. */
  scopes: string[]
  /** Where it was started. */
  device?: Device
  /** When the user signed in. */
  startedAt: number
  /** When it was last refreshed. */
  lastSeenAt: number
  /** When it ends if nothing happens any more: the idle or the absolute lifetime, whichever is sooner. */
  expiresAt: number
}

/** How the user signed in, and with which key. */
export interface Authentication {
  readonly acr?: string
  readonly amr?: readonly string[]
  /** NumericDate, seconds. */
  readonly authTime?: number
  /** The thumbprint of the key that the session is bound to. Absent: its tokens are plain bearers. */
  readonly jkt?: string
}

/** A session as a store keeps it: the same size, however often it is refreshed. */
export interface SessionRecord {
  readonly sessionId: string
  readonly issuer: string
  readonly subject: string
  readonly clientId: string | undefined
  readonly scopes: readonly string[]
  readonly device: Device | undefined
  readonly authentication: Authentication
  readonly startedAt: number
  readonly lastSeenAt: number
  readonly expiresAt: number
  /** When the session ends whatever happens, milliseconds by the store's clock. */
  readonly absoluteUntil: number
  /** The counter of the current refresh token. */
  readonly counter: number
  /** The user's version when the session began; a kick-out of the user raises the user's and leaves this one behind. */
  readonly version: number
  /** What {@link SessionStore.amend} has put there; a store does not look into it. */
  readonly sealed?: string | undefined
  readonly stepUp?: string | undefined
}

export interface NewSession {
  readonly sessionId: string
  readonly issuer: string
  readonly subject: string
  readonly clientId: string | undefined
  readonly scopes: readonly string[]
  readonly device: Device | undefined
  readonly authentication: Authentication
  readonly idleTtlMs: number
  readonly absoluteTtlMs: number
  readonly maxPerSubject: number | undefined
  readonly whenFull: 'end-oldest' | 'refuse'
}

export type StartOutcome =
  /** `ended`: sessions that had to go for it. They were kicked out in the step that began this one. */
  | {
      readonly outcome: 'started'
      readonly session: SessionRecord
      readonly ended: readonly string[]
    }
  /** The user has `maxPerSubject` sessions, and none is to be ended. */
  | { readonly outcome: 'full' }

export interface RotateRequest {
  readonly sessionId: string
  /** The counter of the refresh token presented. Its MAC was verified before. */
  readonly counter: number
  /** The client that presents it, where it said so. */
  readonly clientId: string | undefined
  /** Scopes asked for, where narrower ones are. */
  readonly scopes: readonly string[] | undefined
  readonly graceMs: number
  /** For so long after the grace the token before the current one is still answered: once, while the current was never presented. */
  readonly lostAnswerMs: number
  readonly idleTtlMs: number
}

export type RotateOutcome =
  /**
   * - `rotated`: the current token; `counter` is its successor's.
   * - `fast_forwarded`: a token newer than the record, since the store lost a write; the record moved forward.
   * - `retried`: the token before the current one, within the grace; `counter` is the current one's, nothing moved.
   * - `retried_late`: the same after the grace, within `lostAnswerMs` and for the first time.
   */
  | {
      readonly outcome: 'rotated' | 'fast_forwarded' | 'retried' | 'retried_late'
      readonly session: SessionRecord
      readonly counter: number
      /** The date of the access token, milliseconds: now by the store's clock, or `startedAt` where that lies ahead of it. */
      readonly now: number
    }
  /** A superseded token: the session is ended and its access tokens are revoked. */
  | { readonly outcome: 'reused'; readonly session: SessionRecord }
  /** Nothing changed: no such session any more, its time is up, another client's, or a scope that it does not have. */
  | { readonly outcome: 'ended' | 'expired' | 'client' | 'scope' }

export interface AmendRequest {
  readonly sessionId: string
  /**
   * - `sealed`: proves that the parts of the record that never change are those that the session began with.
   * - `stepUp`: how the user has signed in since the session began.
   */
  readonly field: 'sealed' | 'stepUp'
  /** What the field has to hold still; `undefined` for nothing. */
  readonly before: string | undefined
  readonly after: string
}

export type AmendOutcome =
  | {
      readonly outcome: 'amended'
      readonly session: SessionRecord
      /** The date of the access token, milliseconds, as in {@link RotateOutcome}. */
      readonly now: number
    }
  /** Nothing changed: no such session any more, its time is up, or the field holds something else. */
  | { readonly outcome: 'ended' | 'expired' | 'changed' }

/**
 * Where sessions live, beside the revocation state of the same users. Every method is atomic, judges time by the store's
 * clock alone, and rejects (with `UnavailableError`) only when the store failed.
 *
 * A store never holds a refresh token, nor anything that one can be made from.
 */
export interface SessionStore {
  /** How long its kick-outs are kept, seconds. */
  readonly retentionSeconds: number
  /**
   * Connects ahead of the first use, where there is something to connect to.
   *
   * @throws Error where the store must not be used as it is set up, `UnavailableError` where it cannot be reached
   */
  ready?(): Promise<void>
  /** The partition that everything about a user lies in. It stands in the ids that are made for the user. */
  partitionOf(issuer: string, subject: string): number
  /** Not safe to repeat under another `sessionId`. The user's version is read in the same step. */
  start(session: NewSession): Promise<StartOutcome>
  /** Safe to repeat within the grace: a repeated rotation is a retry. Reuse is judged before expiry and before scope. */
  rotate(request: RotateRequest): Promise<RotateOutcome>
  /**
   * Puts a text of the issuer into the record, where the field holds what it is expected to. Not safe to repeat: the second
   * time the field has `changed`. Neither extends the session nor counts as a use of it. A store without it has no step-up.
   */
  amend?(request: AmendRequest): Promise<AmendOutcome>
  /** `undefined` where there is no such session. */
  find(sessionId: string): Promise<SessionRecord | undefined>
  /** Live sessions of a user, the last used first; at most `limit`, all unless given. */
  list(issuer: string, subject: string, limit?: number): Promise<SessionRecord[]>
  /**
   * The revocation state that lies in the same store; its `kickOut` ends the sessions concerned in the same step.
   * One per store, however many issuers ask for it. Several may, so targets always name the issuer that they mean.
   */
  revocations(issuer: string): AuditedRevocations
  /** Ends its connections. Afterwards every call rejects. Safe to repeat. */
  close(): Promise<void>
}

export function toSessionInfo(record: SessionRecord): SessionInfo {
  return {
    sessionId: record.sessionId,
    subject: record.subject,
    ...(record.clientId !== undefined && { clientId: record.clientId }),
    scopes: [...record.scopes],
    ...(record.device && { device: { ...record.device } }),
    startedAt: record.startedAt,
    lastSeenAt: record.lastSeenAt,
    expiresAt: record.expiresAt,
  }
}
