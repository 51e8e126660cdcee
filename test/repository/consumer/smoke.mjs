// A resource server on the installed package: a token works until its owner is kicked out.
// Ends by itself, since nothing of the package keeps a process alive.
import assert from 'node:assert/strict'
import express from 'express'
import { getAuth, requireAuth } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'

const issuer = createTestIssuer()
const app = express()
app.use(requireAuth(issuer.options))
app.get('/', (req, res) => res.json({ subject: getAuth(req).subject }))

const server = app.listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const get = (headers) => fetch(`http://127.0.0.1:${server.address().port}/`, { headers })
const authorization = `Bearer ${await issuer.token({ subject: 'u1' })}`

const anonymous = await get({})
assert.equal(anonymous.status, 401)
assert.match(anonymous.headers.get('www-authenticate'), /^Bearer realm=/)

const known = await get({ authorization })
assert.equal(known.status, 200)
assert.deepEqual(await known.json(), { subject: 'u1' })

await issuer.kickOut({ subject: 'u1' })
assert.equal((await get({ authorization })).status, 401)

server.close()
server.closeAllConnections()
console.log('kicked out')
