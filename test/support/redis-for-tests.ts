import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from '@jest/globals'
import type { Redis } from 'ioredis'
import { askRedis } from './ask-redis.ts'
import {
  type ClientOptions,
  type RedisServer,
  startRedis,
  type StartRedisOptions,
} from './redis-server.ts'
import { waitUntil } from './wait.ts'

export interface RedisForTests {
  readonly server: RedisServer
  readonly url: string
  /** A client that is closed after the file, before the leak check. */
  client(options?: ClientOptions): Redis
  /** For the keys of one test, so that tests of a file do not meet. */
  uniquePrefix(): string
  /**
   * Runs after the file and before the leak check, last one first. Jest runs `afterAll` hooks in
   * the order in which they are defined, so one that is defined after `useRedis()` closes its
   * things too late.
   */
  defer(cleanup: () => unknown): void
}

/**
 * One `redis-server` for the tests of this file. After them it fails the file when a connection is
 * still open that is not one of `client()`: something was not closed.
 */
export function useRedis(options?: StartRedisOptions): RedisForTests {
  let server: RedisServer | undefined
  const cleanups: (() => unknown)[] = []
  const running = () => {
    if (!server) throw new Error('useRedis(): the server runs from beforeAll on, not earlier')
    return server
  }

  beforeAll(async () => {
    server = await startRedis(options)
  })
  afterAll(async () => {
    if (!server) return
    try {
      for (const cleanup of cleanups.reverse()) await cleanup()
      server.resume()
      if (server.running) await assertNoLeaks(server)
    } finally {
      await server.stop()
    }
  })

  return {
    get server() {
      return running()
    },
    get url() {
      return running().url
    },
    client(clientOptions) {
      const client = running().client(clientOptions)
      cleanups.push(() => {
        client.disconnect()
      })
      return client
    },
    uniquePrefix: () => `test-${randomUUID().slice(0, 8)}:`,
    defer(cleanup) {
      cleanups.push(cleanup)
    },
  }
}

/** Closing takes a moment to reach the server, so a connection has two seconds to disappear. */
async function assertNoLeaks(server: RedisServer): Promise<void> {
  let leaked: string[] = []
  try {
    await waitUntil(
      async () => {
        leaked = await listOtherConnections(server)
        return leaked.length === 0
      },
      { what: 'all connections to close', timeoutMs: 2000, everyMs: 25 },
    )
  } catch (cause) {
    if (leaked.length === 0) throw cause
    const list = leaked.map((line) => `  ${line}`).join('\n')
    throw new Error(
      `${leaked.length} Redis connection(s) still open after the tests of this file:\n${list}`,
      { cause },
    )
  }
}

async function listOtherConnections(server: RedisServer): Promise<string[]> {
  return await askRedis(server, async (client) => {
    const ownId = await client.client('ID')
    const list = String(await client.client('LIST'))
    const connections = list.trim().split('\n').map(toConnection)
    return connections.filter(({ id }) => id !== String(ownId)).map(({ text }) => text)
  })
}

function toConnection(line: string): { readonly id: string; readonly text: string } {
  const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? ''
  const text = `id=${field('id')} name=${field('name') || '(none)'} last command=${field('cmd')} age=${field('age')}s`
  return { id: field('id'), text }
}
