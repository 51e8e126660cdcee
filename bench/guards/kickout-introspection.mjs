import { authErrorHandler, requireAuth, requireScope } from 'express-kickout'
import { redisRevocations } from 'express-kickout/redis'
import { Redis } from 'ioredis'

/** The same as `kickout.mjs`, for opaque tokens. */
export async function guard({ issuer, audience, jwksUri, scope, redisPort, endpoint }) {
  const revocations = redisRevocations(new Redis(redisPort))
  const introspection = { endpoint, clientId: 'api', clientSecret: 'a secret' }
  const middleware = requireAuth({ issuer, audience, jwksUri, revocations, introspection })
  await middleware.ready()
  return { middleware, scopeCheck: requireScope(scope), errorHandler: authErrorHandler() }
}
