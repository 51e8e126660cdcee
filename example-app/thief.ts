import { randomUUID } from 'node:crypto'
import express, { type Request, type RequestHandler, type Router } from 'express'

export interface ThiefOptions {
  issuerUrl: string
  apiUrls: readonly string[]
  guard: RequestHandler
}

interface Loot {
  refreshToken: string
  accessToken: string
}

/**
 * Demo only: plays a thief who has copied the refresh cookie off your disk, which no script of the page could. The server
 * can play it because the cookie comes along with this very request.
 */
export function thiefRouter({ issuerUrl, apiUrls, guard }: ThiefOptions): Router {
  const router = express.Router()
  const hideouts = new Map<string, Loot>()
  const cookieName = `refresh_token_${new URL(issuerUrl).port}`

  /** What a program does that has the cookie: no browser holds it back, so it claims whatever origin it likes. */
  async function refresh(refreshToken: string): Promise<{ status: number; loot?: Loot }> {
    const answer = await fetch(`${issuerUrl}/token`, {
      method: 'POST',
      headers: { Cookie: `${cookieName}=${refreshToken}`, Origin: new URL(issuerUrl).origin },
      body: new URLSearchParams({ grant_type: 'refresh_token' }),
    })
    if (!answer.ok) return { status: answer.status }
    const { access_token: accessToken } = (await answer.json()) as { access_token: string }
    return {
      status: answer.status,
      loot: { accessToken, refreshToken: readCookie(answer.headers.getSetCookie().join('; ')) },
    }
  }

  async function readNotes(loot: Loot): Promise<number> {
    const headers = { Authorization: `Bearer ${loot.accessToken}` }
    return (await fetch(`${apiUrls[0] ?? ''}/notes`, { headers })).status
  }

  // Twice: the token before the current one still counts for a few seconds, since an answer may be lost on its way.
  router.post('/', guard, async (req, res) => {
    const first = await refresh(readCookie(cookiesOf(req)))
    const second = first.loot ? await refresh(first.loot.refreshToken) : first
    if (!second.loot) {
      res.status(409).json({ error: 'The thief came too late: that cookie is worth nothing' })
      return
    }
    const id = randomUUID()
    hideouts.set(id, second.loot)
    res.json({ id, refresh: second.status, notes: await readNotes(second.loot) })
  })

  // No guard: the user is signed out by now.
  router.post('/:id/again', async (req, res) => {
    const loot = hideouts.get(req.params.id)
    hideouts.delete(req.params.id)
    if (!loot) {
      res.status(404).json({ error: 'There is no such thief' })
      return
    }
    res.json({ refresh: (await refresh(loot.refreshToken)).status, notes: await readNotes(loot) })
  })

  return router
}

function cookiesOf(req: Request): string {
  return req.headers.cookie ?? ''
}

function readCookie(header: string): string {
  return /(?:^|; )refresh_token_\d+=([^;]*)/.exec(header)?.[1] ?? ''
}
