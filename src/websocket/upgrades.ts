import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { contextOf, type GuardContext, setAuth } from '../guard/request-auth.ts'
import { Connection, keepConnection } from './connection.ts'
import type { ConnectionGuard } from './guard-of-connections.ts'
import { type AcceptUpgradesOptions, readUpgradeOptions, type UpgradeSettings } from './options.ts'
import { refuse, toRefusal } from './refusal.ts'
import { takeSubprotocolToken } from './subprotocol-token.ts'
import { addRoute, type HttpServerLike } from './upgrade-routes.ts'
import { type WebSocketLike, wsPeer } from './ws-peer.ts'

/** The parts of a `WebSocketServer` of the package `ws` that are used. */
export interface WebSocketServerLike {
  /** `noServer` has to be `true`: upgrades are accepted here. */
  readonly options: { readonly noServer?: boolean | undefined }
  /** Turns an accepted request into a WebSocket. */
  handleUpgrade(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    done: (ws: WebSocketLike & object) => void,
  ): void
  /** Hands the WebSocket to the application, with the request. */
  emit(event: 'connection', ...args: unknown[]): boolean
}

const where = 'acceptUpgrades'

/**
 * Lets WebSockets in behind a guard. An upgrade without a good token is answered with the guard's status and headers, and no
 * WebSocket is ever made; one with a good token emits `connection` on the `ws` server with the socket, the request, which
 * has `req.auth`, and the handle of the connection. It is closed when its token is kicked out (4401) or expires (4403).
 *
 * The token stands in `Authorization`, or in `Sec-WebSocket-Protocol: <yours>, bearer.<token>`; the query is never read.
 *
 * @param wss - made with `new WebSocketServer({ noServer: true })`
 * @returns the way to stop it; connections that are open stay, and still end when their access does
 * @throws TypeError for wrong options
 * @throws Error where the path has an `acceptUpgrades` already
 * @see RFC 6455 §4.2.2
 */
export function acceptUpgrades(
  httpServer: HttpServerLike,
  wss: WebSocketServerLike,
  guard: ConnectionGuard,
  options: AcceptUpgradesOptions = {},
): () => void {
  const context = contextOf(where, guard)
  const settings = readUpgradeOptions(where, options)
  // A server that is bound to a port takes upgrades by itself, past the guard.
  if (wss.options.noServer !== true) {
    throw new TypeError(`${where}: the WebSocketServer must be made with { noServer: true }`)
  }
  return addRoute(httpServer, {
    path: settings.path,
    handle: (req, socket, head) =>
      void accept({ wss, guard, context, settings }, req, socket, head),
  })
}

interface UpgradeDeps {
  readonly wss: WebSocketServerLike
  readonly guard: ConnectionGuard
  readonly context: GuardContext
  readonly settings: UpgradeSettings
}

async function accept(
  deps: UpgradeDeps,
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { wss, guard, context, settings } = deps
  // Until `ws` listens, a connection that is reset would end the process.
  const onError = () => socket.destroy()
  socket.on('error', onError)
  if (!isOriginAllowed(req, settings)) {
    const error_description = 'Pages of this origin may not connect'
    refuse(socket, { status: 403, body: { error: 'access_denied', error_description } })
    return
  }
  let auth
  try {
    const token = takeSubprotocolToken(req.headers, settings.tokenPrefix, context)
    auth = await guard.authenticate(req, token === undefined ? {} : { token })
  } catch (error) {
    refuse(socket, toRefusal(error))
    return
  }
  if (socket.destroyed) return
  socket.off('error', onError)
  wss.handleUpgrade(req, socket, head, (ws) => {
    const connection = new Connection(auth, {
      guard,
      context,
      settings,
      req,
      peer: wsPeer(ws),
      publish: (latest) => setAuth(req, latest),
    })
    ws.once('close', () => connection.onClosed())
    keepConnection(ws, connection)
    wss.emit('connection', ws, req, connection)
  })
}

/** Browsers always say where a page comes from; whatever is no browser says nothing, or anything. */
function isOriginAllowed(
  { headers }: IncomingMessage,
  { allowedOrigins }: UpgradeSettings,
): boolean {
  return !allowedOrigins || headers.origin === undefined || allowedOrigins.has(headers.origin)
}
