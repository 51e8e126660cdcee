import { randomBytes } from 'node:crypto'
import express from 'express'
import { createIssuer, hashClientSecret } from 'express-kickout/issuer'
import { redisStore } from 'express-kickout/redis'
import { Redis } from 'ioredis'

/** @param machine - `{ clientId, secret }`, where a machine is to get tokens; without it there are no clients */
export function issuer({ issuer: iss, audience, scope, privateJwk, redisPort, secret, machine }) {
  const issuing = createIssuer({
    issuer: iss,
    audience,
    signingKeys: [privateJwk],
    refreshTokenSecret: [secret ?? randomBytes(32).toString('base64url')],
    store: redisStore(new Redis(redisPort)),
    ...(machine && {
      clients: [
        {
          clientId: machine.clientId,
          secretHashes: [hashClientSecret(machine.secret)],
          grants: ['client_credentials'],
          scopes: [scope],
        },
      ],
    }),
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
