import type { RedisPlace } from '../drills/support/places.ts'
import type { PublicJwk } from '../support/make-token.ts'

interface HostAndPort {
  readonly host: string
  readonly port: number
}

export type Place = RedisPlace | ({ readonly kind: 'postgres' } & HostAndPort)

/** What a process of the run is told. */
export interface ServerConfig {
  readonly place: Place
  /** Where this process reaches each server of the store: `host:port` to a proxy. */
  readonly proxies: Readonly<Record<string, HostAndPort>>
  readonly jwks: { readonly keys: readonly PublicJwk[] }
  readonly signingKey: Record<string, unknown>
  readonly maxStalenessMs: number
  readonly reuseGraceMs: number
  readonly retentionSeconds: number
  readonly minReplicas: number
  readonly partitions: number
}
