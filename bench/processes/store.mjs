import { schemaSql } from 'express-kickout/postgres'
import { PostgresServer } from '../../test/support/postgres-server.ts'
import { startOwnRedis } from './redis.mjs'

/**
 * A store of its own for one scenario. Redis keeps nothing on disk; PostgreSQL writes each commit to disk, as it does by
 * default.
 *
 * @returns what guards and issuers are told of it, and which of them fit
 */
export async function startOwnStore(kind) {
  if (kind === 'redis') {
    const redis = await startOwnRedis({ pinned: false })
    return {
      config: { name: 'kickout', redisPort: redis.port },
      redis,
      stop: async () => redis.stop(),
    }
  }
  const settings = ['fsync=on', 'shared_buffers=128MB']
  const postgres = await PostgresServer.start({ settings })
  await postgres.ask(schemaSql())
  // As one that has been there for long: a young log proves nothing for a while.
  await postgres.ask('UPDATE kickout.meta SET created_at = created_at - 10000, told_at = 0')
  return {
    config: { name: 'kickout-postgres', databaseUrl: postgres.url },
    postgres,
    stop: async () => postgres.stop(),
  }
}
