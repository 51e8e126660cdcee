/** The largest metadata document or key set that is read, in bytes after decompression. */
const maxBodyBytes = 512 * 1024

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** Why a document could not be had. `status` is there when the server answered. */
export class FetchFailed extends Error {
  override readonly name = 'FetchFailed'
  readonly status: number | undefined

  constructor(message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.status = options.status
  }
}

async function readLimited(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length
    // Leaving the loop cancels the body, so an endless one ends here.
    if (size > maxBodyBytes) throw new FetchFailed(`sent more than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
}

/** What is asked with. A `GET` without credentials unless given. */
export interface FetchRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/**
 * Fetches a JSON document. Redirects are not followed: the address was configured or discovered, and the one it leads to
 * was not.
 *
 * @throws FetchFailed for anything but a 200 with JSON within the limits; its message never quotes the body
 */
export async function fetchJson(
  fetch: Fetch,
  url: URL,
  signal: AbortSignal,
  request: FetchRequest = {},
): Promise<unknown> {
  let response: Response
  try {
    response = await fetch(url.href, {
      ...request,
      redirect: 'manual',
      headers: { accept: 'application/json, application/jwk-set+json', ...request.headers },
      signal,
    })
  } catch (cause) {
    throw new FetchFailed(signal.aborted ? 'did not answer in time' : 'could not be reached', {
      cause,
    })
  }
  if (response.status !== 200) {
    await response.body?.cancel().catch(() => undefined)
    const { status } = response
    const answered =
      status >= 300 && status < 400 ? 'a redirect, which is not followed' : String(status)
    throw new FetchFailed(`answered ${answered}`, { status })
  }
  try {
    return JSON.parse(await readLimited(response)) as unknown
  } catch (cause) {
    if (cause instanceof FetchFailed) throw cause
    const message = signal.aborted ? 'did not answer in time' : 'did not send JSON'
    throw new FetchFailed(message, { status: 200, cause })
  }
}
