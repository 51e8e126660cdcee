import express from 'express'
import { authErrorHandler, requireAuth, type RevocationsEvent } from 'express-kickout'
import { adminRouter } from 'express-kickout/admin'
import { createIssuer, type IssuerEvent } from 'express-kickout/issuer'
import { readConfig, serve } from '../../drills/support/serve.ts'
import { audience, issuer as issuerUrl } from '../../support/make-token.ts'
import type { ServerConfig } from '../places.ts'
import { rememberEvents, storeOf } from './store.ts'

const config = readConfig() as ServerConfig
const { events, onEvent: remember } = rememberEvents()
/** Why the request that is being answered was refused. The issuer answers in the same turn in which it reports a refusal. */
let refusal: string | undefined
const onEvent = (event: IssuerEvent | RevocationsEvent): void => {
  if (event.type === 'grant.rejected') refusal = event.reason
  remember(event)
}
const issuer = createIssuer({
  onEvent,
  issuer: issuerUrl,
  audience,
  signingKeys: [config.signingKey],
  refreshTokenSecret: 'a secret of thirty-two bytes or more, for chaos only',
  session: { reuseGraceMs: config.reuseGraceMs },
  store: storeOf(config),
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
// For the history. A client is never told whether its refresh token was reused, expired or unknown.
app.use((_req, res, next) => {
  const json = res.json.bind(res)
  res.json = (body: object) => {
    const reason = refusal
    refusal = undefined
    return json(reason === undefined ? body : { ...body, reason })
  }
  next()
})
app.use(issuer.router)
app.use('/admin', guard, adminRouter({ issuer }))
app.post('/login', express.json(), async (req, res) => {
  const { subject, clientId, scope } = req.body as Record<string, string>
  issuer.send(
    res,
    await issuer.startSession({
      subject: subject!,
      clientId: clientId!,
      ...(scope !== undefined && { scope }),
    }),
  )
})
/** A kick-out that waits for no other server: its acknowledgement comes as early as it can. */
app.post('/kick-out', express.json(), async (req, res) => {
  await issuer.kickOut(req.body as Parameters<typeof issuer.kickOut>[0], { confirmTimeoutMs: 0 })
  res.sendStatus(200)
})
app.use(authErrorHandler())

serve(app, {
  status: () => issuer.revocations.status(),
  account: () => ({ status: issuer.revocations.status(), events }),
})
