import { Agent, request } from 'node:http'

/** What became of one request. `status` 0: no answer. */
export interface Answer {
  readonly status: number
  readonly startedAt: number
  readonly endedAt: number
  readonly retryAfter: string | undefined
  readonly challenge: string | undefined
  readonly body: string
}

export interface Asked {
  readonly method?: 'GET' | 'POST'
  readonly path?: string
  readonly token?: string
  readonly json?: object
  readonly form?: Readonly<Record<string, string>>
  /** After this long there is no answer. */
  readonly timeoutMs?: number
}

/** A client with keep-alive connections. All moments are of one monotonic clock. */
export class HttpClient {
  readonly #agent: Agent

  constructor(maxSockets = 256) {
    this.#agent = new Agent({ keepAlive: true, maxSockets, scheduling: 'fifo' })
  }

  async send(port: number, asked: Asked = {}): Promise<Answer> {
    const { method = 'GET', path = '/', token, json, form, timeoutMs = 10_000 } = asked
    const body = json ? JSON.stringify(json) : form ? new URLSearchParams(form).toString() : ''
    const headers: Record<string, string> = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(json && { 'content-type': 'application/json' }),
      ...(form && { 'content-type': 'application/x-www-form-urlencoded' }),
      ...(body !== '' && { 'content-length': String(Buffer.byteLength(body)) }),
    }
    const startedAt = performance.now()
    return new Promise((resolve) => {
      const finish = (answer: Partial<Answer>): void =>
        resolve({
          ...{ status: 0, retryAfter: undefined, challenge: undefined, body: '' },
          ...answer,
          startedAt,
          endedAt: performance.now(),
        })
      const req = request(
        { host: '127.0.0.1', port, method, path, headers, agent: this.#agent, timeout: timeoutMs },
        (res) => {
          let text = ''
          res.setEncoding('utf8')
          res.on('data', (chunk: string) => (text += chunk))
          res.on('error', () => finish({}))
          res.on('end', () =>
            finish({
              status: res.statusCode ?? 0,
              retryAfter: res.headers['retry-after'],
              challenge: res.headers['www-authenticate'],
              body: text,
            }),
          )
        },
      )
      req.on('timeout', () => req.destroy())
      req.on('error', () => finish({}))
      req.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
