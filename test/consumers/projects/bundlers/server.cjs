// The same in CommonJS.
const { createServer } = require('node:http')
const express = require('express')
const { authErrorHandler, getAuth, requireAuth, requireScope } = require('express-kickout')
const { createTestIssuer } = require('express-kickout/testing')
const { story } = require('./story.cjs')

const issuer = createTestIssuer()
const app = express()
app.use(requireAuth(issuer.options))
app.get('/', requireScope('a'), (req, res) => res.json(getAuth(req).subject))
app.use(authErrorHandler())
story(createServer(app), issuer)
