// A resource server that follows kick-outs on Redis; its last line is every CommonJS file that was loaded.
import { createRequire } from 'node:module'
import { requireAuth } from 'express-kickout'
import { redisRevocations } from 'express-kickout/redis'

const revocations = redisRevocations('redis://127.0.0.1:1')
requireAuth({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
  revocations,
})

console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache)))
process.exit()
