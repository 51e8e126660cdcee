import express from 'express'
import { authErrorHandler, requireAuth } from 'express-kickout'
import { redisRevocations } from 'express-kickout/redis'
import { audience, issuer } from '../../support/make-token.ts'
import type { ResourceServerConfig } from './places.ts'
import { connectTo, readConfig, serve } from './serve.ts'

const config = readConfig() as ResourceServerConfig
const eventCounts = new Map<string, number>()
const revocations = redisRevocations(connectTo(config.redis), {
  ...config.revocations,
  issuer,
  onEvent: ({ type }) => eventCounts.set(type, (eventCounts.get(type) ?? 0) + 1),
})
const guard = requireAuth({ issuer, audience, jwks: config.jwks, revocations })
guard.ready().catch(() => undefined)

const app = express()
app.disable('x-powered-by').disable('etag')
app.get('/', guard, (_req, res) => {
  res.end('in')
})
app.use(authErrorHandler())

serve(app, {
  status: () => revocations.status(),
  events: () => Object.fromEntries(eventCounts),
  /** Holds the event loop, as a huge JSON or a hot regular expression does. */
  stall(ms: number) {
    const until = Date.now() + ms
    while (Date.now() < until);
  },
})
