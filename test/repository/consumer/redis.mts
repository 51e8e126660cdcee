// A typed consumer of the Redis entry. Compiled, never run.
import { Redis } from 'ioredis'
import type { Revocations } from 'express-kickout'
import { createIssuer } from 'express-kickout/issuer'
import { redisRevocations, redisStore } from 'express-kickout/redis'

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
