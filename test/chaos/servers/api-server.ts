import express from 'express'
import { authErrorHandler, cutOnKickOut, requireAuth } from 'express-kickout'
import { readConfig, serve } from '../../drills/support/serve.ts'
import { audience, issuer } from '../../support/make-token.ts'
import type { ServerConfig } from '../places.ts'
import { rememberEvents, revocationsOf } from './store.ts'

const config = readConfig() as ServerConfig
const { events, onEvent } = rememberEvents()
const revocations = revocationsOf(config, issuer, onEvent)
const guard = requireAuth({ issuer, audience, jwks: config.jwks, revocations })
guard.ready().catch(() => undefined)

const app = express()
app.disable('x-powered-by').disable('etag')
app.use(guard)
app.get('/', (_req, res) => {
  res.end('in')
})
app.get('/stream', cutOnKickOut(), (_req, res) => {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.write(': open\n\n')
})
app.use(authErrorHandler())

serve(app, {
  status: () => revocations.status(),
  account: () => ({ status: revocations.status(), events }),
})
