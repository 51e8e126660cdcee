// `import` here, `require()` there: a bundle may hold two copies, which work with each other.
import { createServer } from 'node:http'
import express from 'express'
import { requireAuth } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'
import { routes } from './routes.cjs'
import { story } from './story.cjs'

const issuer = createTestIssuer()
const app = express()
app.use(requireAuth(issuer.options))
routes(app)
await story(createServer(app), issuer)
