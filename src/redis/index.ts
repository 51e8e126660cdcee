import type { SessionStore } from '../issuer/sessions/session-store.ts'
import type { AuditedRevocations } from '../revocation/revocations.ts'
import { CommandConnection } from './client/connection.ts'
import { restoreFastStrings } from './client/fast-strings.ts'
import { RedisRevocations } from './kick-outs/redis-revocations.ts'
import { RedisClaims, type RedisReplayStore } from './replay-store.ts'
import { RedisSessionStore } from './sessions/session-store.ts'
import {
  readReplayStoreSettings,
  readRevocationsSettings,
  readStoreSettings,
  type RedisClient,
  type RedisReplayStoreOptions,
  type RedisRevocationsOptions,
  type RedisStoreOptions,
} from './options.ts'

export type { RevocationsEvent } from '../events.ts'
export type {
  RedisClient,
  RedisLayoutOptions,
  RedisReplayStoreOptions,
  RedisRevocationsOptions,
  RedisStoreOptions,
} from './options.ts'
export type { RedisReplayStore } from './replay-store.ts'

/**
 * Revocations shared by many servers over one Redis (7 or later, or Valkey): single, Sentinel or Cluster. Each server keeps
 * a copy of its own and proves its freshness; nothing is connected before first use.
 *
 * @param redis - a template: its options are used for connections of our own, the client itself is left alone
 * @throws TypeError for wrong options
 */
export function redisRevocations(
  redis: RedisClient,
  options: RedisRevocationsOptions = {},
): AuditedRevocations {
  const settings = readRevocationsSettings(redis, options)
  restoreFastStrings()
  return new RedisRevocations(new CommandConnection(redis), settings, { ownsConnection: true })
}

/**
 * Sessions shared by many issuer processes over one Redis, beside the revocations of the same users.
 *
 * @param redis - a template, as above
 * @throws TypeError for wrong options
 */
export function redisStore(redis: RedisClient, options: RedisStoreOptions = {}): SessionStore {
  const settings = readStoreSettings(redis, options)
  restoreFastStrings()
  return new RedisSessionStore(new CommandConnection(redis), settings)
}

/**
 * A replay store shared by many servers over one Redis: what one of them has accepted once, none accepts again. One round
 * trip per claim, with a budget of 500 ms; nothing is connected before first use.
 *
 * @param redis - a template, as above
 * @throws TypeError for wrong options
 */
export function redisReplayStore(
  redis: RedisClient,
  options: RedisReplayStoreOptions = {},
): RedisReplayStore {
  const settings = readReplayStoreSettings(redis, options)
  restoreFastStrings()
  return new RedisClaims(new CommandConnection(redis), settings)
}
