import type { RedisRevocationsOptions } from 'express-kickout/redis'
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
