import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll } from '@jest/globals'
import { Pool, type PoolConfig } from 'pg'
import { schemaSql } from '../../../src/postgres/index.ts'
import { PostgresServer } from '../../support/postgres-server.ts'
import { waitUntil } from '../../support/wait.ts'

export interface PostgresForTests {
  readonly server: PostgresServer
  /** A schema of its own, made as if it had been there for long. */
  schema(): Promise<string>
  /** A pool that is ended after the test. */
  pool(options?: PoolConfig): Pool
  /** Runs after the test, last one first. */
  defer(cleanup: () => unknown): void
}

/** Makes a schema whose log is older than the time for which a young one proves nothing. */
export async function makeSchema(server: PostgresServer, schema: string): Promise<string> {
  await server.ask(schemaSql({ schema }))
  await server.ask(`UPDATE ${schema}.meta SET created_at = created_at - 10000, told_at = 0`)
  return schema
}

/** One PostgreSQL for the tests of this file. After them no connection may be open. */
export function usePostgres(): PostgresForTests {
  let running: PostgresServer | undefined
  const cleanups: (() => unknown)[] = []
  const server = () => {
    if (!running) throw new Error('usePostgres(): the server runs from beforeAll on, not earlier')
    return running
  }

  beforeAll(async () => {
    running = await PostgresServer.start()
  }, 60_000)
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })
  afterAll(async () => {
    try {
      await assertNoLeaks(server())
    } finally {
      await running?.stop()
    }
  }, 30_000)

  return {
    get server() {
      return server()
    },
    schema: async () => makeSchema(server(), `t_${randomUUID().replaceAll('-', '').slice(0, 12)}`),
    pool(options) {
      const pool = new Pool({ connectionString: server().url, ...options })
      pool.on('error', () => undefined)
      cleanups.push(async () => pool.end())
      return pool
    },
    defer(cleanup) {
      cleanups.push(cleanup)
    },
  }
}

async function assertNoLeaks(server: PostgresServer): Promise<void> {
  await waitUntil(
    async () => {
      const rows = await server.ask(
        `SELECT query FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      )
      return rows.length === 0
    },
    { what: 'all connections to close', timeoutMs: 5000 },
  )
}
