/** What the access token says, unverified, for display: the API judges it. */
export interface KickoutClaims {
  /** The user. */
  readonly sub: string
  /** The session. */
  readonly sid?: string
  /** What the token grants, separated by spaces. */
  readonly scope?: string
  /** When it expires, seconds. */
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
  /** What the sign-in has to be, the preferred one first. */
  readonly acrValues?: string
  /** How recent it has to be, seconds. */
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
  /** An API wants a stronger or a more recent sign-in. */
  'step-up': CustomEvent<StepUpDetail>
  /** A server cannot answer now. */
  unavailable: CustomEvent<UnavailableDetail>
}
