import { authErrorHandler, requireAuth, requireScope } from 'express-kickout'
import { postgresRevocations } from 'express-kickout/postgres'
import pg from 'pg'

export async function guard({ issuer, audience, jwksUri, scope, databaseUrl }) {
  const revocations = postgresRevocations(new pg.Pool({ connectionString: databaseUrl }))
  const middleware = requireAuth({ issuer, audience, jwksUri, revocations })
  await middleware.ready()
  return {
    middleware,
    scopeCheck: requireScope(scope),
    errorHandler: authErrorHandler(),
    revocations,
  }
}
