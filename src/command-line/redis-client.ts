import { Cluster, Redis } from 'ioredis'
import { within } from '../timeout.ts'
import type { RedisClient } from '../redis/index.ts'

/** How long connecting, and each answer, may take, milliseconds. */
export const answerTimeoutMs = 3000

/** A command fails where the connection does; it waits for nothing. */
const clientOptions = {
  lazyConnect: true,
  connectTimeout: answerTimeoutMs,
  disconnectTimeout: 100,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
  enableReadyCheck: false,
  connectionName: 'express-kickout',
} as const

/** The value of a field of INFO; empty where there is none. */
export function fieldOf(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
}

/** @throws Error when Redis does not answer in time */
export async function answer<Reply>(reply: Promise<Reply>): Promise<Reply> {
  return within(reply, answerTimeoutMs, 'an answer')
}

async function connect<Client extends Redis | Cluster>(client: Client): Promise<Client> {
  let failure: Error | undefined
  client.on('error', (error: Error) => {
    failure = error
  })
  try {
    await answer(client.connect())
    return client
  } catch (error) {
    client.disconnect()
    // Why it failed says more than that the connection is closed.
    throw failure ?? error
  }
}

/** A connection to Redis, and to all of a Cluster where the address leads to one of its nodes. */
export interface RedisConnection {
  readonly client: RedisClient
  /** Each primary: those of a Cluster, else the only server. */
  readonly primaries: readonly Redis[]
  readonly isCluster: boolean
  close(): void
}

/** @throws the error of the connection, or of a server that does not answer */
export async function connectToRedis(url: string): Promise<RedisConnection> {
  const single = await connect(new Redis(url, clientOptions))
  try {
    const info = await answer(single.info('cluster')).catch((error: unknown) => {
      // A user that may not ask this may be told more by the doctor.
      if (error instanceof Error && error.message.startsWith('NOPERM')) return ''
      throw error
    })
    if (fieldOf(info, 'cluster_enabled') !== '1') {
      return {
        client: single,
        primaries: [single],
        isCluster: false,
        close: () => single.disconnect(),
      }
    }
  } catch (error) {
    single.disconnect()
    throw error
  }
  const { host, port, username, password, tls } = single.options
  single.disconnect()
  const cluster = await connect(
    new Cluster([{ host: host ?? '127.0.0.1', port: port ?? 6379 }], {
      lazyConnect: true,
      clusterRetryStrategy: () => null,
      redisOptions: {
        connectTimeout: answerTimeoutMs,
        ...(username !== undefined && { username }),
        ...(password !== undefined && { password }),
        ...(tls !== undefined && { tls }),
      },
    }),
  )
  return {
    client: cluster,
    primaries: cluster.nodes('master'),
    isCluster: true,
    close: () => cluster.disconnect(),
  }
}
