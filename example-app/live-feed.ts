import type { RequestHandler } from 'express'
import { getAuth } from 'express-kickout'
import type { Notebook } from './notebook.ts'

/** Proxies drop a connection on which nothing is said for a while. */
const heartbeatMs = 15_000

/**
 * An event stream of new notes. A stream is checked once, when it is opened, and then may stay open for hours; so it is
 * `signal` that ends it, the moment its token is kicked out or expires.
 */
export function liveFeed(notebook: Notebook, serverName: string): RequestHandler {
  return (req, res) => {
    const { signal } = getAuth(req)
    const send = (event: string, data: object): void => {
      res.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    }
    res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' }).flushHeaders()
    send('open', { server: serverName })

    const stopListening = notebook.onAdd((note) => {
      send('note', note)
    })
    const heartbeat = setInterval(() => res.write(': still here\n\n'), heartbeatMs)
    res.once('close', () => {
      clearInterval(heartbeat)
      stopListening()
    })

    if (signal.aborted) res.end()
    else signal.addEventListener('abort', () => res.end(), { once: true })
  }
}
