import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { onePerProcess } from '../one-per-process.ts'
import { refuse } from './refusal.ts'

type UpgradeListener = (req: IncomingMessage, socket: Duplex, head: Buffer) => void

/** The parts of an HTTP server of Node that are used. */
export interface HttpServerLike {
  /** Adds a listener. */
  on(event: 'upgrade', listener: UpgradeListener): unknown
  /** Takes a listener away. */
  off(event: 'upgrade', listener: UpgradeListener): unknown
  /** How many listeners there are. */
  listenerCount(event: 'upgrade'): number
}

interface Route {
  /** Every path unless given. */
  readonly path: string | undefined
  readonly handle: UpgradeListener
}

/** How long another listener may take to answer an upgrade to a path that is not ours, milliseconds. */
const othersTimeoutMs = 1000

/**
 * The upgrades of one HTTP server: one listener, however many paths, so that it is known when a path belongs to none of them.
 */
class UpgradeRoutes {
  readonly #server: HttpServerLike
  readonly #routes: Route[] = []
  readonly #onUpgrade: UpgradeListener = (req, socket, head) => {
    const path = /^[^?#]*/.exec(req.url ?? '')?.[0]
    const route =
      this.#routes.find((each) => each.path === path) ??
      this.#routes.find((each) => each.path === undefined)
    if (route) route.handle(req, socket, head)
    else this.#refuseUnknown(socket)
  }

  constructor(server: HttpServerLike) {
    this.#server = server
  }

  add(route: Route): () => void {
    if (this.#routes.some(({ path }) => path === route.path)) {
      const what = route.path === undefined ? 'all other paths' : `the path "${route.path}"`
      throw new Error(`acceptUpgrades: ${what} of this HTTP server were given away before`)
    }
    if (this.#routes.push(route) === 1) this.#server.on('upgrade', this.#onUpgrade)
    return () => {
      const index = this.#routes.indexOf(route)
      if (index < 0) return
      this.#routes.splice(index, 1)
      if (this.#routes.length === 0) this.#server.off('upgrade', this.#onUpgrade)
    }
  }

  /** Other listeners, such as Socket.IO's, may know the path. Where none has answered after a while, none will. */
  #refuseUnknown(socket: Duplex & { readonly bytesWritten?: number }): void {
    socket.on('error', () => socket.destroy())
    const refuseNow = () => refuse(socket, { status: 404 })
    if (this.#server.listenerCount('upgrade') === 1) {
      refuseNow()
      return
    }
    const writtenBefore = socket.bytesWritten
    const timer = setTimeout(() => {
      if (socket.bytesWritten === writtenBefore) refuseNow()
    }, othersTimeoutMs).unref()
    socket.once('close', () => clearTimeout(timer))
  }
}

const routesOfServers = () =>
  onePerProcess('upgrade-routes', () => new WeakMap<HttpServerLike, UpgradeRoutes>())

/** Hands the upgrades of a path over. Returns the way to stop that. */
export function addRoute(server: HttpServerLike, route: Route): () => void {
  const routesOf = routesOfServers()
  let routes = routesOf.get(server)
  if (!routes) {
    routes = new UpgradeRoutes(server)
    routesOf.set(server, routes)
  }
  return routes.add(route)
}
