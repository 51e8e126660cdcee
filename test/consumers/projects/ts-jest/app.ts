import express, { type Express } from 'express'
import { authErrorHandler, getAuth, requireAuth, requireScope } from 'express-kickout'
import type { RequireAuthOptions } from 'express-kickout'

export function createApp(options: RequireAuthOptions): Express {
  const app = express()
  app.use(requireAuth(options))
  app.get('/reports', requireScope('reports:read'), (req, res) => {
    res.json({ for: getAuth(req).subject })
  })
  app.use(authErrorHandler())
  return app
}
