import type { Request, RequestHandler, Response } from 'express'
import { isUnavailableError } from '../errors.ts'

/** The largest body that is read, bytes. */
const maxBodyBytes = 16 * 1024
const readTimeoutMs = 10_000

/** An answer other than the good one. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: string,
    description: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(description)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/**
 * Reads the body: as a parser of the application has left it, else from the request itself, up to 16 KiB.
 *
 * @returns its text, or what a parser made of it
 * @throws Refusal for one that is too large, broken off or no UTF-8
 */
export async function readBody(req: Request): Promise<unknown> {
  const parsed: unknown = req.body
  const isParsed = req.readableEnded || (typeof parsed === 'object' && parsed !== null)
  if (isParsed && parsed !== undefined)
    return Buffer.isBuffer(parsed) ? parsed.toString('utf8') : parsed
  const chunks: Buffer[] = []
  let size = 0
  const signal = AbortSignal.timeout(readTimeoutMs)
  const giveUp = (): void => {
    req.destroy()
  }
  signal.addEventListener('abort', giveUp)
  try {
    // The socket is needed for the answer.
    const body = req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
    for await (const chunk of body) {
      size += chunk.length
      if (size > maxBodyBytes) break
      chunks.push(chunk)
    }
    if (size <= maxBodyBytes)
      return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    throw new Refusal(400, 'invalid_request', 'The body cannot be read')
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
  throw new Refusal(400, 'invalid_request', `The body is larger than ${maxBodyBytes} bytes`)
}

function answer(res: Response, error: Refusal): void {
  for (const [name, value] of Object.entries(error.headers)) res.set(name, value)
  res.status(error.status).json({ error: error.code, error_description: error.message })
}

/** What `backChannelLogout` and `universalLogout` return: the handler of a route. */
export interface SignalHandler extends RequestHandler {
  /**
   * Does ahead what the first signal would wait for: fetches the keys of the senders, and has the revocations get ready.
   * Resolves when all are there, however often that has to be repeated.
   *
   * @throws Error when repeating is no use, such as metadata of another issuer
   */
  ready(): Promise<void>
}

/** A handler for `POST` that answers refusals, and 503 for what is ours; anything else goes to the application. */
export function receiver(receive: (req: Request, res: Response) => Promise<void>): RequestHandler {
  return function receiveSignal(req, res, next) {
    res.set('Cache-Control', 'no-store')
    if (req.method !== 'POST') {
      answer(res, new Refusal(405, 'invalid_request', 'Use POST', { Allow: 'POST' }))
      return
    }
    receive(req, res).catch((error: unknown) => {
      if (res.headersSent) next(error)
      else if (error instanceof Refusal) {
        // What is left of a body that was not read must not be taken for the next request.
        if (!req.readableEnded) res.set('Connection', 'close')
        answer(res, error)
      } else if (isUnavailableError(error)) {
        const description = 'The signal cannot be taken in right now'
        answer(res, new Refusal(503, error.code, description, error.headers))
      } else next(error)
    })
  }
}
