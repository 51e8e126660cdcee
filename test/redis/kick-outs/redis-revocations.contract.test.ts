import { describeRevocations } from '../../contracts/revocations.contract.ts'
import { useRedis } from '../../support/redis-for-tests.ts'
import { redisRevocations } from '../../../src/redis/index.ts'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { beginSettledLog } from '../support/deployment.ts'

const redis = useRedis()

const variants = [
  { name: 'one partition', Client: Redis, partitions: 1, keyPrefix: '' },
  {
    name: 'four partitions, a key prefix, ioredis 5',
    Client: Redis5 as unknown as typeof Redis,
    partitions: 4,
    keyPrefix: 'app:',
  },
]

for (const { name, Client, partitions, keyPrefix } of variants) {
  describeRevocations(`redisRevocations (${name})`, {
    hasFakeClock: false,
    async create(options = {}) {
      const template = new Client(redis.url, { lazyConnect: true, keyPrefix })
      const prefix = redis.uniquePrefix()
      await beginSettledLog(redis.client(), { prefix, partitions, keyPrefix })
      const revocations = redisRevocations(template, { prefix, partitions, ...options })
      await revocations.ready()
      return {
        revocations,
        async close() {
          await revocations.close()
          template.disconnect()
        },
      }
    },
  })
}
