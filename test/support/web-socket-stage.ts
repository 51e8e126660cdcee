import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'
import {
  type AuditedRevocations,
  type AuthHandler,
  type RequireAuthOptions,
  requireAuth,
} from '../../src/index.ts'
import { createTestIssuer, type TestIssuer } from '../../src/testing/index.ts'

/** A guard with an issuer of its own, and an HTTP server without any upgrade listener. */
export interface Stage {
  readonly issuer: TestIssuer
  readonly revocations: AuditedRevocations
  readonly guard: AuthHandler
  readonly server: Server
  readonly port: number
  readonly url: string
  /** Called in turn, from the last to the first. */
  readonly closing: (() => unknown)[]
  close(): Promise<void>
}

export async function openStage(options: Partial<RequireAuthOptions> = {}): Promise<Stage> {
  const issuer = createTestIssuer()
  const guard = requireAuth({ ...issuer.options, ...options })
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const closing: (() => unknown)[] = []
  return {
    issuer,
    revocations: issuer.revocations,
    guard,
    server,
    port,
    url: `ws://127.0.0.1:${port}`,
    closing,
    async close() {
      for (const each of closing.reverse()) await each()
      server.closeAllConnections()
      server.close()
      await guard.close()
    },
  }
}

/** A `ws` server whose sockets end with the stage. */
export function webSocketServer(stage: Stage, options: object = {}): WebSocketServer {
  const wss = new WebSocketServer({ noServer: true, ...options })
  stage.closing.push(() => {
    for (const ws of wss.clients) ws.terminate()
    wss.close()
  })
  return wss
}

export const bearerHeaders = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

/** Connects, and resolves once it is open. */
export async function connected(ws: WebSocket): Promise<WebSocket> {
  await once(ws, 'open')
  return ws
}

export async function closed(ws: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(ws, 'close')) as [number, Buffer]
  return { code, reason: reason.toString() }
}

/** Connects where that is to be refused, and resolves to the answer. */
export async function refused(
  url: string,
  protocols: string[] = [],
  options: object = {},
): Promise<{ status: number | undefined; headers: IncomingMessage['headers']; body: string }> {
  const ws = new WebSocket(url, protocols, options)
  ws.on('error', () => undefined)
  const [, res] = (await once(ws, 'unexpected-response')) as [unknown, IncomingMessage]
  const chunks = (await res.toArray()) as Buffer[]
  return { status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks).toString() }
}

export const handshake = (path: string, headers: string[] = []) =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
    '',
    '',
  ].join('\r\n')

/** Sends a handshake byte by byte as given; resolves to all that comes back when the server has closed. */
export async function rawRefused(port: number, request: string): Promise<string> {
  const client = rawSocket(port, request)
  const chunks = (await client.toArray()) as Buffer[]
  return Buffer.concat(chunks).toString()
}

/** A client that speaks no WebSocket: it never answers a Close frame. */
export function rawSocket(port: number, request: string): Socket {
  const client = connect({ port, host: '127.0.0.1' })
  client.on('error', () => undefined)
  client.write(request)
  return client
}
