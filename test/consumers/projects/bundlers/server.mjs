// A server to bundle: prints what a token gets before and after the kick-out.
import { createServer } from 'node:http'
import express from 'express'
import { authErrorHandler, getAuth, requireAuth, requireScope } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'
import { story } from './story.cjs'

const issuer = createTestIssuer()
const app = express()
app.use(requireAuth(issuer.options))
app.get('/', requireScope('a'), (req, res) => res.json(getAuth(req).subject))
app.use(authErrorHandler())
await story(createServer(app), issuer)
