import type { JwksCacheOptions } from 'express-kickout'
import type { RedisRevocationsOptions, RotationOptions } from 'express-kickout/redis'
import type { PublicJwk } from '../../support/make-token.ts'

interface HostAndPort {
  readonly host: string
  readonly port: number
}

/** Where a process finds Redis. */
export type RedisPlace =
  | ({ readonly kind: 'single' } & HostAndPort)
  | { readonly kind: 'sentinel'; readonly sentinels: readonly HostAndPort[]; readonly name: string }
  | { readonly kind: 'cluster'; readonly servers: readonly HostAndPort[] }

export type ReplicaOptions = Omit<RedisRevocationsOptions, 'onEvent' | 'issuer'>

export interface ResourceServerConfig {
  readonly redis: RedisPlace
  readonly jwks: { readonly keys: readonly PublicJwk[] }
  readonly revocations: ReplicaOptions
}

export interface IssuerServerConfig extends ResourceServerConfig {
  readonly signingKey: Record<string, unknown>
  readonly session: { readonly reuseGraceMs?: number }
}

/** An issuer that shares its signing keys with others. */
export interface RotatingIssuerConfig {
  readonly redis: RedisPlace
  readonly rotation: RotationOptions
  readonly accessTokenTtlSeconds: number
}

/** A resource server that fetches its keys. */
export interface DiscoveringServerConfig {
  readonly redis: RedisPlace
  readonly jwksUri: string
  readonly jwksCache: JwksCacheOptions
}

export interface WorkerMemory {
  readonly rssMb: number
  /** Heap and what hangs on it outside, after a collection. */
  readonly heapMb: number
  readonly timers: number
  readonly sockets: number
}

export interface ReplicaStatus {
  readonly state: 'starting' | 'live' | 'stale' | 'closed'
  readonly stalenessMs: number
  readonly entries: number
}
