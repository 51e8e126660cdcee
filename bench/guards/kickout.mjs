import { authErrorHandler, requireAuth, requireScope } from 'express-kickout'
import { redisRevocations } from 'express-kickout/redis'
import { Redis } from 'ioredis'

export async function guard({ issuer, audience, jwksUri, scope, redisPort }) {
  const revocations = redisRevocations(new Redis(redisPort))
  const middleware = requireAuth({ issuer, audience, jwksUri, revocations })
  await middleware.ready()
  return {
    middleware,
    scopeCheck: requireScope(scope),
    errorHandler: authErrorHandler(),
    revocations,
  }
}
