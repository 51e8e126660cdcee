import express from 'express'
import { authErrorHandler, requireAuth } from 'express-kickout'
import { redisRevocations } from 'express-kickout/redis'
import { audience, issuer } from '../../support/make-token.ts'
import type { DiscoveringServerConfig } from './places.ts'
import { connectTo, readConfig, serve } from './serve.ts'

const { redis, jwksUri, jwksCache } = readConfig() as DiscoveringServerConfig
const revocations = redisRevocations(connectTo(redis), { issuer })
const guard = requireAuth({ issuer, audience, jwksUri, jwksCache, revocations })
await guard.ready()

const app = express()
app.disable('x-powered-by').disable('etag')
app.get('/', guard, (_req, res) => {
  res.end('in')
})
app.use(authErrorHandler())

serve(app, { stats: () => guard.stats() })
