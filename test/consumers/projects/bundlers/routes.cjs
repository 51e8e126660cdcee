const { authErrorHandler, getAuth, requireScope } = require('express-kickout')

exports.routes = (app) => {
  app.get('/', requireScope('a'), (req, res) => res.json(getAuth(req).subject))
  app.use(authErrorHandler())
}
