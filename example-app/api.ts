import express, { type Express } from 'express'
import {
  type AuthHandler,
  authErrorHandler,
  getAuth,
  requireAuth,
  requireScope,
  type ReplayStore,
  type Revocations,
} from 'express-kickout'
import helmet from 'helmet'
import { cors } from './cors.ts'
import { liveFeed } from './live-feed.ts'
import type { Notebook } from './notebook.ts'

export interface ApiOptions {
  name: string
  issuer: string
  audience: string
  /** What is kicked out: the whole difference between this API and one that trusts a token until it expires. */
  revocations: Revocations
  /** The root of this API as clients see it: what proofs of bound tokens are compared with. */
  publicUrl: string
  replay: ReplayStore
  notebook: Notebook
  /** The page's origin, which is not ours. */
  pageOrigin: string
}

/** A resource server. It sees access tokens only: no password, no refresh token, no cookie. */
export function createApi(options: ApiOptions): { app: Express; guard: AuthHandler } {
  const { issuer, audience, revocations, publicUrl, replay, notebook } = options
  const app = express()
  const guard = requireAuth({
    ...{ issuer, audience, revocations, realm: 'notes' },
    dpop: { publicUrl, replay },
  })

  app.use(helmet())
  app.use(cors(options.pageOrigin)) // before the guard: a preflight carries no token
  app.use(guard)

  app.get('/notes', requireScope('notes:read'), (_req, res) => {
    res.json({ notes: notebook.list() })
  })

  app.post('/notes', requireScope('notes:write'), express.json({ limit: '4kb' }), (req, res) => {
    const { text } = (req.body ?? {}) as { text?: unknown }
    if (typeof text !== 'string' || text.trim() === '' || text.length > 200) {
      res.status(400).json({ error: 'A note is a text of 1 to 200 characters' })
      return
    }
    res.status(201).json(notebook.add(getAuth(req).subject ?? 'unknown', text.trim()))
  })

  app.get('/live', requireScope('notes:read'), liveFeed(notebook, options.name))

  app.use(authErrorHandler())
  return { app, guard }
}
