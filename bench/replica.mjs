import { monitorEventLoopDelay } from 'node:perf_hooks'
import { redisRevocations } from 'express-kickout/redis'
import { postgresRevocations } from 'express-kickout/postgres'
import { Redis } from 'ioredis'
import pg from 'pg'
import { answer, memoryAfterCollection } from './processes/child.mjs'
import { claimsOf } from './tokens.mjs'

let revocations

answer({
  async start({ redisPort, databaseUrl }) {
    const empty = await memoryAfterCollection()
    const stalls = monitorEventLoopDelay({ resolution: 5 })
    stalls.enable()
    const startedAt = performance.now()
    revocations =
      databaseUrl === undefined
        ? redisRevocations(new Redis(redisPort))
        : postgresRevocations(new pg.Pool({ connectionString: databaseUrl }))
    await revocations.ready()
    const readyMs = performance.now() - startedAt
    stalls.disable()
    return {
      readyMs,
      stallMs: stalls.max / 1e6,
      entries: revocations.status().entries,
      emptyHeap: empty.heap,
      emptyRss: empty.rss,
    }
  },
  /** Microseconds of one call, for tokens that are not kicked out, of many users. */
  timeCheck({ calls }) {
    const claims = Array.from({ length: 1000 }, (_, index) => claimsOf(index))
    const run = (count) => {
      for (let call = 0; call < count; call++) {
        if (revocations.check(claims[call % claims.length]).revoked) throw new Error('revoked')
      }
    }
    run(calls / 10)
    const startedAt = performance.now()
    run(calls)
    return ((performance.now() - startedAt) * 1000) / calls
  },
})
