import { fileURLToPath } from 'node:url'
import express, { type Express } from 'express'
import {
  type AuthHandler,
  authErrorHandler,
  requireAuth,
  requireScope,
  type ReplayStore,
  type Revocations,
} from 'express-kickout'
import { adminRouter } from 'express-kickout/admin'
import type { Issuer } from 'express-kickout/issuer'
import { contentSecurity } from './content-security.ts'
import { devicesRouter } from './devices.ts'
import { demoPasswords, people } from './people.ts'
import { acmeAccounts, type Registration } from './provider/acme.ts'
import { providerLogout } from './provider/logout.ts'
import { providerSignInRouter, subjectOf } from './provider/sign-in.ts'
import { type SessionEnds, sessionEndsRouter } from './session-ends.ts'
import { signInRouter } from './sign-in.ts'
import type { StalenessRecord } from './staleness-record.ts'
import { thiefRouter } from './thief.ts'

export interface LoginServiceOptions {
  issuer: Issuer
  issuerUrl: string
  audience: string
  revocations: Revocations
  replay: ReplayStore
  apiUrls: readonly string[]
  /** Why sessions ended. */
  ends: SessionEnds
  staleness: StalenessRecord
  /** A provider by which one can sign in as well. */
  provider?: Registration | undefined
  /** Shows the passwords and plays the thief. Never in earnest. */
  demo: boolean
}

const page = fileURLToPath(new URL('./page', import.meta.url))
/** The entry `express-kickout/client` as it is shipped: one file that imports nothing. Yours lies in `node_modules`. */
const client = fileURLToPath(new URL('../dist/client/index.js', import.meta.url))

/** Signs people in, keeps their sessions, serves the page. The only server that ever sees a refresh token. */
export function createLoginService(options: LoginServiceOptions): {
  app: Express
  guard: AuthHandler
} {
  const { issuer, issuerUrl, audience, revocations, replay, apiUrls, provider } = options
  const app = express()
  // The login service has guarded routes of its own, and is then a resource server like any other.
  const guard = requireAuth({
    ...{ issuer: issuerUrl, audience, revocations },
    dpop: { publicUrl: issuerUrl, replay },
  })

  app.use(contentSecurity(apiUrls))
  app.use(express.static(page))
  app.get('/kickout-client.js', (_req, res) => {
    res.sendFile(client)
  })
  app.get('/config.json', (req, res) => {
    const hasSession = /\brefresh_token/.test(req.headers.cookie ?? '')
    res.set('Cache-Control', 'no-store').json({
      apis: apiUrls,
      demo: options.demo,
      hasSession,
      provider: provider && { name: provider.name, signOutUrl: provider.signOutUrl },
    })
  })

  app.use(signInRouter(issuer, issuerUrl))
  if (provider) {
    app.use('/login/provider', providerSignInRouter({ registration: provider, issuer, issuerUrl }))
    const { ends } = options
    app.post('/backchannel-logout', providerLogout(provider, { issuer, issuerUrl, ends }))
  }
  app.use(issuer.router) // POST /token, /revoke, /logout and the keys
  app.use('/me/sessions', guard, devicesRouter(issuer))
  app.use('/goodbye', sessionEndsRouter(options.ends))
  const { handler: stalenessHandler } = options.staleness
  app.get('/admin/staleness', guard, requireScope('sessions:admin'), stalenessHandler)
  app.use('/admin', guard, adminRouter({ issuer }))

  if (options.demo) {
    app.get('/demo/people', (_req, res) => {
      const ours = people.map(({ id, name, scope }) => {
        return { id, name, scope, password: demoPasswords[id] }
      })
      const theirs = (provider ? acmeAccounts : []).map(({ id, name }) => {
        return { id: subjectOf(provider!, id), name: `${name} of ${provider!.name}` }
      })
      res.json({ people: [...ours, ...theirs] })
    })
    app.use('/demo/thief', thiefRouter({ issuerUrl, apiUrls, guard }))
  }

  app.use(authErrorHandler())
  return { app, guard }
}
