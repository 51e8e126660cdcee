import { Redis } from 'ioredis'
import { guard as expressJwt } from './express-jwt.mjs'

/** The usual denylist: one MGET for the token, the session and the user. */
export function guard(config) {
  const redis = new Redis(config.redisPort)
  return expressJwt({
    ...config,
    async isRevoked(_req, { payload: { jti, sid, sub } }) {
      const found = await redis.mget(
        `denied:token:${jti}`,
        `denied:session:${sid}`,
        `denied:${sub}`,
      )
      return found.some((entry) => entry !== null)
    },
  })
}
