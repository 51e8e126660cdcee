import { authErrorHandler, memoryReplayStore, requireAuth, requireScope } from 'express-kickout'
import { redisRevocations } from 'express-kickout/redis'
import { Redis } from 'ioredis'

/** The store has room for more than a race can send within the life of a proof. */
const maxEntries = 10_000_000

export async function guard({ issuer, audience, jwksUri, scope, redisPort, publicUrl }) {
  const revocations = redisRevocations(new Redis(redisPort))
  const dpop = { required: true, publicUrl, replay: memoryReplayStore({ maxEntries }) }
  const middleware = requireAuth({ issuer, audience, jwksUri, revocations, dpop })
  await middleware.ready()
  return {
    middleware,
    scopeCheck: requireScope(scope),
    errorHandler: authErrorHandler(),
    revocations,
  }
}
