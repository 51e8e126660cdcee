import { once } from 'node:events'
import { createServer, type RequestListener, type ServerOptions } from 'node:http'
import { type AddressInfo, connect } from 'node:net'

export interface RunningServer {
  readonly port: number
  readonly url: string
  close(): Promise<void>
}

/** Serves on a free port of the loopback interface. */
export async function serve(
  listener: RequestListener,
  options: ServerOptions = {},
): Promise<RunningServer> {
  const server = createServer(options, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A test that fails before it closes the server must not keep jest waiting.
  server.unref()
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Sends these very bytes on a connection of their own and reads what comes until the server hangs up. */
export async function sendRaw(port: number, request: string | Buffer): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.write(typeof request === 'string' ? Buffer.from(request, 'latin1') : request)
  await once(socket, 'close')
  const text = Buffer.concat(chunks).toString('latin1')
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [line = '', ...lines] = head.split('\r\n')
  return {
    status: Number(line.split(' ')[1]),
    headers: Object.fromEntries(
      lines.map((each): [string, string] => {
        const colon = each.indexOf(':')
        return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()]
      }),
    ),
    body: rest.join('\r\n\r\n'),
  }
}

/** A GET with these header lines, verbatim. */
export function getRequest(lines: readonly string[], target = '/', method = 'GET'): string {
  return [`${method} ${target} HTTP/1.1`, 'Host: x', 'Connection: close', ...lines, '', ''].join(
    '\r\n',
  )
}
