import { Redis } from 'ioredis'
import { waitUntil } from './wait.ts'

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

/**
 * Puts one question to one server on a connection of its own, without retries.
 * @throws Error within a second or two when the server is dead, paused or refuses.
 */
export async function askRedis<T>(
  { host, port }: RedisAddress,
  question: (client: Redis) => Promise<T>,
): Promise<T> {
  const client = new Redis({
    ...{ host, port, connectTimeout: 1000, commandTimeout: 1000 },
    ...{ retryStrategy: () => null, enableReadyCheck: false },
    // The timer of disconnect() holds the process, even when the socket is closed already.
    disconnectTimeout: 50,
  })
  client.on('error', () => undefined)
  try {
    return await question(client)
  } finally {
    client.disconnect()
  }
}

/**
 * Resolves when a replica has its primary's data; killing the primary earlier promotes an empty
 * replica.
 */
export async function waitUntilInSync(replica: RedisAddress): Promise<void> {
  await waitUntil(
    async () => {
      const info = await askRedis(replica, (client) => client.info('replication'))
      return info.includes('master_link_status:up')
    },
    { what: `the replica on port ${replica.port} to be in sync`, timeoutMs: 20_000 },
  )
}
