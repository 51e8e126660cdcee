// A typed consumer of every entry that needs no Redis. Compiled, never run.
import 'express-kickout/augment'
import express from 'express'
import {
  authErrorHandler,
  getAuth,
  isAuthError,
  memoryRevocations,
  requireAnyScope,
  requireAuth,
  requireClaim,
  requireScope,
} from 'express-kickout'
import type {
  AccessTokenClaims,
  Auth,
  GuardEvent,
  KickOutResult,
  KickOutTarget,
  Revocations,
  RevocationVerdict,
} from 'express-kickout'
import { adminRouter } from 'express-kickout/admin'
import {
  createIssuer,
  generateSigningKey,
  hashClientSecret,
  memoryStore,
} from 'express-kickout/issuer'
import type {
  Client,
  Issuer,
  IssuerEvent,
  SessionInfo,
  TokenResponse,
} from 'express-kickout/issuer'
import { type McpTokenVerifier, tokenVerifier } from 'express-kickout/mcp'
import { createTestIssuer } from 'express-kickout/testing'

const app = express()

const revocations = memoryRevocations({ issuer: 'https://login.example.com' })
export const promised: Revocations = revocations
const guard = requireAuth({
  issuer: 'https://login.example.com',
  audience: ['https://api.example.com'],
  revocations,
  onEvent: (event: GuardEvent) => event.type,
})
app.use(guard)
app.get('/reports', requireScope('reports:read'), (req, res) => {
  const auth: Auth = getAuth(req)
  const signal: AbortSignal = auth.signal
  res.json({ for: auth.subject, same: req.auth?.subject, gone: signal.aborted })
})
app.get('/any', requireAnyScope('a', 'b'), requireClaim('tenant', 't1'), (_req, res) => {
  res.end()
})
app.use(authErrorHandler())

class OAuthError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}
export const verifier: McpTokenVerifier = tokenVerifier(guard, { OAuthError })

export async function story(): Promise<boolean> {
  await guard.ready()
  const clients: Client[] = [{ clientId: 'web', secretHashes: [await hashClientSecret('secret')] }]
  const issuer: Issuer = createIssuer({
    issuer: 'https://login.example.com',
    audience: 'https://api.example.com',
    signingKeys: [await generateSigningKey('ES256')],
    refreshTokenSecret: ['0123456789abcdef0123456789abcdef'],
    store: memoryStore(),
    clients,
    claims: (session: SessionInfo) => ({ started: session.startedAt }),
    onEvent: (event: IssuerEvent) => event.type,
  })
  app.use(issuer.router)
  app.use('/admin', adminRouter({ issuer }))
  app.use('/other', adminRouter({ revocations, scope: 'ops' }))
  const tokens: TokenResponse = await issuer.startSession({ subject: 'u1', scope: 'reports:read' })
  const target: KickOutTarget = { subject: 'u1' }
  const result: KickOutResult = await issuer.kickOut(target)
  const claims: AccessTokenClaims = { iss: 'i', aud: 'a', exp: tokens.expires_in }
  const verdict: RevocationVerdict = await revocations.check(claims)
  const test = createTestIssuer()
  app.use('/test', requireAuth(test.options))
  await test.kickOut({ subject: await test.token({ subject: 'u1', scope: 'a' }) })
  await guard.close()
  return verdict.revoked && result.confirmed <= result.servers && isAuthError(new Error('x'))
}
