import express from 'express'
import { redisRevocations } from 'express-kickout/redis'
import { backChannelLogout } from 'express-kickout/signals'
import { Redis } from 'ioredis'
import { answer } from '../processes/child.mjs'
import { listen } from '../processes/listen.mjs'

answer({
  /** What a provider sends its logout tokens to. */
  async start({ issuer, clientId, jwksUri, redisPort }) {
    const revocations = redisRevocations(new Redis(redisPort))
    const logout = backChannelLogout({ issuer, clientId, jwksUri, revocations })
    await logout.ready()
    const app = express()
    app.post('/logout', logout)
    return { port: await listen(app) }
  },
})
