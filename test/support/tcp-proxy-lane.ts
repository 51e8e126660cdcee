import type { Socket } from 'node:net'

/** Shared by all lanes of one direction; a lane takes a one-time fault by clearing it. */
export interface LaneFaults {
  readonly delayMs: number
  readonly blackhole: boolean
  cutAfter: number | undefined
  corrupt: boolean
}

interface Parcel {
  /** `undefined` is the end of the stream. */
  readonly chunk: Buffer | undefined
  readonly arrivedAt: number
}

/**
 * One direction of one proxied connection: a queue between two sockets that never changes the
 * order.
 */
export class Lane {
  readonly #from: Socket
  readonly #to: Socket
  readonly #faults: LaneFaults
  readonly #queue: Parcel[] = []
  #timer: NodeJS.Timeout | undefined
  #ended = false
  #frozen = false

  constructor(lane: { readonly from: Socket; readonly to: Socket; readonly faults: LaneFaults }) {
    this.#from = lane.from
    this.#to = lane.to
    this.#faults = lane.faults
    lane.from.on('data', (chunk: Buffer) => {
      this.#enqueue(chunk)
    })
    lane.from.on('end', () => {
      this.end()
    })
    lane.to.on('drain', () => {
      lane.from.resume()
    })
  }

  /** Ends the stream after what is queued. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#enqueue(undefined)
  }

  /** Delivers what is due under the faults of now. */
  pump(): void {
    clearTimeout(this.#timer)
    while (!this.#faults.blackhole && !this.#frozen) {
      const next = this.#queue[0]
      if (!next) return
      const waitMs = next.arrivedAt + this.#faults.delayMs - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.pump()
        }, waitMs)
        return
      }
      this.#queue.shift()
      this.#deliver(next.chunk)
    }
  }

  /** Delivers nothing any more. */
  freeze(): void {
    this.#frozen = true
    clearTimeout(this.#timer)
  }

  /** Forgets what is queued and its timer. */
  drop(): void {
    clearTimeout(this.#timer)
    this.#queue.length = 0
    this.#ended = true
  }

  #enqueue(chunk: Buffer | undefined): void {
    this.#queue.push({ chunk, arrivedAt: performance.now() })
    this.pump()
  }

  #deliver(chunk: Buffer | undefined): void {
    if (this.#to.destroyed) return
    if (!chunk) {
      // A source that was destroyed cannot take anything any more either.
      if (this.#from.destroyed) this.#to.destroySoon()
      else this.#to.end()
      return
    }
    const faults = this.#faults
    if (faults.corrupt) {
      faults.corrupt = false
      chunk.writeUInt8((chunk[0] ?? 0) ^ 0xff, 0)
    }
    if (faults.cutAfter !== undefined && chunk.length >= faults.cutAfter) {
      const rest = chunk.subarray(0, faults.cutAfter)
      faults.cutAfter = undefined
      this.drop()
      this.#from.destroy()
      this.#to.end(rest, () => this.#to.destroy())
      return
    }
    if (faults.cutAfter !== undefined) faults.cutAfter -= chunk.length
    if (!this.#to.write(chunk)) this.#from.pause()
  }
}
