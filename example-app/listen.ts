import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An HTTP server that listens already and is to be given its handler; port 0 takes a free one. */
export async function listen(port: number, host: string): Promise<{ server: Server; url: string }> {
  const server = createServer().listen(port, host)
  await once(server, 'listening')
  return { server, url: `http://${host}:${(server.address() as AddressInfo).port}` }
}
