import { randomBytes } from 'node:crypto'
import express from 'express'
import { createIssuer } from 'express-kickout/issuer'
import { postgresStore } from 'express-kickout/postgres'
import pg from 'pg'

export function issuer({ issuer: iss, audience, scope, privateJwk, databaseUrl, secret }) {
  const issuing = createIssuer({
    issuer: iss,
    audience,
    signingKeys: [privateJwk],
    refreshTokenSecret: [secret ?? randomBytes(32).toString('base64url')],
    store: postgresStore(new pg.Pool({ connectionString: databaseUrl, max: 20 })),
  })
  const app = express()
  app.use(issuing.router)
  return {
    app,
    issuing,
    path: '/token',
    form: { client_id: 'web' },
    async startSession(subject) {
      const tokens = await issuing.startSession({ subject, scope, clientId: 'web' })
      return tokens.refresh_token
    },
  }
}
