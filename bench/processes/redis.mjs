import { startRedis } from '../../test/support/redis-server.ts'
import { pinProcess } from '../machine.mjs'

/** A `redis-server` of its own for one scenario: empty, nothing on disk unless `args` say so. */
export async function startOwnRedis({ pinned = true, args = [] } = {}) {
  const redis = await startRedis({ args })
  if (pinned) pinProcess(redis.pid, 'redis')
  return redis
}
