// The same as CommonJS; prints every file that was loaded.
const { requireAuth } = require('express-kickout')
const { redisRevocations } = require('express-kickout/redis')

const revocations = redisRevocations('redis://127.0.0.1:1')
requireAuth({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
  revocations,
})

console.log(JSON.stringify(Object.keys(require.cache)))
process.exit()
