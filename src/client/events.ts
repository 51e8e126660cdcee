/** What the access token says, unverified, for display: the API judges it. */
export interface KickoutClaims {
  readonly sub: string
  readonly sid?: string
  readonly scope?: string
  readonly exp: number
  readonly [name: string]: unknown
}

/** What a page draws. A frozen object, the same one until something changes. */
export interface KickoutSnapshot {
  /** `unknown` until the first answer of the login service. */
  readonly status: 'unknown' | 'signed-in' | 'signed-out'
  /** Present while signed in. */
  readonly claims?: KickoutClaims
}

/** An API wants a stronger or a more recent sign-in. @see RFC 9470 §3 */
export interface StepUpDetail {
  readonly acrValues?: string
  readonly maxAgeSeconds?: number
  /** Where the request went. */
  readonly url: string
}

/** A server cannot answer now. */
export interface UnavailableDetail {
  /** Seconds that the server asks to wait, where it said so. */
  readonly retryAfterSeconds?: number
  /** Where the request went. */
  readonly url: string
}

/** The events of a `KickoutClient`. */
export interface KickoutClientEvents {
  /** A session has begun, or another one has taken its place. */
  'signed-in': Event
  /** The session is over. */
  'signed-out': Event
  'step-up': CustomEvent<StepUpDetail>
  unavailable: CustomEvent<UnavailableDetail>
}
