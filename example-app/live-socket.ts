import type { Server } from 'node:http'
import { type AuthHandler, getAuth } from 'express-kickout'
import { acceptUpgrades, getConnection } from 'express-kickout/websocket'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import type { Notebook } from './notebook.ts'

export interface LiveSocketOptions {
  server: Server
  guard: AuthHandler
  notebook: Notebook
  serverName: string
  /** Other pages may not connect. */
  pageOrigin: string
}

/** Proxies drop a connection on which nothing is said for a while. */
const heartbeatMs = 15_000
const maxMessageBytes = 16_384
/** RFC 6455: the endpoint refuses by its own rules. */
const policyViolation = 1008

/**
 * The live feed over WebSockets, at `/live`. One is let in behind the guard of the API, closed with 4401 when its token is
 * kicked out, and stays open past the token's end as long as the client sends refreshed ones: `{ "token": "…" }`.
 *
 * @returns the way to stop it and to cut what is open
 */
export function liveSocket(options: LiveSocketOptions): () => void {
  const { server, guard, notebook, serverName, pageOrigin } = options
  const wss = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes })
  const stopAccepting = acceptUpgrades(server, wss, guard, {
    path: '/live',
    allowedOrigins: [pageOrigin],
  })

  wss.on('connection', (ws, req) => {
    ws.on('error', () => ws.terminate())
    if (!getAuth(req).scopes.includes('notes:read')) {
      ws.close(policyViolation, 'insufficient_scope')
      return
    }
    const send = (message: object): void => ws.send(JSON.stringify(message))
    send({ type: 'open', server: serverName })
    const stopListening = notebook.onAdd((note) => send({ type: 'note', note }))
    ws.once('close', stopListening)
    ws.on('message', (data) => void extend(ws, data))
  })

  const heartbeat = setInterval(() => {
    for (const ws of wss.clients) ws.ping()
  }, heartbeatMs).unref()

  return () => {
    clearInterval(heartbeat)
    stopAccepting()
    for (const ws of wss.clients) ws.terminate()
  }
}

/** Goes on with a refreshed token. One that does not fit closes the connection. */
async function extend(ws: WebSocket, data: RawData): Promise<void> {
  try {
    const { token } = JSON.parse((data as Buffer).toString()) as { token?: unknown }
    if (typeof token === 'string') await getConnection(ws).extend(token)
  } catch {
    // It is closed where it should be, and what is no JSON says nothing.
  }
}
