import type { RequestHandler } from 'express'

/** Counts the requests that the router is answering, so that `close()` can wait for their answers. */
export class RequestsUnderWay {
  #count = 0
  readonly #waiting = new Set<() => void>()

  readonly handler: RequestHandler = (_req, res, next) => {
    this.#count++
    res.once('close', () => {
      this.#count--
      if (this.#count > 0) return
      for (const resolve of this.#waiting) resolve()
      this.#waiting.clear()
    })
    next()
  }

  /** Resolves when every request has its answer, or after `timeoutMs`. */
  async settled(timeoutMs: number): Promise<void> {
    if (this.#count === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#waiting.add(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}
