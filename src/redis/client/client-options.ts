import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { RedisClient } from '../options.ts'

/** How long one attempt to connect may take. */
export const connectTimeoutMs = 2000
/** How long the first answer on a connection may take, and that of a Sentinel, before the next one is tried. */
export const firstAnswerTimeoutMs = 600
const maxReconnectDelayMs = 400
const maxFirstDelayMs = 200
/** How long a dropped connection may take to close in good order. On a silent link it never does. */
const disconnectTimeoutMs = 100

/** The first attempt is spread too: one command that holds Redis up makes every reader of a fleet reconnect. */
export function readerReconnectDelayMs(attempt: number): number {
  return attempt === 0 ? Math.random() * maxFirstDelayMs : reconnectDelayMs(attempt)
}

/** Spread, so that a fleet does not come back all at once. */
function reconnectDelayMs(attempt: number): number {
  const delay = Math.min(maxReconnectDelayMs, 25 * 2 ** Math.min(attempt, 5))
  return delay / 2 + Math.random() * (delay / 2)
}

export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster
}

/**
 * What ours have of their own, whatever the user's client has: replies as scripts and readers expect them, budgets of our
 * own instead of the user's, which a blocking read would outlast, and the health of each connection judged by us.
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
 * Nothing is queued while there is no connection and nothing is sent twice: a command that waits for minutes, or runs
 * again by itself, is worse than one that fails.
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
 * A client like the user's for commands of ours.
 *
 * @param asksEachTime - whether credentials are asked for at each connection, so that it must not reconnect by itself
 */
export function duplicateForCommands(template: RedisClient, asksEachTime: boolean): RedisClient {
  if (isCluster(template)) {
    return template.duplicate([], {
      keyPrefix: '',
      lazyConnect: true,
      enableOfflineQueue: false,
      // A node that may not be asked for CLUSTER INFO would be asked again and again, without an error.
      enableReadyCheck: false,
      enableAutoPipelining: false,
      scaleReads: 'master',
      clusterRetryStrategy: reconnectDelayMs,
      redisOptions: { ...template.options.redisOptions, ...ownReplies },
    })
  }
  const retryStrategy = asksEachTime ? null : reconnectDelayMs
  return template.duplicate({ ...ownConnection, retryStrategy })
}

/** A client for one blocking reader. It does not reconnect by itself: whoever reads has to know when it was interrupted. */
export function duplicateForReading(
  node: Redis,
  place: Pick<RedisOptions, 'host' | 'port' | 'role' | 'readOnly'> = {},
): Redis {
  return node.duplicate({ ...ownConnection, retryStrategy: null, ...place })
}
