import express, { type Router } from 'express'
import type { Issuer } from 'express-kickout/issuer'
import { checkPassword } from './people.ts'

/**
 * `POST /login`: where your own sign-in goes, be it a password, a passkey or another identity provider. It ends in
 * `startSession` and `send`. A client that sends a DPoP proof along has its session bound to its key. JSON only: a form of another site cannot send that, so no user is signed in unawares.
 */
export function signInRouter(issuer: Issuer, issuerUrl: string): Router {
  const router = express.Router()
  router.post('/login', express.json({ limit: '4kb' }), async (req, res) => {
    const { name, password, device } = (req.body ?? {}) as Record<string, unknown>
    if (typeof name !== 'string' || typeof password !== 'string') {
      res.status(400).json({ error: 'Send a name and a password as JSON' })
      return
    }
    const person = await checkPassword(name, password)
    if (!person) {
      res.status(401).json({ error: 'That name and password do not belong together' })
      return
    }
    const proof = req.get('DPoP')
    const tokens = await issuer.startSession({
      subject: person.id,
      scope: person.scope,
      clientId: 'notes-page',
      device: {
        name: typeof device === 'string' && device !== '' ? device : 'Unnamed device',
        userAgent: req.get('user-agent') ?? '',
      },
      ...(proof !== undefined && { dpop: { proof, url: `${issuerUrl}/login` } }),
    })
    issuer.send(res, tokens)
  })
  return router
}
