import { memoryReplayStore, type Revocations } from 'express-kickout'
import { postgresRevocations, postgresStore, schemaSql } from 'express-kickout/postgres'
import { Pool } from 'pg'
import type { State } from './state.ts'

const schema = 'kickout_demo'

/**
 * In PostgreSQL: every API server keeps a copy of its own, as it would on a machine of its own.
 *
 * A demo makes its schema itself. Yours is made by `npx express-kickout postgres migrate`, with your other migrations.
 */
export async function postgresState(url: string, maxStalenessMs: number): Promise<State> {
  const pools: Pool[] = []
  const opened: Revocations[] = []

  function connect(): Pool {
    // A database that is away shows as a 503; without a listener a connection that is lost ends the process.
    const pool = new Pool({ connectionString: url, max: 5 }).on('error', () => {})
    pools.push(pool)
    return pool
  }

  const shared = connect()
  await shared.query(schemaSql({ schema }))

  return {
    // The servers of this demo are one process. Several processes share a store of used proofs, as `redisReplayStore`.
    replay: memoryReplayStore(),
    store: postgresStore(shared, { schema }),
    revocationsForApi(_issuer, issuer) {
      const revocations = postgresRevocations(connect(), { issuer, schema, maxStalenessMs })
      opened.push(revocations)
      return revocations
    },
    // The issuer follows the same log beside its sessions.
    revocationsForLogin: (issuer) => issuer.revocations,
    async close() {
      await Promise.all(opened.map(async (revocations) => revocations.close()))
      await Promise.all(pools.map(async (pool) => pool.end()))
    },
  }
}
