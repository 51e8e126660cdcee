import type { SessionStore } from '../issuer/sessions/session-store.ts'
import type { KeyStore } from '../key-store/key-store.ts'
import { SealedKeyStore } from '../key-store/sealed-key-store.ts'
import type { AuditedRevocations } from '../revocation/revocations.ts'
import { CommandConnection } from './client/connection.ts'
import { type RedisSource, toTemplate } from './client/template.ts'
import { restoreFastStrings } from './client/fast-strings.ts'
import { RedisRevocations } from './kick-outs/redis-revocations.ts'
import { RedisClaims, type RedisReplayStore } from './replay-store.ts'
import { RedisSessionStore } from './sessions/session-store.ts'
import {
  readKeyStoreSettings,
  readReplayStoreSettings,
  readRevocationsSettings,
  readStoreSettings,
  type RedisClient,
  type RedisKeyStoreOptions,
  type RedisReplayStoreOptions,
  type RedisRevocationsOptions,
  type RedisStoreOptions,
  type RedisLayoutOptions,
} from './options.ts'

export type { RevocationsEvent } from '../events.ts'
export type {
  Credentials,
  RedisClient,
  RedisCredentials,
  RedisKeyStoreOptions,
  RedisLayoutOptions,
  RedisReplayStoreOptions,
  RedisRevocationsOptions,
  RedisStoreOptions,
} from './options.ts'
export type { RedisSource } from './client/template.ts'
export type { RedisReplayStore } from './replay-store.ts'
export type { EncryptionKey, KeyStore, RotationOptions } from '../key-store/key-store.ts'

/**
 * Revocations shared by many servers over one Redis (7 or later, or Valkey): single, Sentinel or Cluster. Each server keeps
 * a copy of its own and proves its freshness. The first use connects.
 *
 * @param redis - a URL, options of ioredis, or a client. New connections take the options of the client, which itself is
 * never used
 * @throws TypeError for wrong options
 */
export function redisRevocations(
  redis: RedisSource,
  options: RedisRevocationsOptions = {},
): AuditedRevocations {
  const client = toTemplate('redisRevocations', redis)
  const settings = readRevocationsSettings(client, options)
  return new RedisRevocations(connectionOf(client, options), settings, { ownsConnection: true })
}

function connectionOf(client: RedisClient, { credentials }: RedisLayoutOptions): CommandConnection {
  restoreFastStrings()
  return new CommandConnection({ client, credentials })
}

/**
 * Sessions shared by many issuer processes over one Redis, beside the revocations of the same users.
 *
 * @param redis - a template, as above
 * @throws TypeError for wrong options
 */
export function redisStore(redis: RedisSource, options: RedisStoreOptions = {}): SessionStore {
  const client = toTemplate('redisStore', redis)
  const settings = readStoreSettings(client, options)
  return new RedisSessionStore(connectionOf(client, options), settings)
}

/**
 * A replay store shared by many servers over one Redis: an id that one server has accepted is refused by all. One round
 * trip per claim, with a budget of 500 ms. The first use connects.
 *
 * @param redis - a template, as above
 * @throws TypeError for wrong options
 */
export function redisReplayStore(
  redis: RedisSource,
  options: RedisReplayStoreOptions = {},
): RedisReplayStore {
  const client = toTemplate('redisReplayStore', redis)
  const settings = readReplayStoreSettings(client, options)
  return new RedisClaims(connectionOf(client, {}), settings)
}

/**
 * The signing keys of an issuer on Redis, encrypted, shared by all its processes: they publish the same keys, sign with the
 * same one, and rotate by themselves. The first use connects.
 *
 * @param redis - a template, as above
 * @throws TypeError for wrong options
 */
export function redisKeyStore(redis: RedisSource, options: RedisKeyStoreOptions): KeyStore {
  const client = toTemplate('redisKeyStore', redis)
  const settings = readKeyStoreSettings(client, options)
  const { credentials } = options
  return new SealedKeyStore('redisKeyStore', options, async () => {
    const { RedisKeyRecords } = await import('./signing-keys/key-records.ts')
    restoreFastStrings()
    return new RedisKeyRecords(new CommandConnection({ client, credentials }), settings)
  })
}
