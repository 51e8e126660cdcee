import { startRedis } from '../../test/support/redis-server.ts'
import { pinProcess } from '../machine.mjs'

/** A `redis-server` of its own for one scenario: empty, nothing on disk. */
export async function startOwnRedis({ pinned = true } = {}) {
  const redis = await startRedis()
  if (pinned) pinProcess(redis.pid, 'redis')
  return redis
}
