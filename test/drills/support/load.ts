import type { History } from './history.ts'
import type { HttpClient } from './http.ts'

const tickMs = 10
/** Requests under way at most: a load beyond it is skipped, not queued. */
const maxInFlight = 400

export interface LoadTarget {
  readonly client: HttpClient
  readonly history: History
  readonly ports: () => readonly number[]
  /** Who asks next. */
  readonly next: () => { readonly subject: string; readonly token: string }
  readonly timeoutMs?: number
}

/** Requests at a steady rate, spread over all servers, into the history. */
export class Load {
  readonly #target: LoadTarget
  readonly #perTick: number
  #owed = 0
  #inFlight = 0
  #timer: NodeJS.Timeout | undefined
  #turn = 0
  skipped = 0

  constructor(target: LoadTarget, perSecond: number) {
    this.#target = target
    this.#perTick = (perSecond * tickMs) / 1000
  }

  start(): void {
    let last = performance.now()
    this.#timer = setInterval(() => {
      const now = performance.now()
      this.#owed = Math.min(
        this.#owed + ((now - last) / tickMs) * this.#perTick,
        20 * this.#perTick,
      )
      last = now
      for (; this.#owed >= 1; this.#owed--) this.#fire()
    }, tickMs)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    while (this.#inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  #fire(): void {
    if (this.#inFlight >= maxInFlight) {
      this.skipped++
      return
    }
    const { client, history, ports, next, timeoutMs = 10_000 } = this.#target
    const all = ports()
    const server = this.#turn++ % all.length
    const { subject, token } = next()
    this.#inFlight++
    void client.send(all[server]!, { token, timeoutMs }).then((answer) => {
      this.#inFlight--
      history.add(subject, server, answer)
    })
  }
}
