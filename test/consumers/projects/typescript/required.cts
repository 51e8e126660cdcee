import kickout = require('express-kickout')
import issuers = require('express-kickout/issuer')
import type { Auth } from 'express-kickout'

export const guard: ReturnType<typeof kickout.requireAuth> = kickout.requireAuth({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
})
export const store = issuers.memoryStore()
export type Claims = Auth['payload']
