import type { Revocations } from 'express-kickout'
import { redisReplayStore, redisRevocations, redisStore } from 'express-kickout/redis'
import { Redis } from 'ioredis'
import type { State } from './state.ts'

/** In Redis: every API server keeps a copy of its own, as it would on a machine of its own. */
export function redisState(url: string, maxStalenessMs: number): State {
  const prefix = 'kickout-demo'
  const clients: Redis[] = []
  const opened: Revocations[] = []

  function connect(): Redis {
    // A Redis that is away shows as a 503; without a listener ioredis prints every attempt to reach it.
    const client = new Redis(url).on('error', () => {})
    clients.push(client)
    return client
  }

  function check(issuer: string, mode: 'replica' | 'lookup'): Revocations {
    const revocations = redisRevocations(connect(), { issuer, prefix, maxStalenessMs, mode })
    opened.push(revocations)
    return revocations
  }

  const replay = redisReplayStore(connect(), { prefix })
  return {
    replay,
    store: redisStore(connect(), { prefix }),
    revocationsForApi: (_issuer, issuer) => check(issuer, 'replica'),
    // Few requests, and those of an admin among them: asking Redis each time is the better bargain there.
    revocationsForLogin: (_issuer, issuer) => check(issuer, 'lookup'),
    async close() {
      await Promise.all([...opened, replay].map(async (each) => each.close()))
      for (const client of clients) client.disconnect()
    },
  }
}
