import { afterEach } from '@jest/globals'
import { Redis } from 'ioredis'
import type { RedisClient } from '../../../src/redis/index.ts'
import { CommandConnection } from '../../../src/redis/client/connection.ts'
import { Keys } from '../../../src/redis/keys.ts'
import { RevocationLog } from '../../../src/redis/kick-outs/publish.ts'
import {
  type LayoutSettings,
  readRevocationsSettings,
  type RedisRevocationsOptions,
} from '../../../src/redis/options.ts'
import type { AccessTokenClaims } from '../../../src/auth.ts'

export const issuer = 'https://login.example.com'

type Closing = { close(): unknown } | { stop(): unknown } | { disconnect(): unknown }

export interface Cleanup {
  /** Closes a thing after the test, last one first. */
  closing<Thing extends Closing>(thing: Thing): Thing
  /** A template client that is never connected itself. */
  template(address: { host: string; port: number }, options?: object): Redis
}

/** Closes after each test what the test has opened. */
export function useCleanup(): Cleanup {
  const opened: Closing[] = []
  afterEach(async () => {
    for (const thing of opened.splice(0).reverse()) {
      await ('close' in thing ? thing.close() : 'stop' in thing ? thing.stop() : thing.disconnect())
    }
  })
  const closing = <Thing extends Closing>(thing: Thing): Thing => {
    opened.push(thing)
    return thing
  }
  return {
    closing,
    template: ({ host, port }, options = {}) => {
      const client = new Redis({ host, port, lazyConnect: true, disconnectTimeout: 50, ...options })
      client.on('error', () => undefined)
      return closing(client)
    },
  }
}

/**
 * Begins the log of a deployment as if that had been a minute ago: no server waits for servers that may remember an earlier
 * life of it.
 */
export async function beginSettledLog(
  client: Pick<Redis, 'hset'>,
  layout: Pick<LayoutSettings, 'prefix' | 'partitions'> & { keyPrefix?: string },
): Promise<void> {
  const keys = new Keys({ keyPrefix: '', ...layout } as LayoutSettings)
  await Promise.all(
    Array.from({ length: layout.partitions }, async (_, partition) =>
      client.hset(keys.meta(partition), {
        epoch: 'a-minute-ago',
        created_at: String(Date.now() - 60_000),
        partitions: String(layout.partitions),
        format: '1',
        seq: '0',
        first: '1',
      }),
    ),
  )
}

/** The writers' side of a log, without a replica. */
export function createLog(
  template: RedisClient,
  options: RedisRevocationsOptions,
): { log: RevocationLog; connection: CommandConnection; close(): Promise<void> } {
  const connection = new CommandConnection({ client: template, credentials: undefined })
  const log = new RevocationLog(connection, readRevocationsSettings(template, options))
  return { log, connection, close: async () => connection.close() }
}

/** Claims of a token issued long before any test. */
export function claimsOf(claims: Partial<AccessTokenClaims> = {}): AccessTokenClaims {
  return { iss: issuer, aud: 'https://api.example.com', exp: 4e9, iat: 1_000, ...claims }
}

/** What was thrown or rejected with, at once or later. */
export async function failureOf(act: () => unknown): Promise<Error> {
  try {
    await act()
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('It did not fail')
}
