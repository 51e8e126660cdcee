import { Cluster, Redis } from 'ioredis'
import { Pool } from 'pg'
import { postgresRevocations, postgresStore } from 'express-kickout/postgres'
import { type RedisClient, redisRevocations, redisStore } from 'express-kickout/redis'
import type { ServerConfig } from '../places.ts'

/** A client as a template: addresses of servers are those of this process's own proxies. */
function redisOf({ place, proxies }: ServerConfig): RedisClient {
  const natMap = { ...proxies }
  const proxied = (host: string, port: number): { host: string; port: number } =>
    natMap[`${host}:${port}`] ?? { host, port }
  if (place.kind === 'postgres') throw new Error('PostgreSQL is no Redis')
  const client =
    place.kind === 'cluster'
      ? new Cluster(
          place.servers.map(({ host, port }) => proxied(host, port)),
          { lazyConnect: true, natMap },
        )
      : place.kind === 'sentinel'
        ? new Redis({
            ...{ lazyConnect: true, sentinels: [...place.sentinels], name: place.name, natMap },
          })
        : new Redis({ lazyConnect: true, ...proxied(place.host, place.port) })
  client.on('error', () => undefined)
  return client
}

function poolOf({ place, proxies }: ServerConfig): Pool {
  if (place.kind !== 'postgres') throw new Error('Redis is no PostgreSQL')
  const { host, port } = proxies[`${place.host}:${place.port}`] ?? place
  const pool = new Pool({ host, port, user: 'postgres', database: 'postgres' })
  pool.on('error', () => undefined)
  return pool
}

const rememberedEvents = 40

/** The last events of a process, for what it has to say when it does not become live. */
export function rememberEvents(): { events: unknown[]; onEvent: (event: object) => void } {
  const events: unknown[] = []
  return {
    events,
    onEvent(event) {
      const { type } = event as { type: string }
      if (!type.startsWith('revocations.') && type !== 'kickout.failed') return
      events.push({ atMs: Math.round(performance.now()), ...event })
      if (events.length > rememberedEvents) events.shift()
    },
  }
}

/** The options that all stores share are given as they stand; what only Redis knows is left out for PostgreSQL. */
export function revocationsOf(
  config: ServerConfig,
  issuer: string,
  onEvent: (event: object) => void,
): ReturnType<typeof redisRevocations> {
  const { maxStalenessMs, retentionSeconds, minReplicas, partitions } = config
  const common = { issuer, maxStalenessMs, retentionSeconds, onEvent }
  return config.place.kind === 'postgres'
    ? postgresRevocations(poolOf(config), common)
    : redisRevocations(redisOf(config), { ...common, minReplicas, partitions })
}

export function storeOf(config: ServerConfig): ReturnType<typeof redisStore> {
  const { retentionSeconds, minReplicas, partitions } = config
  return config.place.kind === 'postgres'
    ? postgresStore(poolOf(config), { retentionSeconds })
    : redisStore(redisOf(config), { retentionSeconds, minReplicas, partitions })
}
