import { appendFileSync } from 'node:fs'

/*
 * What happened in a run, in the order in which it was known. Every moment is in milliseconds of the one monotonic clock of
 * the process that drives the run; `from` is before and `to` is after whatever an event is about.
 */

export type KickOutLevel = 'token' | 'session' | 'subject' | 'client' | 'everyone'

/** An access token came into being. */
export interface TokenEvent {
  readonly type: 'token'
  readonly id: string
  readonly session: string
  readonly subject: string
  readonly client: string
  readonly by: 'login' | 'refresh'
  readonly from: number
  readonly to: number
  readonly expiresAt: number
  /** Whether a clock that was set wrong has dated it. */
  readonly isMisdated: boolean
}

/** A request with a token to one API server. `status` 0: no answer. */
export interface RequestEvent {
  readonly type: 'request'
  readonly token: string
  readonly server: string
  readonly from: number
  readonly to: number
  readonly status: number
  readonly hasChallenge: boolean
  readonly hasRetryAfter: boolean
}

/** An open answer that the server has to end. `to` is `undefined` where it was still open at the end of the run. */
export interface StreamEvent {
  readonly type: 'stream'
  readonly token: string
  readonly server: string
  readonly from: number
  readonly to: number | undefined
}

export interface KickOutEvent {
  readonly type: 'kick-out'
  readonly level: KickOutLevel
  readonly target: string
  readonly from: number
  readonly to: number
  readonly isAcknowledged: boolean
}

/** A refresh token by its place in its session: 0 is what the login gave. */
export interface RefreshEvent {
  readonly type: 'refresh'
  readonly session: string
  readonly presented: number
  /** `undefined` without a 200. A token that no other answer has brought gets the next place. */
  readonly returned: number | undefined
  readonly from: number
  readonly to: number
  readonly status: number
  /** Why the issuer refused it, as in its `grant.rejected` event. */
  readonly reason?: string
}

/** `wipe`: the log has lost everything or entries of it. `suffix`: a failover may have lost what was newest. */
export type Loss = 'wipe' | 'suffix'

export interface FaultEvent {
  readonly type: 'fault'
  readonly what: string
  /** The process that it concerns; `store` is Redis or PostgreSQL, for all of them. */
  readonly target: string
  readonly from: number
  readonly to: number
  readonly loss?: Loss
  readonly isClock?: true
}

/** A process lives; told when it begins, without `to`, and once more when it ends. */
export interface LifeEvent {
  readonly type: 'life'
  readonly name: string
  readonly from: number
  readonly to: number | undefined
}

/** What a process says of itself, and told of itself last. */
export interface Account {
  readonly name: string
  readonly status: unknown
  readonly events: readonly unknown[]
}

/** All servers decide from their own copies again, so long after the last fault ended, or not in time. */
export interface RecoveryEvent {
  readonly type: 'recovery'
  readonly from: number
  readonly to: number
  readonly isLive: boolean
  /** Of those that were not live in time. */
  readonly accounts?: readonly Account[]
}

/** The machine was too busy to say anything about times. */
export interface BusyEvent {
  readonly type: 'busy'
  readonly from: number
  readonly to: number
}

export type ChaosEvent =
  | TokenEvent
  | RequestEvent
  | StreamEvent
  | KickOutEvent
  | RefreshEvent
  | FaultEvent
  | LifeEvent
  | RecoveryEvent
  | BusyEvent

/** Append-only, in memory and in a file. */
export class History {
  readonly events: ChaosEvent[] = []
  readonly #file: string
  #unwritten: string[] = []

  constructor(file: string) {
    this.#file = file
  }

  add(event: ChaosEvent): void {
    this.events.push(event)
    this.#unwritten.push(JSON.stringify(event))
    if (this.#unwritten.length >= 500) this.flush()
  }

  flush(): void {
    if (this.#unwritten.length === 0) return
    appendFileSync(this.#file, `${this.#unwritten.join('\n')}\n`)
    this.#unwritten = []
  }
}
