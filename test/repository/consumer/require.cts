// A typed CommonJS consumer. Compiled, never run.
import kickout = require('express-kickout')
import issuerEntry = require('express-kickout/issuer')

export const guard = kickout.requireAuth({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
})
export const store: ReturnType<typeof issuerEntry.memoryStore> = issuerEntry.memoryStore()
