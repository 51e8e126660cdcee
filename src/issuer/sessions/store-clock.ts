/** The clock of the session store, as far as its answers have shown it. */
export class StoreClock {
  #aheadMs = 0

  /** @param now - of an answer that has just come, milliseconds */
  note(now: number): void {
    this.#aheadMs = now - Date.now()
  }

  /** Now, milliseconds: rather too early than too late, by the time that the answer was under way. */
  estimate(): number {
    return Date.now() + this.#aheadMs
  }
}
