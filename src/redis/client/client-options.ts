import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { RedisClient } from '../options.ts'

/** How long one attempt to connect may take. */
export const connectTimeoutMs = 2000
/** How long the first answer on a connection, or an answer of a Sentinel, may take before the next one is tried. */
export const firstAnswerTimeoutMs = 600
const maxReconnectDelayMs = 400
const maxFirstDelayMs = 200
/** How long a dropped connection may take to close in good order. On a silent link it never does. */
const disconnectTimeoutMs = 100

/** Spreads the first attempt too: one slow command in Redis makes every reader of a fleet reconnect at once. */
export function readerReconnectDelayMs(attempt: number): number {
  return attempt === 0 ? Math.random() * maxFirstDelayMs : reconnectDelayMs(attempt)
}

/** Random, so that the servers of a fleet do not reconnect all at once. */
function reconnectDelayMs(attempt: number): number {
  const delay = Math.min(maxReconnectDelayMs, 25 * 2 ** Math.min(attempt, 5))
  return delay / 2 + Math.random() * (delay / 2)
}

export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster
}

/**
 * Options that replace those of the user's client: the reply format that scripts and readers expect, no timeouts that a
 * blocking read would exceed, and no reconnects decided by the user's functions.
 */
const ownReplies = {
  keyPrefix: '',
  connectTimeout: connectTimeoutMs,
  disconnectTimeout: disconnectTimeoutMs,
  replyMapping: 'legacy',
  stringNumbers: false,
  enableReadyCheck: true,
  enableAutoPipelining: false,
  commandTimeout: undefined,
  socketTimeout: undefined,
  blockingTimeout: undefined,
  reconnectOnError: null,
} as const

/**
 * Without a connection a command fails at once, and no command is sent twice: one that runs minutes later, or a second
 * time, does more harm than one that fails.
 */
const ownConnection = {
  ...ownReplies,
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  readOnly: false,
  monitor: false,
  sentinelCommandTimeout: firstAnswerTimeoutMs,
} as const

/**
 * A copy of the user's client, for commands.
 *
 * @param asksEachTime - whether each connection needs fresh credentials, so that it must not reconnect by itself
 */
export function duplicateForCommands(template: RedisClient, asksEachTime: boolean): RedisClient {
  if (isCluster(template)) {
    return template.duplicate([], {
      keyPrefix: '',
      lazyConnect: true,
      enableOfflineQueue: false,
      // Where the user may not run CLUSTER INFO, ioredis would repeat it forever, without an error.
      enableReadyCheck: false,
      enableAutoPipelining: false,
      scaleReads: 'master',
      clusterRetryStrategy: reconnectDelayMs,
      // A node that waits to reconnect never ends when it is disconnected, so the client would wait for it for good.
      clusterNodeRetryStrategy: null,
      redisOptions: { ...template.options.redisOptions, ...ownReplies },
    })
  }
  const retryStrategy = asksEachTime ? null : reconnectDelayMs
  return template.duplicate({ ...ownConnection, retryStrategy })
}

/** A client for one blocking reader. It does not reconnect by itself: the reader has to know of each interruption. */
export function duplicateForReading(
  node: Redis,
  place: Pick<RedisOptions, 'host' | 'port' | 'role' | 'readOnly'> = {},
): Redis {
  return node.duplicate({ ...ownConnection, retryStrategy: null, ...place })
}
