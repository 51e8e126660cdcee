const maxRemembered = 10_000

/**
 * The ids of signals that were taken in, to spare the store their repetitions. One that is forgotten does no harm: it kicks
 * out as of the same moment again, which changes nothing.
 */
export class TakenSignals {
  readonly #ids = new Set<string>()

  has(id: string): boolean {
    return this.#ids.has(id)
  }

  add(id: string): void {
    this.#ids.add(id)
    const [oldest] = this.#ids
    if (oldest !== undefined && this.#ids.size > maxRemembered) this.#ids.delete(oldest)
  }
}
