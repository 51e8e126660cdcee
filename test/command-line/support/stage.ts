import { afterEach } from '@jest/globals'
import {
  createIssuer,
  generateSigningKey,
  type Issuer,
  type SessionStore,
} from '../../../src/issuer/index.ts'
import { redisKeyStore, redisStore } from '../../../src/redis/index.ts'
import { type RedisServer, startRedis } from '../../support/redis-server.ts'
import { type FollowingServer, startServer } from './following-server.ts'

export const encryptionKey = 'a key of thirty-two bytes or more, for tests only'
export const issuerName = 'https://login.example.com'

export interface Stage {
  /** Closes a thing after the test, the last one first. */
  closing<Thing extends { stop(): unknown } | { close(): unknown }>(thing: Thing): Thing
  redis(...args: string[]): Promise<RedisServer>
  server(kind: 'redis' | 'postgres', url: string, options?: object): Promise<FollowingServer>
  issuer(store: SessionStore): Promise<Issuer>
  /** An issuer that keeps its signing keys on Redis. */
  storedKeysIssuer(url: string, algorithm?: 'ES256' | 'EdDSA'): Promise<Issuer>
  redisIssuer(url: string, options?: Parameters<typeof redisStore>[1]): Promise<Issuer>
}

/** Starts what a test needs, and closes it after the test. */
export function useStage(): Stage {
  const opened: ({ stop(): unknown } | { close(): unknown })[] = []
  afterEach(async () => {
    for (const thing of opened.splice(0).reverse()) {
      await ('stop' in thing ? thing.stop() : thing.close())
    }
  })
  const stage: Stage = {
    closing(thing) {
      opened.push(thing)
      return thing
    },
    redis: async (...args) => stage.closing(await startRedis({ args })),
    server: async (kind, url, options) => stage.closing(await startServer(kind, url, options)),
    issuer: async (store) =>
      stage.closing(
        createIssuer({
          issuer: issuerName,
          audience: 'https://api.example.com',
          signingKeys: [await generateSigningKey()],
          refreshTokenSecret: 'a secret of thirty-two bytes or more, for tests only',
          store,
        }),
      ),
    async storedKeysIssuer(url, algorithm = 'ES256') {
      const issuer = stage.closing(
        createIssuer({
          issuer: issuerName,
          audience: 'https://api.example.com',
          keyStore: redisKeyStore(url, { encryptionKey, algorithm }),
          refreshTokenSecret: 'a secret of thirty-two bytes or more, for tests only',
          store: redisStore(url),
        }),
      )
      await issuer.ready()
      return issuer
    },
    redisIssuer: async (url, options) => stage.issuer(redisStore(url, options)),
  }
  return stage
}
