import { createServer, request, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests read what they expect
  json: any
}

export interface Sent {
  method?: string
  /** Sent as given: an array is sent as several headers of that name. */
  headers?: Record<string, string | string[]>
  body?: string | Buffer | undefined
}

/** One request with exactly these headers: unlike `fetch`, this adds none and joins none. */
export async function send(
  url: string,
  { method = 'GET', headers = {}, body }: Sent = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const req = request(
      url,
      { method, headers: { ...length, ...headers }, agent: false },
      (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', reject)
        res.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({ status: res.statusCode ?? 0, headers: res.headers, text, json: readJson(text) })
        })
      },
    )
    req.on('error', reject)
    req.end(body)
  })
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export type FormFields = Record<string, string> | [string, string][] | string

/** A form, as OAuth clients send it. A string is sent as it is. */
export async function postForm(
  url: string,
  fields: FormFields,
  headers: Sent['headers'] = {},
): Promise<Answer> {
  return send(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: typeof fields === 'string' ? fields : new URLSearchParams(fields).toString(),
  })
}

export async function postJson(
  url: string,
  body: unknown,
  headers: Sent['headers'] = {},
): Promise<Answer> {
  return send(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
}

export interface Listening {
  readonly url: string
  close(): Promise<void>
}

/** Serves on a free port of loopback. */
export async function listen(listener: RequestListener): Promise<Listening> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** `Authorization: Bearer …`. */
export function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}

/** `Authorization: Basic …`, both parts form-encoded first as RFC 6749 §2.3.1 has it. */
export function basic(clientId: string, secret: string): Record<string, string> {
  const pair = [clientId, secret].map(encodeURIComponent).join(':')
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}
