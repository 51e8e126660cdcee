/** Both clocks of a process. Tests hand in their own. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump. */
  now(): number
  /** Monotonic clock, milliseconds since an arbitrary moment. Never goes back; stands still while a machine sleeps. */
  monotonic(): number
}

/** One moment on both clocks. */
export interface Instant {
  readonly wallMs: number
  readonly monotonicMs: number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}

export function instantOf(clock: Clock): Instant {
  return { wallMs: clock.now(), monotonicMs: clock.monotonic() }
}

/**
 * How long ago a moment was, in milliseconds: the larger of what the two clocks say. A machine that slept shows only
 * on the wall clock, a wall clock set back only on the monotonic one.
 */
export function ageMs(instant: Instant, clock: Clock): number {
  return Math.max(clock.monotonic() - instant.monotonicMs, clock.now() - instant.wallMs, 0)
}
