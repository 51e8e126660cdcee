// The application under test: CommonJS, as most projects that use Jest and supertest.
const express = require('express')
const { authErrorHandler, getAuth, requireAuth, requireScope } = require('express-kickout')

exports.createApp = (options) => {
  const app = express()
  app.use(requireAuth(options))
  app.get('/reports', requireScope('reports:read'), (req, res) => {
    res.json({ for: getAuth(req).subject })
  })
  app.use(authErrorHandler())
  return app
}
