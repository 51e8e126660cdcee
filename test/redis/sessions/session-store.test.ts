import { describeSessionStore } from '../../contracts/session-store.contract.ts'
import { useRedis } from '../../support/redis-for-tests.ts'
import { redisStore } from '../../../src/redis/index.ts'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { beginSettledLog } from '../support/deployment.ts'

const redis = useRedis()

const variants = [
  { name: 'one partition', Client: Redis, partitions: 1 },
  { name: 'four partitions, ioredis 5', Client: Redis5 as unknown as typeof Redis, partitions: 4 },
]

for (const { name, Client, partitions } of variants) {
  describeSessionStore(`redisStore (${name})`, {
    hasFakeClock: false,
    async create(options = {}) {
      const template = new Client(redis.url, { lazyConnect: true })
      const prefix = redis.uniquePrefix()
      await beginSettledLog(redis.client(), { prefix, partitions })
      const store = redisStore(template, { prefix, partitions, ...options })
      return {
        store,
        async close() {
          await store.close()
          template.disconnect()
        },
      }
    },
  })
}
