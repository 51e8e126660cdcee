import type { Auth } from '../auth.ts'
import { AuthError, isAuthError } from '../errors.ts'
import type { AuthenticatedRequest } from '../guard/middleware.ts'
import type { GuardContext } from '../guard/request-auth.ts'
import { onePerProcess } from '../one-per-process.ts'
import type { ConnectionGuard } from './guard-of-connections.ts'
import type { CloseCause, ConnectionSettings } from './options.ts'
import { staleWatchOf } from './stale-watch.ts'

/** The socket of a library: how it ends. */
export interface Peer {
  /** Begins the end. From here on nothing is sent, and nothing that arrives reaches the application. */
  close(code: number, reason: string): void
  /** Cuts the connection of a peer that does not answer `close`. */
  terminate(): void
}

/** The handle of an open connection. */
export interface GuardedConnection {
  /** What the guard found out about the caller; after `extend`, from the new token. */
  readonly auth: Auth
  /** `false` from the moment on in which it is being closed. */
  readonly isOpen: boolean
  /**
   * Goes on with a refreshed token of the same issuer, subject and session, so that the connection outlives the token that
   * opened it. A token that does not fit closes the connection. Where the token cannot be checked right now (503) the
   * connection stays as it was, until its own token expires.
   *
   * @throws AuthError when the token is refused, belongs to another session, or the connection was closed before
   * @throws UnavailableError when it could not be checked; call it again
   */
  extend(token: string): Promise<Auth>
}

export interface ConnectionDeps {
  readonly guard: ConnectionGuard
  readonly context: GuardContext
  readonly settings: ConnectionSettings
  /** The request that opened it. */
  readonly req: AuthenticatedRequest
  readonly peer: Peer
  /** Puts `auth` where the application looks for it, at first and after each `extend`. */
  readonly publish: (auth: Auth) => void
}

function isSameLogin(a: Auth, b: Auth): boolean {
  return (
    a.issuer === b.issuer &&
    a.subject === b.subject &&
    a.sessionId === b.sessionId &&
    // A token without a user names its client only.
    (a.subject !== undefined || a.clientId === b.clientId)
  )
}

/**
 * One open connection, from the guard's yes to its end. Closed when its token is kicked out or expires, or the guard can no
 * longer vouch for it. The maker calls `onClosed` when the socket has closed, for any reason.
 */
export class Connection implements GuardedConnection {
  readonly #deps: ConnectionDeps
  #auth: Auth
  #state: 'open' | 'closing' | 'closed' = 'open'
  #timer: NodeJS.Timeout | undefined
  #extensions = 0
  #newestExtension = 0
  readonly #onAbort = () => {
    const { reason } = this.#auth.signal as { reason?: { reason?: unknown } }
    this.end(reason?.reason === 'expired' ? 'expired' : 'revoked')
  }

  constructor(auth: Auth, deps: ConnectionDeps) {
    this.#auth = auth
    this.#deps = deps
    deps.publish(auth)
    staleWatchOf(deps.context).add(this)
    this.#listen()
  }

  get auth(): Auth {
    return this.#auth
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  async extend(token: string): Promise<Auth> {
    this.#assertOpen()
    const turn = ++this.#extensions
    let auth
    try {
      auth = await this.#deps.guard.authenticate(this.#deps.req, { token })
      if (!isSameLogin(auth, this.#auth)) {
        throw new AuthError(
          'invalid_token',
          'claims',
          'The token that extends a connection must have the issuer, subject and session of the one before',
        )
      }
    } catch (error) {
      this.#endAfter(error)
      throw error
    }
    this.#assertOpen()
    // Of two that were under way at once the later call counts, whichever was checked first.
    if (turn < this.#newestExtension) return this.#auth
    this.#newestExtension = turn
    this.#auth.signal.removeEventListener('abort', this.#onAbort)
    this.#auth = auth
    this.#deps.publish(auth)
    this.#listen()
    return auth
  }

  /** Closes it, and cuts it where the peer does not answer in time. */
  end(cause: CloseCause, reason: string = cause): void {
    if (this.#state !== 'open') return
    this.#letGo('closing')
    const { peer, settings } = this.#deps
    this.#timer = setTimeout(() => peer.terminate(), settings.closeTimeoutMs).unref()
    peer.close(settings.codes[cause], reason)
  }

  /** The socket has closed. */
  onClosed(): void {
    clearTimeout(this.#timer)
    if (this.#state === 'open') this.#letGo('closed')
    this.#state = 'closed'
  }

  #endAfter(error: unknown): void {
    if (!isAuthError(error) || error.status === 503) return
    if (error.reason === 'expired' || error.reason === 'revoked') this.end(error.reason)
    else this.end('revoked', error.code)
  }

  #listen(): void {
    const { signal } = this.#auth
    if (signal.aborted) this.#onAbort()
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  #letGo(state: 'closing' | 'closed'): void {
    this.#state = state
    staleWatchOf(this.#deps.context).delete(this)
    this.#auth.signal.removeEventListener('abort', this.#onAbort)
  }

  #assertOpen(): void {
    if (this.#state === 'open') return
    throw new AuthError('invalid_token', 'revoked', 'The connection was closed before')
  }
}

const connections = () =>
  onePerProcess('connections', () => new WeakMap<object, GuardedConnection>())

/** Lets {@link getConnection} find the connection by the library's socket. */
export function keepConnection(socket: object, connection: GuardedConnection): void {
  connections().set(socket, connection)
}

export function findConnection(socket: object): GuardedConnection | undefined {
  return connections().get(socket)
}

/**
 * The handle of a connection that this package has let in.
 *
 * @param socket - a socket of `ws` or of Socket.IO; for graphql-ws, `ctx.extra.socket`
 * @throws Error when the connection was not let in by this package
 */
export function getConnection(socket: object): GuardedConnection {
  const connection = connections().get(socket)
  if (!connection) {
    throw new Error(
      'getConnection: this socket was not let in by acceptUpgrades, socketIoAuth or graphqlWsAuth',
    )
  }
  return connection
}
