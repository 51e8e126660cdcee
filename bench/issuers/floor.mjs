import { createHmac, randomBytes, sign, timingSafeEqual } from 'node:crypto'
import express from 'express'
import { Redis } from 'ioredis'

const touchSession = `
redis.call('HINCRBY', KEYS[1], 'counter', 1)
return redis.call('HMGET', KEYS[1], 'counter', 'subject', 'scope', 'client')
`
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The least that a refresh grant costs; it rotates nothing and forgives everything. */
export function issuer({ issuer: iss, audience, scope, privateKey, privateJwk, redisPort }) {
  const redis = new Redis(redisPort)
  redis.defineCommand('touchSession', { numberOfKeys: 1, lua: touchSession })
  const secret = randomBytes(32)
  const header = encode({ alg: 'ES256', typ: 'at+jwt', kid: privateJwk.kid })
  const macOf = (sid) => createHmac('sha256', secret).update(sid).digest()

  function makeAccessToken(sid, [, sub, granted, client]) {
    const iat = Math.floor(Date.now() / 1000)
    const jti = randomBytes(16).toString('base64url')
    const claims = { iss, aud: audience, sub, exp: iat + 600, iat, jti, sid, scope: granted }
    const input = `${header}.${encode({ ...claims, client_id: client, session_version: 1 })}`
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' }
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
  }

  const app = express()
  app.post('/token', express.urlencoded({ extended: false }), async (req, res) => {
    const { refresh_token: refreshToken } = req.body
    const [sid, mac] = refreshToken.split('.')
    if (!timingSafeEqual(macOf(sid), Buffer.from(mac, 'base64url'))) {
      res.sendStatus(400)
      return
    }
    const session = await redis.touchSession(`floor:${sid}`)
    res.set('cache-control', 'no-store').json({
      access_token: makeAccessToken(sid, session),
      token_type: 'Bearer',
      expires_in: 600,
      refresh_token: refreshToken,
      scope: session[2],
    })
  })
  return {
    app,
    path: '/token',
    form: { client_id: 'web' },
    async startSession(subject) {
      const sid = randomBytes(16).toString('base64url')
      await redis.hset(`floor:${sid}`, { counter: 0, subject, scope, client: 'web' })
      return `${sid}.${macOf(sid).toString('base64url')}`
    },
  }
}
