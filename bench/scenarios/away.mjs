import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from '../statistics.mjs'
import { startAll } from './latency.mjs'

const requestsPerSecond = 2000
/** The default `maxStalenessMs` of a guard, and a little more. */
const untilStaleMs = 6000

/** How long the 503s take while Redis is gone: each server asks it with one look-up at a time. */
export async function away({ latencySeconds: seconds, log }) {
  const all = await startAll('redis')
  const ports = all.servers.map(({ port }) => port)
  const press = async (job) => {
    const pressed = await all.generator.ask('pressSteadily', {
      ...{ ports, perSecond: requestsPerSecond },
      ...job,
    })
    if (pressed.failures > 0) throw new Error(`${pressed.failures} requests were not ${job.status}`)
    return pressed
  }
  try {
    await press({ seconds: 1, status: '200' })
    await all.store.redis.kill9()
    await sleep(untilStaleMs)
    const { requests, tookMs } = await press({ seconds, status: '503' })
    log(`${requests} requests`)
    return {
      requestsPerSecond,
      answers: requests,
      p50: quantile(tookMs, 0.5),
      p99: quantile(tookMs, 0.99),
      max: Math.max(...tookMs),
    }
  } finally {
    await all.stop()
  }
}
