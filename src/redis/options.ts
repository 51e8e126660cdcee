import type { Cluster, Redis } from 'ioredis'
import type { RevocationsEvent } from '../events.ts'
import { keyStoreOptionNames, type KeyStoreOptions } from '../key-store/sealed-key-store.ts'
import {
  assertOptions,
  optionError,
  readChoice,
  readFunction,
  readNumber,
  readString,
} from '../options.ts'
import { readServerName } from '../revocation/server-id.ts'
import { defaultRetentionSeconds } from '../revocation/revocations.ts'

/** An ioredis client, version 5 or 6. It serves as a template: new connections take its options. */
export type RedisClient = Redis | Cluster

/** User name and password, asked for at each connection. */
export type Credentials = () => RedisCredentials | Promise<RedisCredentials>

/** User name and password of a connection. */
export interface RedisCredentials {
  /** The ACL user; the default one unless given. */
  username?: string
  /** Its password. */
  password?: string
}

/** Options that every process of a deployment has to give alike. */
export interface RedisLayoutOptions {
  /**
   * Of every key.
   *
   * @defaultValue 'kickout'
   */
  prefix?: string
  /**
   * Over how many hash tags users are spread; fixed for a deployment. 16 or more on a Cluster.
   *
   * @defaultValue 1
   */
  partitions?: number
  /**
   * How long a revocation is kept, seconds: at least the longest token lifetime plus twice the clock tolerance.
   *
   * @defaultValue 90000
   */
  retentionSeconds?: number
  /**
   * How many Redis replicas must have a kick-out (`WAIT`) before it counts.
   *
   * @defaultValue 0
   */
  minReplicas?: number
  /**
   * User name and password, asked for at each connection: for credentials that rotate. They come before those of the URL,
   * the options or the client.
   */
  credentials?: Credentials
  /** Receives changes of the copy's state and kick-outs, see `RevocationsEvent`. */
  onEvent?: (event: RevocationsEvent) => void
}

/** What `redisStore` is given: the layout alone. */
export type RedisStoreOptions = RedisLayoutOptions

export interface RedisRevocationsOptions extends RedisLayoutOptions {
  /**
   * `'replica'`: a copy in this process, no I/O per request. `'lookup'`: one round trip per request.
   *
   * @defaultValue 'replica'
   */
  mode?: 'replica' | 'lookup'
  /**
   * How old the proof that the copy is complete may be.
   *
   * @defaultValue 5000
   */
  maxStalenessMs?: number
  /**
   * Past that: `'lookup'` asks Redis per request, `'reject'` is 503 at once, `'accept'` lets requests through.
   *
   * @defaultValue 'lookup'
   */
  whenStale?: 'lookup' | 'reject' | 'accept'
  /**
   * The service that this process belongs to, at most 40 letters, digits, dots, dashes and underscores. Its id in
   * `unconfirmed` and in the list of servers begins with it. The host's name by default.
   */
  name?: string
  /** The issuer meant by targets that name none. */
  issuer?: string
  /**
   * Where the stream is followed. `'replica'`: on a Redis replica, so that a fleet of thousands does not load the primary.
   * The head is still read from the primary, and the copy counts as complete only when the replica has delivered every entry
   * that the head names. Where the primary has no replica, the primary is followed.
   *
   * @defaultValue 'primary'
   */
  readFrom?: 'primary' | 'replica'
  /**
   * Budget of one look-up.
   *
   * @defaultValue 150
   */
  lookupTimeoutMs?: number
}

/** What `redisReplayStore` is given. */
export interface RedisReplayStoreOptions {
  /**
   * Of every key. Servers with the same prefix refuse each other's replays.
   *
   * @defaultValue 'kickout'
   */
  prefix?: string
}

/** What `redisKeyStore` is given. */
export interface RedisKeyStoreOptions extends KeyStoreOptions {
  /**
   * Of every key.
   *
   * @defaultValue 'kickout'
   */
  prefix?: string
  /** User name and password, asked for at each connection, as in {@link RedisLayoutOptions}. */
  credentials?: Credentials
}

export interface KeyStoreSettings {
  /** The client's own `keyPrefix`, in front of everything. */
  readonly keyPrefix: string
  readonly prefix: string
}

export interface ReplayStoreSettings {
  /** The client's own `keyPrefix`, in front of everything. */
  readonly keyPrefix: string
  readonly prefix: string
}

/** The default of every option that has one. docs/options.md is compared with these. */
export const redisDefaults = {
  mode: 'replica',
  maxStalenessMs: 5000,
  whenStale: 'lookup',
  prefix: 'kickout',
  partitions: 1,
  retentionSeconds: defaultRetentionSeconds,
  minReplicas: 0,
  lookupTimeoutMs: 150,
  readFrom: 'primary',
} as const

export interface LayoutSettings {
  /** The client's own `keyPrefix`, in front of everything. */
  readonly keyPrefix: string
  readonly prefix: string
  readonly partitions: number
  readonly retentionMs: number
  readonly minReplicas: number
  readonly onEvent: ((event: RevocationsEvent) => void) | undefined
}

