// A typed consumer of every entry of a server. What it exports has inferred types, which declaration files must be able to name.
import 'express-kickout/augment'
import { metrics } from '@opentelemetry/api'
import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import {
  type AccessTokenClaims,
  type Auth,
  authErrorHandler,
  cutOnKickOut,
  getAuth,
  type GuardEvent,
  isAuthError,
  isUnavailableError,
  memoryReplayStore,
  memoryRevocations,
  protectedResourceMetadata,
  requireAnyScope,
  requireAuth,
  requireAuthContext,
  requireClaim,
  requireScope,
  type Revocations,
} from 'express-kickout'
import { adminRouter } from 'express-kickout/admin'
import {
  createIssuer,
  generateSigningKey,
  type Issuer,
  memoryStore,
  type TokenResponse,
} from 'express-kickout/issuer'
import { tokenVerifier } from 'express-kickout/mcp'
import { instrument } from 'express-kickout/opentelemetry'
import { postgresRevocations, postgresStore, schemaSql } from 'express-kickout/postgres'
import { redisRevocations, redisStore } from 'express-kickout/redis'
import { backChannelLogout } from 'express-kickout/signals'
import { createTestIssuer } from 'express-kickout/testing'
import {
  acceptUpgrades,
  getConnection,
  graphqlWsAuth,
  socketIoAuth,
} from 'express-kickout/websocket'
import { Redis } from 'ioredis'
import { Pool } from 'pg'

export const redis = new Redis({ lazyConnect: true })
export const pool = new Pool()

export const memory = memoryRevocations({ issuer: 'https://login.example.com' })
export const onRedis: Revocations = redisRevocations(redis, { issuer: 'https://login.example.com' })
export const onPostgres: Revocations = postgresRevocations(pool, {
  issuer: 'https://login.example.com',
})
export const stores = [memoryStore(), redisStore(redis), postgresStore(pool)]
export const replay = memoryReplayStore()
export const sql = schemaSql({ schema: 'kickout' })

export const guard = requireAuth({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
  revocations: memory,
  onEvent: (event: GuardEvent) => event.type,
})
export const handlers: RequestHandler[] = [guard, requireScope('a'), cutOnKickOut()]
export const errors: ErrorRequestHandler = authErrorHandler()
export const routeGuards = {
  scope: requireScope('a'),
  any: requireAnyScope('a', 'b'),
  claim: requireClaim('tenant', (value) => value === 't1'),
  context: requireAuthContext({ maxAgeSeconds: 300 }),
}
export const metadata = protectedResourceMetadata({
  resource: 'https://api.example.com',
  authorizationServers: ['https://login.example.com'],
})

const app = express()
app.use(metadata, guard)
app.get('/reports/:id', requireScope('a'), (req, res) => {
  const auth: Auth<AccessTokenClaims> = getAuth(req)
  const id: string = req.params.id
  res.json({ id, for: auth.subject, same: req.auth?.subject, gone: auth.signal.aborted })
})

export const signingKey = generateSigningKey('ES256')
export async function makeIssuer(): Promise<Issuer> {
  return createIssuer({
    issuer: 'https://login.example.com',
    audience: 'https://api.example.com',
    signingKeys: [await signingKey],
    refreshTokenSecret: ['0123456789abcdef0123456789abcdef'],
    store: memoryStore(),
  })
}
export async function signIn(): Promise<TokenResponse> {
  const issuer = await makeIssuer()
  app.use('/admin', adminRouter({ issuer }))
  return issuer.startSession({ subject: 'u1', scope: 'a' })
}
export const admin = adminRouter({ revocations: memory })
export const logout = backChannelLogout({
  issuer: 'https://login.example.com',
  clientId: 'web',
  revocations: memory,
})
export const stop = instrument({ guards: guard, meterProvider: metrics.getMeterProvider() })
export const testIssuer = createTestIssuer()
export const sockets = {
  acceptUpgrades,
  getConnection,
  graphqlWs: graphqlWsAuth(guard),
  io: socketIoAuth(guard),
}
export const mcp = tokenVerifier
export const header = testIssuer.token().then(() => getAuth({}).header)

export function tell(error: unknown): string {
  if (isUnavailableError(error)) return error.reason
  return isAuthError(error) ? `${error.code} ${error.reason}` : 'unknown'
}
