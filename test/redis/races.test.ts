import { redisStore } from '../../src/redis/index.ts'
import { describeRaces } from '../contracts/races.contract.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { useRedis } from '../support/redis-for-tests.ts'
import { beginSettledLog, useCleanup } from './support/deployment.ts'

const redis = useRedis()
const { template } = useCleanup()
const partitions = 4

/** Tokens bear the moments of a real Redis, so the guard behind them has to live in the same time. */
class RealTime extends FakeClock {
  override now = () => Date.now()
  override monotonic = () => performance.now()
}

describeRaces('redisStore', {
  limit: 60,
  async create() {
    const prefix = redis.uniquePrefix()
    await beginSettledLog(redis.client(), { prefix, partitions })
    const store = redisStore(template(redis.server), { prefix, partitions })
    return { store, clock: new RealTime() }
  },
})
