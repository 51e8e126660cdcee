import type { Peer } from './connection.ts'

/** The parts of a `WebSocket` of the package `ws` that are used. */
export interface WebSocketLike {
  /** 1 while it is open, 3 when it has closed. */
  readonly readyState: number
  /** Begins the closing handshake. */
  close(code?: number, reason?: string): void
  /** Cuts the connection. */
  terminate(): void
  /** Adds a listener for the end of the connection. */
  once(event: 'close', listener: () => void): unknown
  /** Takes the listeners away, so that nothing is handled after a kick-out. */
  removeAllListeners(event: 'message'): unknown
}

export const openState = 1
export const closedState = 3

/** `ws` sends nothing once `close` was called, but hands over what arrives until the peer has answered. */
export function wsPeer(ws: WebSocketLike): Peer {
  return {
    close(code, reason) {
      ws.removeAllListeners('message')
      ws.close(code, reason)
    },
    terminate: () => ws.terminate(),
  }
}
