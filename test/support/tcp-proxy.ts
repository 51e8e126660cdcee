import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { Lane } from './tcp-proxy-lane.ts'

/** `toUpstream` carries requests, `toClient` carries replies. */
export type Direction = 'toUpstream' | 'toClient'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Verbs without a direction act on both. A fault stays for new connections until `pass()`. */
export interface TcpProxy {
  readonly host: string
  readonly port: number
  /** Ends `delay` and `blackhole`; what they held back is delivered at once, in order. */
  pass(direction?: Direction): void
  /** Hands over every chunk `ms` after it came in. */
  delay(ms: number, direction?: Direction): void
  /**
   * Delivers nothing, not even the end of the stream: a silent half-open link. Bytes are kept, as
   * TCP would by retransmission, and arrive after `pass()`; they are lost with `reset()`.
   * Connecting still succeeds.
   */
  blackhole(direction?: Direction): void
  /**
   * From now on nothing passes on the connections that are open, not even their end, whatever `pass()` says: a link whose
   * state a firewall has forgotten. New connections are not concerned.
   */
  freeze(): void
  /** Sends FIN on all open connections in this direction; the other one stays open. */
  halfClose(direction: Direction): void
  /** Sends RST to both ends of all open connections. */
  reset(): void
  /**
   * Lets `bytes` more bytes through in this direction, then ends the connection that carried the
   * last. Once.
   */
  cutAfter(bytes: number, direction?: Direction): void
  /** Spoils the first byte of the next chunk in this direction. Once. */
  corrupt(direction?: Direction): void
  /** Where new connections go; open ones stay where they are until `reset()`. */
  switchUpstream(upstream: Address): void
  /** Open client connections. */
  connections(): number
  /** Ends everything, clients with RST; no socket and no timer is left. Safe to repeat. */
  close(): Promise<void>
}

interface Link {
  readonly client: Socket
  readonly upstream: Socket
  readonly lanes: Readonly<Record<Direction, Lane>>
}

interface Faults {
  delayMs: number
  blackhole: boolean
  cutAfter: number | undefined
  corrupt: boolean
}

/**
 * Starts a TCP proxy on a free port of 127.0.0.1 that lets everything pass until told otherwise.
 */
export async function startProxy(options: { readonly upstream: Address }): Promise<TcpProxy> {
  let upstreamAddress = options.upstream
  const links = new Set<Link>()
  const faults = { toUpstream: noFaults(), toClient: noFaults() }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const { host, port } = upstreamAddress
    const upstream = connect({ host, port, allowHalfOpen: true, noDelay: true })
    const lanes = {
      toUpstream: new Lane({ from: client, to: upstream, faults: faults.toUpstream }),
      toClient: new Lane({ from: upstream, to: client, faults: faults.toClient }),
    }
    const link = { client, upstream, lanes }
    links.add(link)
    tieTogether(link, () => links.delete(link))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const set = (direction: Direction | undefined, change: Partial<Faults>) => {
    for (const name of direction ? [direction] : (['toUpstream', 'toClient'] as const)) {
      Object.assign(faults[name], change)
      for (const { lanes } of links) lanes[name].pump()
    }
  }
  const reset = () => {
    for (const link of links) resetLink(link)
    links.clear()
  }
  return {
    host: '127.0.0.1',
    port: toPort(server),
    pass(direction) {
      set(direction, { delayMs: 0, blackhole: false })
    },
    delay(delayMs, direction) {
      set(direction, { delayMs, blackhole: false })
    },
    blackhole(direction) {
      set(direction, { blackhole: true })
    },
    freeze() {
      for (const { lanes } of links) for (const lane of Object.values(lanes)) lane.freeze()
    },
    halfClose(direction) {
      for (const { lanes } of links) lanes[direction].end()
    },
    reset,
    cutAfter(cutAfter, direction = 'toClient') {
      set(direction, { cutAfter })
    },
    corrupt(direction = 'toClient') {
      set(direction, { corrupt: true })
    },
    switchUpstream(upstream) {
      upstreamAddress = upstream
    },
    connections: () => links.size,
    async close() {
      reset()
      if (!server.listening) return
      server.close()
      await once(server, 'close')
    },
  }
}

const noFaults = (): Faults => ({
  delayMs: 0,
  blackhole: false,
  cutAfter: undefined,
  corrupt: false,
})

/**
 * One end that fails takes the other down with it, unless a blackhole keeps the news from
 * travelling.
 */
function tieTogether(link: Link, onGone: () => void): void {
  const { client, upstream, lanes } = link
  const sockets = [client, upstream]
  for (const [socket, onward] of [
    [client, lanes.toUpstream],
    [upstream, lanes.toClient],
  ] as const) {
    socket.on('error', () => undefined)
    socket.on('close', () => {
      onward.end()
      if (!sockets.every(({ destroyed }) => destroyed)) return
      for (const lane of Object.values(lanes)) lane.drop()
      onGone()
    })
  }
}

function resetLink({ client, upstream, lanes }: Link): void {
  for (const lane of Object.values(lanes)) lane.drop()
  sendRst(client)
  sendRst(upstream)
}

/**
 * Node 20 never closes a socket that is reset while it is sending its FIN, and spins for ever when
 * the process ends; one that is still connecting has no one to send RST to.
 */
function sendRst(socket: Socket): void {
  const isSendingFin = socket.writableEnded && !socket.writableFinished
  if (isSendingFin || socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
}

function toPort(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP address')
  return address.port
}