export interface RevocationsSettings extends LayoutSettings {
  readonly mode: 'replica' | 'lookup'
  readonly maxStalenessMs: number
  readonly whenStale: 'lookup' | 'reject' | 'accept'
  readonly issuer: string | undefined
  readonly lookupTimeoutMs: number
  readonly name: string | undefined
  readonly readFrom: 'primary' | 'replica'
}

const layoutNames = [
  'prefix',
  'partitions',
  'retentionSeconds',
  'minReplicas',
  'credentials',
  'onEvent',
] as const
const revocationsNames = [
  ...layoutNames,
  'mode',
  'maxStalenessMs',
  'whenStale',
  'issuer',
  'lookupTimeoutMs',
  'readFrom',
  'name',
] as const

/** The partition is two bytes of a refresh token. */
const maxPartitions = 65_535
/** A proof may be two blocking reads old before the next one arrives. */
const minStalenessMs = 250

/** The `keyPrefix` of the user's client. Our connections have none: it is a part of each key, as scripts build keys too. */
function keyPrefixOf(redis: RedisClient): string {
  if (!redis.isCluster) return (redis as Redis).options.keyPrefix ?? ''
  const { keyPrefix, redisOptions } = (redis as Cluster).options
  return keyPrefix ?? (redisOptions as { keyPrefix?: string } | undefined)?.keyPrefix ?? ''
}

/** @throws TypeError unless it is an ioredis client, with a key prefix that leaves our hash tags alone */
function assertClient(where: string, redis: unknown): asserts redis is RedisClient {
  if (/[{}]/.test(keyPrefixOf(redis as RedisClient))) {
    throw new TypeError(
      `${where}: the client's "keyPrefix" must not contain braces, which decide where keys lie on a Cluster`,
    )
  }
}

function readPrefix(where: string, value: unknown): string {
  const prefix = readString(where, 'prefix', value) ?? redisDefaults.prefix
  if (/^[^{}\s]{1,64}$/.test(prefix)) return prefix
  throw optionError(
    where,
    'prefix',
    'must have at most 64 characters, and neither braces nor spaces',
  )
}

function readLayout(
  where: string,
  redis: RedisClient,
  options: RedisLayoutOptions,
): LayoutSettings {
  assertClient(where, redis)
  return {
    keyPrefix: keyPrefixOf(redis),
    prefix: readPrefix(where, options.prefix),
    partitions: readNumber(where, 'partitions', options.partitions, {
      fallback: redisDefaults.partitions,
      min: 1,
      max: maxPartitions,
      integer: true,
    }),
    retentionMs:
      readNumber(where, 'retentionSeconds', options.retentionSeconds, {
        fallback: redisDefaults.retentionSeconds,
        min: 1,
      }) * 1000,
    minReplicas: readNumber(where, 'minReplicas', options.minReplicas, {
      fallback: redisDefaults.minReplicas,
      min: 0,
      integer: true,
    }),
    onEvent: readFunction(where, 'onEvent', options.onEvent),
  }
}

/** @throws TypeError that names the option */
export function readStoreSettings(redis: RedisClient, options: RedisStoreOptions): LayoutSettings {
  assertOptions('redisStore', options, layoutNames)
  return readLayout('redisStore', redis, options)
}

/** @throws TypeError that names the option */
export function readKeyStoreSettings(
  redis: RedisClient,
  options: RedisKeyStoreOptions,
): KeyStoreSettings {
  const where = 'redisKeyStore'
  assertOptions(where, options, [...keyStoreOptionNames, 'prefix', 'credentials'])
  readFunction(where, 'credentials', options.credentials)
  assertClient(where, redis)
  return { keyPrefix: keyPrefixOf(redis), prefix: readPrefix(where, options.prefix) }
}

/** @throws TypeError that names the option */
export function readReplayStoreSettings(
  redis: RedisClient,
  options: RedisReplayStoreOptions,
): ReplayStoreSettings {
  const where = 'redisReplayStore'
  assertOptions(where, options, ['prefix'])
  assertClient(where, redis)
  return { keyPrefix: keyPrefixOf(redis), prefix: readPrefix(where, options.prefix) }
}

/** @throws TypeError that names the option */
export function readRevocationsSettings(
  redis: RedisClient,
  options: RedisRevocationsOptions,
): RevocationsSettings {
  const where = 'redisRevocations'
  assertOptions(where, options, revocationsNames)
  return {
    ...readLayout(where, redis, options),
    mode: readChoice(where, 'mode', options.mode, ['replica', 'lookup'], redisDefaults.mode),
    maxStalenessMs: readNumber(where, 'maxStalenessMs', options.maxStalenessMs, {
      fallback: redisDefaults.maxStalenessMs,
      min: minStalenessMs,
    }),
    whenStale: readChoice(
      where,
      'whenStale',
      options.whenStale,
      ['lookup', 'reject', 'accept'],
      redisDefaults.whenStale,
    ),
    issuer: readString(where, 'issuer', options.issuer),
    lookupTimeoutMs: readNumber(where, 'lookupTimeoutMs', options.lookupTimeoutMs, {
      fallback: redisDefaults.lookupTimeoutMs,
      min: 1,
    }),
    name: readServerName(where, options.name),
    readFrom: readChoice(
      where,
      'readFrom',
      options.readFrom,
      ['primary', 'replica'],
      redisDefaults.readFrom,
    ),
  }
}
