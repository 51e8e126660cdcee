import express from 'express'
import { authErrorHandler, requireAuth } from 'express-kickout'
import { adminRouter } from 'express-kickout/admin'
import { createIssuer } from 'express-kickout/issuer'
import { redisStore } from 'express-kickout/redis'
import { audience, issuer as issuerUrl } from '../../support/make-token.ts'
import type { IssuerServerConfig } from './places.ts'
import { connectTo, readConfig, serve } from './serve.ts'

const config = readConfig() as IssuerServerConfig
const { partitions, prefix, minReplicas } = config.revocations
const eventCounts = new Map<string, number>()
const issuer = createIssuer({
  issuer: issuerUrl,
  audience,
  signingKeys: [config.signingKey],
  refreshTokenSecret: 'a secret of thirty-two bytes or more, for drills only',
  session: config.session,
  store: redisStore(connectTo(config.redis), {
    ...(partitions !== undefined && { partitions }),
    ...(prefix !== undefined && { prefix }),
    ...(minReplicas !== undefined && { minReplicas }),
  }),
  onEvent: ({ type }) => eventCounts.set(type, (eventCounts.get(type) ?? 0) + 1),
})
const guard = requireAuth({
  issuer: issuerUrl,
  audience,
  jwks: config.jwks,
  revocations: issuer.revocations,
})
guard.ready().catch(() => undefined)

const app = express()
app.disable('x-powered-by').disable('etag')
app.use(issuer.router)
app.use('/admin', guard, adminRouter({ issuer }))
app.post('/login', express.json(), async (req, res) => {
  issuer.send(
    res,
    await issuer.startSession({ subject: (req.body as { subject: string }).subject }),
  )
})
app.use(authErrorHandler())

serve(app, {
  status: () => issuer.revocations.status(),
  events: () => Object.fromEntries(eventCounts),
  kickOut: async (subject: string) => issuer.kickOut({ subject }, { confirmTimeoutMs: 0 }),
})
