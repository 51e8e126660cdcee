import { createServer } from 'node:net'

/** Different TCP ports on 127.0.0.1 that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(0, '127.0.0.1', resolve)
      })
      return server
    }),
  )
  const ports = servers.map((server) => {
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('not a TCP address')
    return address.port
  })
  await Promise.all(
    servers.map(async (server) => {
      await new Promise((resolve) => server.close(resolve))
    }),
  )
  return ports
}

/**
 * Calls `start` with free ports, and again with others while it fails because another process was quicker
 * to take them.
 * @throws what `start` throws for another reason, or for that one the fifth time.
 */
export async function onFreePorts<T>(
  count: number,
  start: (...ports: number[]) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts(count)
    try {
      return await start(...ports)
    } catch (error) {
      if (attempt === 5 || !/address already in use/i.test(String(error))) throw error
    }
  }
}
