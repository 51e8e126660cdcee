import { UnavailableError } from '../errors.ts'
import type { EventSource, RevocationsEvent, RevocationsState } from '../events.ts'

/** The state of a copy at one moment. */
export interface StateReport {
  readonly state: RevocationsState
  readonly stalenessMs: number
}

export interface CopyStateDeps {
  readonly emit: EventSource<RevocationsEvent>
  /** Computes the state, now. */
  readonly report: () => StateReport
  /** One line without secrets. */
  readonly describeFailure: (error: unknown) => string
  /** Whether waiting does not help, since the operator has to change a setting of the store. */
  readonly isUnfit: (error: unknown) => boolean
}

export function closedError(): UnavailableError {
  return new UnavailableError('revocations', 'These revocations were closed')
}

/** What a process says of its copy: each change of state as an event, the last failure, and the end of `ready()`. */
export class CopyState {
  readonly #deps: CopyStateDeps
  readonly #waiters = new Set<(error?: Error) => void>()
  #reported: RevocationsState = 'starting'
  #failure: unknown

  constructor(deps: CopyStateDeps) {
    this.#deps = deps
  }

  /** Reports the state, and emits an event where it has changed. */
  note(): StateReport {
    const report = this.#deps.report()
    const { state: to } = report
    const from = this.#reported
    if (from === to) return report
    this.#reported = to
    const stalenessMs = to === 'closed' ? 0 : report.stalenessMs
    const failure = this.#failure !== undefined && { message: this.#describe() }
    this.#deps.emit({ type: 'revocations.state', from, to, stalenessMs, ...failure })
    return report
  }

  /** The reader has made progress. */
  progressed(): void {
    if (this.#deps.report().state === 'live') this.#failure = undefined
    if (this.note().state !== 'starting') this.#settle()
  }

  /** The reader has failed, and tries again. */
  failed(error: unknown): void {
    this.#failure = error
    this.note()
    if (this.#deps.isUnfit(error)) this.#settle(new Error(this.#describe()))
  }

  close(): void {
    this.note()
    this.#settle(closedError())
  }

  /**
   * Resolves when the copy has been complete once.
   *
   * @throws Error when the store is unfit
   * @throws UnavailableError when the revocations are closed before
   */
  async started(): Promise<void> {
    if (this.unfit !== undefined) throw new Error(this.#describe())
    if (this.#deps.report().state !== 'starting') return
    await new Promise<void>((resolve, reject) => {
      this.#waiters.add((error) => (error ? reject(error) : resolve()))
    })
  }

  /** The last failure, where it says that the store is unfit. */
  get unfit(): unknown {
    return this.#deps.isUnfit(this.#failure) ? this.#failure : undefined
  }

  /** An error that ends with the last failure. */
  unavailable(what: string): UnavailableError {
    const why = this.#failure === undefined ? '' : `: ${this.#describe()}`
    return new UnavailableError('revocations', what + why)
  }

  #describe(): string {
    return this.#deps.describeFailure(this.#failure)
  }

  #settle(error?: Error): void {
    for (const waiter of this.#waiters) waiter(error)
    this.#waiters.clear()
  }
}
