import {
  type AuthErrorReason,
  isAuthError,
  isUnavailableError,
  type UnavailableReason,
} from '../errors.ts'
import type { EventFacts, GuardEvent } from '../events.ts'

/** How often each reason was given; a reason that was never given is absent. */
export type Counts<Reason extends string> = Readonly<Partial<Record<Reason, number>>>

/** What a guard has done since it was made. Every number only grows. */
export interface GuardStats {
  /** Requests that were let in with a token. */
  readonly accepted: number
  /** Requests that were let in without one (`credentials: 'optional'`). */
  readonly anonymous: number
  /** Requests that were refused with 400 or 401. */
  readonly rejected: Counts<AuthErrorReason>
  /** Requests that were refused with 503. */
  readonly unavailable: Counts<UnavailableReason>
  /** Requests that failed for another reason, such as a `getToken` that threw. */
  readonly failed: number
  /**
   * Requests that were let in, and then refused by a route guard or by `adminRouter`. They count among `accepted` or
   * `anonymous` too.
   */
  readonly forbidden: Counts<AuthErrorReason | UnavailableReason>
  /** Fetches of key sets, over all issuers. */
  readonly jwks: { readonly fetched: number; readonly failed: number }
}

function increase(counts: Map<string, number>, reason: string): void {
  counts.set(reason, (counts.get(reason) ?? 0) + 1)
}

function toRecord<Reason extends string>(counts: ReadonlyMap<string, number>): Counts<Reason> {
  return Object.fromEntries(counts) as Counts<Reason>
}

/**
 * Counts what a guard does. An accepted request costs one addition to a plain field; `guard.stats()` reads the fields.
 */
export class GuardCounters {
  accepted = 0
  anonymous = 0
  #failed = 0
  #fetched = 0
  #fetchesFailed = 0
  readonly #rejected = new Map<string, number>()
  readonly #unavailable = new Map<string, number>()
  readonly #forbidden = new Map<string, number>()

  /** The guard has refused a request. */
  refuse(error: unknown): void {
    if (isUnavailableError(error)) increase(this.#unavailable, error.reason)
    else if (isAuthError(error)) increase(this.#rejected, error.reason)
    else this.#failed++
  }

  /** A route guard has refused a request that the guard let in. */
  forbid(reason: string): void {
    increase(this.#forbidden, reason)
  }

  /** Counts fetches of keys among the events. */
  note(event: EventFacts<GuardEvent>): void {
    if (!('durationMs' in event)) return
    if (event.type === 'jwks.failed') this.#fetchesFailed++
    else this.#fetched++
  }

  toStats(): GuardStats {
    return {
      accepted: this.accepted,
      anonymous: this.anonymous,
      rejected: toRecord(this.#rejected),
      unavailable: toRecord(this.#unavailable),
      failed: this.#failed,
      forbidden: toRecord(this.#forbidden),
      jwks: { fetched: this.#fetched, failed: this.#fetchesFailed },
    }
  }
}
