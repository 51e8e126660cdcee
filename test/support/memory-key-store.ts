import { UnavailableError } from '../../src/errors.ts'
import type { KeyRecord, KeyRecords } from '../../src/key-store/sealed-key-store.ts'
import type { FakeClock } from './fake-clock.ts'

/** Sealed records in this process, with a clock and faults of their own. */
export class MemoryKeyRecords implements KeyRecords {
  /** By issuer. */
  readonly records = new Map<string, { revision: string; sealed: string }>()
  fault: 'none' | 'away' | 'full' = 'none'
  /** Runs before each write, between the reading and the writing of a process. */
  beforeReplace: (() => void) | undefined
  reads = 0
  readonly #clock: FakeClock
  #writes = 0
  #isClosed = false

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  async read(issuer: string): Promise<KeyRecord> {
    this.reads++
    await Promise.resolve()
    if (this.#isClosed) throw new UnavailableError('signing', 'The store was closed')
    if (this.fault === 'away') throw new UnavailableError('signing', 'The store is away')
    const { revision, sealed } = this.records.get(issuer) ?? { revision: '', sealed: '' }
    return { revision, sealed, now: this.#clock.now() }
  }

  async replace(issuer: string, revision: string, sealed: string): Promise<boolean> {
    await Promise.resolve()
    if (this.fault !== 'none') throw new UnavailableError('signing', `The store is ${this.fault}`)
    this.beforeReplace?.()
    if ((this.records.get(issuer)?.revision ?? '') !== revision) return false
    this.records.set(issuer, { revision: String(++this.#writes), sealed })
    return true
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.resolve()
  }
}
