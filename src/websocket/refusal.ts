import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { isAuthError } from '../errors.ts'
import { toErrorBody } from '../guard/challenge.ts'

/** An answer to an upgrade that is not made. */
export interface Refusal {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: { readonly error: string; readonly error_description: string }
}

/** What is no error of ours stays inside: 500 without a word. */
export function toRefusal(error: unknown): Refusal {
  if (!isAuthError(error)) return { status: 500 }
  return { status: error.status, headers: error.headers, body: toErrorBody(error) }
}

/** Answers an upgrade request with a status, and closes the connection. */
export function refuse(socket: Duplex, { status, headers, body }: Refusal): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const text = body ? JSON.stringify(body) : ''
  const lines = Object.entries({
    ...headers,
    'Cache-Control': 'no-store',
    Connection: 'close',
    ...(body && { 'Content-Type': 'application/json; charset=utf-8' }),
    'Content-Length': String(Buffer.byteLength(text)),
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${text}`)
}
