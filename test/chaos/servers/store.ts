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

/** The options that all stores share are given as they stand; what only Redis knows is left out for PostgreSQL. */
export function revocationsOf(
  config: ServerConfig,
  issuer: string,
): ReturnType<typeof redisRevocations> {
  const { maxStalenessMs, retentionSeconds, minReplicas, partitions } = config
  const common = { issuer, maxStalenessMs, retentionSeconds }
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
