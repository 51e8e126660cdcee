import express from 'express'
import { createIssuer } from 'express-kickout/issuer'
import { redisKeyStore, redisStore } from 'express-kickout/redis'
import { audience, issuer as issuerUrl } from '../../support/make-token.ts'
import type { RotatingIssuerConfig } from './places.ts'
import { connectTo, readConfig, serve } from './serve.ts'

const { redis, rotation, accessTokenTtlSeconds } = readConfig() as RotatingIssuerConfig
const created: string[] = []
let failures = 0
const issuer = createIssuer({
  issuer: issuerUrl,
  audience,
  keyStore: redisKeyStore(connectTo(redis), {
    encryptionKey: 'a secret of thirty-two bytes or more, for keys of drills',
    rotation,
  }),
  refreshTokenSecret: 'a secret of thirty-two bytes or more, for drills only',
  store: redisStore(connectTo(redis)),
  accessTokenTtlSeconds,
  dangerouslyAllowAnyAccessTokenTtl: true,
  onEvent(event) {
    if (event.type === 'signing_key.created') created.push(event.kid)
    if (event.type === 'signing_keys.failed') failures++
  },
})
await issuer.ready()

const app = express()
app.disable('x-powered-by').disable('etag')
app.use(issuer.router)
app.post('/login', express.json(), (req, res, next) => {
  const { subject } = req.body as { subject: string }
  issuer.startSession({ subject }).then((tokens) => issuer.send(res, tokens), next)
})

serve(app, { created: () => created, failures: () => failures })
