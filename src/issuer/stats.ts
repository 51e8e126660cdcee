import { isGrantError, isUnavailableError } from '../errors.ts'

const granted = [
  /** The token was rotated. */
  'refreshed',
  /** The token before the current one came within the grace, and got the current one. */
  'retried',
  /** The same within `lostAnswerSeconds`. */
  'retried_late',
  /** The store had lost a rotation, and the token proved it. */
  'fast_forwarded',
] as const

const refused = [
  /** An older token came back after the grace: the session ended. Most likely a theft. */
  'reused',
  /** No token of this issuer. */
  'unknown',
  'expired',
  'ended',
  'scope',
  /** Of another client, or of one that did not authenticate. */
  'client',
  /** `risk` ended the session. */
  'suspicious',
  /** The record was changed in the store. */
  'tampered',
  /** A refusal for another reason, such as one of the application's own. */
  'rejected',
  /** 503: the store, the signing key, `claims` or `risk` failed. */
  'unavailable',
] as const

type Granted = (typeof granted)[number]

/** What came of a refresh. The set is closed, so that it can be the label of a metric. */
export type RefreshResult = Granted | (typeof refused)[number]

/** What an issuer has done since it was made. Every number only grows. */
export interface IssuerStats {
  /** Refreshes by what came of them; every result is there, with 0 where there was none. */
  readonly refreshes: Readonly<Record<RefreshResult, number>>
}

function resultOf(error: unknown): RefreshResult {
  if (isUnavailableError(error) || !isGrantError(error)) return 'unavailable'
  return refused.find((result) => result === error.reason) ?? 'rejected'
}

/** Counts what an issuer does. */
export class IssuerCounters {
  readonly #refreshes = Object.fromEntries(
    [...granted, ...refused].map((result) => [result, 0]),
  ) as Record<RefreshResult, number>

  granted(result: Granted): void {
    this.#refreshes[result]++
  }

  refused(error: unknown): void {
    this.#refreshes[resultOf(error)]++
  }

  toStats(): IssuerStats {
    return { refreshes: { ...this.#refreshes } }
  }
}
