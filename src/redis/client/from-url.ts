import type { Revocations } from '../../revocation/revocations.ts'
import { redisRevocations } from '../index.ts'
import type { RedisRevocationsOptions } from '../options.ts'

/**
 * Revocations on the Redis at a URL, with a client of their own.
 *
 * @throws Error when ioredis is not installed
 */
export async function redisRevocationsFromUrl(
  url: string,
  options: RedisRevocationsOptions,
): Promise<Revocations> {
  return Promise.resolve(redisRevocations(url, options))
}
