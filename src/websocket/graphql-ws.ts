import type { IncomingMessage } from 'node:http'
import type { Auth } from '../auth.ts'
import { isAuthError } from '../errors.ts'
import { readBearer } from '../guard/bearer.ts'
import { contextOf, type GuardContext, setAuth } from '../guard/request-auth.ts'
import { Connection, findConnection, keepConnection } from './connection.ts'
import { type ConnectionGuard, malformed } from './guard-of-connections.ts'
import {
  type ConnectionSettings,
  readSubprotocolOptions,
  type SubprotocolOptions,
  type SubprotocolSettings,
} from './options.ts'
import { takeSubprotocolToken } from './subprotocol-token.ts'
import { openState, type WebSocketLike, wsPeer } from './ws-peer.ts'

/** The parts of graphql-ws' `Context`, as its `useServer` for `ws` makes it, that are used. */
export interface GraphqlWsContextLike {
  /** What the client sent with `ConnectionInit`. */
  readonly connectionParams?: Readonly<Record<string, unknown>> | undefined
  /** The socket and the request of the upgrade. */
  readonly extra: { readonly socket: WebSocketLike; readonly request: IncomingMessage }
}

/** To spread into the options of graphql-ws' `useServer`. */
export interface GraphqlWsAuth {
  /** Resolves to `false` after it has closed the socket. Call it first where you have an `onConnect` of your own. */
  onConnect(ctx: GraphqlWsContextLike): Promise<boolean>
}

interface Deps {
  readonly guard: ConnectionGuard
  readonly context: GuardContext
  readonly settings: SubprotocolSettings
}

const where = 'graphqlWsAuth'
/** RFC 6455 §7.4.1: something went wrong here. */
const internalErrorCode = 1011

/**
 * Lets graphql-ws connections in behind a guard, and closes them when their token is kicked out (4401, after which graphql-ws
 * clients do not try again) or expires (4403, after which they do). Use `acceptUpgrades` in front to refuse before the
 * upgrade; without it, a connection that is refused is closed with the same codes instead of `connection_ack`.
 *
 * The token stands in `connectionParams.authorization` as in the header, `Bearer <token>`; or in the upgrade, as with
 * `acceptUpgrades`.
 *
 * @throws TypeError for wrong options
 */
export function graphqlWsAuth(
  guard: ConnectionGuard,
  options: SubprotocolOptions = {},
): GraphqlWsAuth {
  const context = contextOf(where, guard)
  const deps = { guard, context, settings: readSubprotocolOptions(where, options) }
  return {
    async onConnect(ctx) {
      const { socket, request } = ctx.extra
      let auth: Auth | undefined
      try {
        auth = await authenticate(ctx, deps)
      } catch (error) {
        closeRefused(socket, error, deps.settings)
        return false
      }
      // Let in before by acceptUpgrades, or gone meanwhile.
      if (findConnection(socket)) return true
      if (!auth || socket.readyState !== openState) return false
      const connection = new Connection(auth, {
        ...deps,
        req: request,
        peer: wsPeer(socket),
        publish: (latest) => setAuth(request, latest),
      })
      socket.once('close', () => connection.onClosed())
      keepConnection(socket, connection)
      return true
    },
  }
}

/** @returns `undefined` where the connection was let in before and brings no token of its own */
async function authenticate(
  { connectionParams, extra: { socket, request } }: GraphqlWsContextLike,
  { guard, context, settings }: Deps,
): Promise<Auth | undefined> {
  const authorization = connectionParams?.['authorization'] ?? undefined
  if (authorization === undefined && findConnection(socket)) return undefined
  const ofUpgrade = takeSubprotocolToken(request.headers, settings.tokenPrefix, context)
  if (authorization === undefined) {
    return guard.authenticate(request, ofUpgrade === undefined ? {} : { token: ofUpgrade })
  }
  if (typeof authorization !== 'string') {
    throw malformed(context, 'connectionParams.authorization is no string')
  }
  const hasSecond =
    ofUpgrade !== undefined ||
    findConnection(socket) !== undefined ||
    /^(bearer|dpop)([ \t]|$)/i.test(request.headers.authorization ?? '')
  if (hasSecond) {
    throw malformed(context, 'There is a token in the upgrade and in connectionParams')
  }
  return guard.authenticate(request, { token: readParameter(authorization, context) })
}

function readParameter(authorization: string, context: GuardContext): string {
  try {
    // Another scheme is no token, as in the header.
    return readBearer({ headers: { authorization }, rawHeaders: [] }) ?? ''
  } catch {
    throw malformed(context, 'connectionParams.authorization has another form than Bearer <token>')
  }
}

function closeRefused(
  socket: WebSocketLike,
  error: unknown,
  { codes, closeTimeoutMs }: ConnectionSettings,
): void {
  const timer = setTimeout(() => socket.terminate(), closeTimeoutMs).unref()
  socket.once('close', () => clearTimeout(timer))
  const peer = wsPeer(socket)
  if (!isAuthError(error)) peer.close(internalErrorCode, 'internal error')
  else if (error.status === 503) peer.close(codes.stale, error.code)
  else if (error.reason === 'expired') peer.close(codes.expired, 'expired')
  else if (error.reason === 'revoked') peer.close(codes.revoked, 'revoked')
  else peer.close(codes.revoked, error.code)
}
