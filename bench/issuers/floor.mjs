import { createHash, createHmac, randomBytes, sign, timingSafeEqual } from 'node:crypto'
import express from 'express'
import { Redis } from 'ioredis'

const touchSession = `
redis.call('HINCRBY', KEYS[1], 'counter', 1)
return redis.call('HMGET', KEYS[1], 'counter', 'subject', 'scope', 'client')
`
const hashOf = (text) => createHash('sha256').update(text).digest()
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The least that a grant costs; it rotates nothing, forgives everything, and checks no request. */
export function issuer({
  issuer: iss,
  audience,
  scope,
  privateKey,
  privateJwk,
  redisPort,
  machine,
}) {
  const redis = new Redis(redisPort)
  redis.defineCommand('touchSession', { numberOfKeys: 1, lua: touchSession })
  const secret = randomBytes(32)
  const header = encode({ alg: 'ES256', typ: 'at+jwt', kid: privateJwk.kid })
  const secretHash = machine && hashOf(machine.secret)
  const macOf = (sid) => createHmac('sha256', secret).update(sid).digest()

  function makeToken(own) {
    const iat = Math.floor(Date.now() / 1000)
    const jti = randomBytes(16).toString('base64url')
    const input = `${header}.${encode({ iss, aud: audience, exp: iat + 600, iat, jti, ...own })}`
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' }
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
  }

  function makeAccessToken(sid, [, sub, granted, client]) {
    return makeToken({ sub, sid, scope: granted, client_id: client, session_version: 1 })
  }

  /** For a machine: a hash of its secret, one command, one signature. */
  async function grantToMachine({ authorization }, wanted) {
    const pair = Buffer.from(authorization.slice('Basic '.length), 'base64').toString()
    const [clientId, presented] = pair.split(':')
    if (clientId !== machine.clientId || !timingSafeEqual(hashOf(presented), secretHash)) return
    if (await redis.exists(`floor:kicked-out:${clientId}`)) return
    return {
      access_token: makeToken({ sub: clientId, client_id: clientId, scope: wanted }),
      token_type: 'Bearer',
      expires_in: 600,
      scope: wanted,
    }
  }

  const app = express()
  app.post('/token', express.urlencoded({ extended: false }), async (req, res) => {
    const { refresh_token: refreshToken, grant_type: grantType } = req.body
    if (grantType === 'client_credentials') {
      const granted = await grantToMachine(req.headers, req.body.scope)
      res.status(granted ? 200 : 401).set('cache-control', 'no-store')
      res.json(granted ?? { error: 'invalid_client' })
      return
    }
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
