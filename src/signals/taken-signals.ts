import type { Clock } from '../clock.ts'
import { optionError } from '../options.ts'
import { MemoryReplayStore } from '../replay/memory-replay-store.ts'
import type { ReplayStore } from '../replay/replay-store.ts'

/** @throws TypeError for what is no replay store */
export function readReplay(where: string, value: unknown, clock: Clock): ReplayStore {
  if (value === undefined) return new MemoryReplayStore({}, clock)
  const { claim } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof claim !== 'function')
    throw optionError(where, 'replay', 'must be memoryReplayStore() or redisReplayStore(redis)')
  return value as ReplayStore
}

/**
 * The ids of signals that were taken in, so that a repetition is answered and does nothing.
 *
 * A signal is remembered *after* its kick-out is stored: remembered before, one whose kick-out failed would be answered as
 * done when it is sent again. A repetition that is not recognised does no harm, since it kicks out as of the same moment;
 * so a store that is full or away delays no kick-out.
 */
export class TakenSignals {
  readonly #store: ReplayStore
  readonly #namespace: string

  /** @param namespace - one for each kind of signal */
  constructor(store: ReplayStore, namespace: string) {
    this.#store = store
    this.#namespace = namespace
  }

  async has(id: readonly string[]): Promise<boolean> {
    try {
      return (await this.#store.has?.(this.#namespace, JSON.stringify(id))) === true
    } catch {
      return false
    }
  }

  /** @param ttlMs - for how long the signal would still be accepted */
  async add(id: readonly string[], ttlMs: number): Promise<void> {
    try {
      await this.#store.claim(this.#namespace, JSON.stringify(id), ttlMs)
    } catch {
      // Above: it does no harm.
    }
  }
}
