// A typed consumer of the Redis entry. Compiled, never run.
import { Redis } from 'ioredis'
import { memoryReplayStore, type ReplayStore, requireAuth, type Revocations } from 'express-kickout'
import { createIssuer, type ExternalSigningKey, type KeyStore } from 'express-kickout/issuer'
import {
  redisKeyStore,
  redisReplayStore,
  redisRevocations,
  redisStore,
} from 'express-kickout/redis'

const redis = new Redis({ lazyConnect: true })

export const revocations: Revocations = redisRevocations(redis, {
  issuer: 'https://login.example.com',
  mode: 'replica',
  whenStale: 'lookup',
})

export const issuer = createIssuer({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
  signingKeys: [],
  refreshTokenSecret: ['0123456789abcdef0123456789abcdef'],
  store: redisStore(redis),
})

const keyStore: KeyStore = redisKeyStore(redis, {
  encryptionKey: [new Uint8Array(32), '0123456789abcdef0123456789abcdef'],
  algorithm: 'ES256',
  rotation: { everyDays: 90, publishAheadSeconds: 1200, keepSeconds: 610 },
})

export const rotating = createIssuer({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
  keyStore,
  refreshTokenSecret: ['0123456789abcdef0123456789abcdef'],
})

declare const external: ExternalSigningKey

export const rotated: Promise<{ kid: string; signsAt: number }> = issuer.rotateSigningKey(external)

export const replay: ReplayStore = redisReplayStore(redis)

export const guard = requireAuth({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
  dpop: { publicUrl: 'https://api.example.com', replay, algorithms: ['ES256'] },
  mtls: { certificate: { header: 'client-cert', format: 'rfc9440' } },
})

export const own = requireAuth({
  issuer: 'http://localhost:3000',
  audience: 'https://api.example.com',
  dpop: { replay: memoryReplayStore({ maxEntries: 1000 }), nonce: { secret: new Uint8Array(32) } },
  mtls: { certificate: 'socket', required: true },
})
