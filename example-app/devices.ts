import express, { type Router } from 'express'
import { getAuth } from 'express-kickout'
import type { Issuer } from 'express-kickout/issuer'

/** "Where am I signed in?" and "sign that one out", each for the caller's own sessions only. */
export function devicesRouter(issuer: Issuer): Router {
  const router = express.Router()

  router.get('/', async (req, res) => {
    const { subject = '', sessionId } = getAuth(req)
    const sessions = await issuer.listSessions(subject)
    res.set('Cache-Control', 'no-store').json({
      sessions: sessions.map((session) => ({
        session_id: session.sessionId,
        device: session.device?.name,
        started_at: session.startedAt,
        last_seen_at: session.lastSeenAt,
        current: session.sessionId === sessionId,
      })),
    })
  })

  router.delete('/:sessionId', async (req, res) => {
    const own = await issuer.listSessions(getAuth(req).subject ?? '')
    if (!own.some(({ sessionId }) => sessionId === req.params.sessionId)) {
      res.status(404).json({ error: 'You have no such session' })
      return
    }
    await issuer.endSession(req.params.sessionId)
    res.status(204).end()
  })

  return router
}
