import type { IncomingMessage } from 'node:http'
import type { Auth } from '../auth.ts'
import { contextOf, type GuardContext } from '../guard/request-auth.ts'
import { Connection, keepConnection, type Peer } from './connection.ts'
import { type ConnectionGuard, malformed } from './guard-of-connections.ts'
import {
  type ConnectionOptions,
  type ConnectionSettings,
  readConnectionOptions,
} from './options.ts'
import { toRefusal } from './refusal.ts'
import { closedState, type WebSocketLike } from './ws-peer.ts'

/** The parts of a `Socket` of Socket.IO's server that are used. */
export interface SocketIoSocketLike {
  /** The request of the connection. */
  readonly request: IncomingMessage
  /** What the client sent: its token is `auth.token`. */
  readonly handshake: { readonly auth: object }
  /** Ends the connection. */
  disconnect(close?: boolean): unknown
}

/** What else a socket has. Not in the public type: `emit` and `once` differ with the events that an application declares. */
interface InnerSocket extends SocketIoSocketLike {
  readonly connected: boolean
  readonly client: { readonly sockets?: { readonly size: number } }
  readonly conn: EngineConnection
  readonly nsp: {
    readonly server?: {
      readonly opts?: { readonly connectionStateRecovery?: { readonly skipMiddlewares?: boolean } }
    }
  }
  emit(event: string, ...args: unknown[]): unknown
  once(event: 'disconnect', listener: () => void): unknown
}

interface EngineConnection {
  readonly readyState: string
  /** `socket` is the WebSocket, where it is one. */
  readonly transport?: { readonly socket?: WebSocketLike }
  close(discard?: boolean): void
  once(event: 'close', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}

/** What a client hears before it is disconnected, since Socket.IO has no close codes. */
const goodbyeEvent = 'kickout'

const where = 'socketIoAuth'

/**
 * A middleware for `io.use` that lets sockets in behind a guard, and disconnects them when their token is kicked out or
 * expires. The token stands in `handshake.auth.token`, or in `Authorization`; the query is never read.
 *
 * A refused client gets `connect_error` with `error.data` `{ status, error, error_description, headers }`. One that is closed
 * later gets the event `kickout` with `{ code, reason }`, then `disconnect` for the reason `io server disconnect`, after
 * which its client does not connect again by itself.
 *
 * @throws TypeError for wrong options
 */
export function socketIoAuth(
  guard: ConnectionGuard,
  options: ConnectionOptions = {},
): (socket: SocketIoSocketLike, next: (error?: Error) => void) => void {
  const context = contextOf(where, guard)
  const settings = readConnectionOptions(where, options)
  return function socketIoAuth(socket, next) {
    const inner = socket as InnerSocket
    if (inner.nsp.server?.opts?.connectionStateRecovery?.skipMiddlewares) {
      // A recovered socket would come back without any check, kicked out or not.
      next(new Error(`${where}: connectionStateRecovery needs skipMiddlewares: false`))
      return
    }
    authenticate(inner, guard, context).then(
      (auth) => {
        if (inner.conn.readyState === 'open') open(auth, inner, { guard, context, settings })
        next()
      },
      (error: unknown) => next(toConnectError(error)),
    )
  }
}

async function authenticate(
  { handshake, request }: InnerSocket,
  guard: ConnectionGuard,
  context: GuardContext,
): Promise<Auth> {
  const { token } = handshake.auth as { token?: unknown }
  if (token === undefined || token === null) return guard.authenticate(request)
  if (typeof token !== 'string') throw malformed(context, 'handshake.auth.token is no string')
  if (/^(bearer|dpop)([ \t]|$)/i.test(request.headers.authorization ?? '')) {
    throw malformed(context, 'There is a token in Authorization and in handshake.auth')
  }
  return guard.authenticate(request, { token })
}

interface OpenDeps {
  readonly guard: ConnectionGuard
  readonly context: GuardContext
  readonly settings: ConnectionSettings
}

function open(auth: Auth, socket: InnerSocket, deps: OpenDeps): void {
  const { conn } = socket
  const connection = new Connection(auth, {
    ...deps,
    req: socket.request,
    peer: socketIoPeer(socket, () => onClosed()),
    publish: () => undefined,
  })
  const onClosed = () => {
    conn.off('close', onConnectionClosed)
    connection.onClosed()
  }
  // Socket.IO calls a connection closed as soon as it has sent the Close frame, answered or not.
  const onConnectionClosed = () => {
    const ws = conn.transport?.socket
    if (ws && ws.readyState !== closedState && !connection.isOpen) ws.once('close', onClosed)
    else onClosed()
  }
  conn.once('close', onConnectionClosed)
  // The client has left this namespace and keeps the connection. While it is being closed, only its end counts.
  socket.once('disconnect', () => {
    if (connection.isOpen) onClosed()
  })
  keepConnection(socket, connection)
}

/** @param onGone - called where this socket ends and its connection goes on */
function socketIoPeer(socket: InnerSocket, onGone: () => void): Peer {
  const { conn } = socket
  return {
    close(code, reason) {
      if (!socket.connected) {
        // Between this middleware and `connection` there is nothing yet that could be disconnected.
        conn.close()
        return
      }
      socket.emit(goodbyeEvent, { code, reason })
      // Other namespaces of the same client may have come with another token.
      const isShared = (socket.client.sockets?.size ?? 1) > 1
      socket.disconnect(!isShared)
      if (isShared) onGone()
    },
    terminate() {
      conn.transport?.socket?.terminate()
      conn.close(true)
    },
  }
}

function toConnectError(error: unknown): Error {
  const { status, body, headers } = toRefusal(error)
  const message = body?.error_description ?? 'Internal Server Error'
  return Object.assign(new Error(message), { data: { status, ...body, headers } })
}
