import type { Clock } from '../../src/clock.ts'

/** Both clocks under a test's control. `advance` moves both; `setBack` and `setAhead` move the wall clock alone. */
export class FakeClock implements Clock {
  #wallMs: number
  #monotonicMs = 1_000_000

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = wallMs
  }

  now(): number {
    return this.#wallMs
  }

  monotonic(): number {
    return this.#monotonicMs
  }

  get seconds(): number {
    return this.#wallMs / 1000
  }

  advance(ms: number): void {
    this.#wallMs += ms
    this.#monotonicMs += ms
  }

  setAhead(ms: number): void {
    this.#wallMs += ms
  }

  setBack(ms: number): void {
    this.#wallMs -= ms
  }
}
