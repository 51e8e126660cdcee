import { EventEmitter, once } from 'node:events'
import express, { type Router } from 'express'
import type { IssuerEvent } from 'express-kickout/issuer'

const keptMs = 10 * 60_000
const maxKept = 10_000
/** A page may ask before a kick-out is confirmed everywhere, which is when its event comes. */
const patienceMs = 2000

/** Why sessions ended, for the pages that were signed out. In this process only, and for some minutes. */
export class SessionEnds {
  readonly #reasons = new Map<string, { reason: string; at: number }>()
  readonly #news = new EventEmitter().setMaxListeners(0)

  /** For `onEvent` of the issuer. */
  readonly onEvent = (event: IssuerEvent): void => {
    if (event.type === 'session.ended' && 'sessionId' in event) {
      this.note(event.sessionId, event.reason)
    }
  }

  /** The first reason counts: what is out already cannot end again. */
  note(sessionId: string, reason: string): void {
    if (this.#reasons.has(sessionId)) return
    const now = Date.now()
    for (const [id, { at }] of this.#reasons) {
      if (now - at < keptMs && this.#reasons.size < maxKept) break
      this.#reasons.delete(id)
    }
    this.#reasons.set(sessionId, { reason, at: now })
    this.#news.emit(sessionId)
  }

  /** `undefined` for a session that ended by itself, or at another instance of the login service. */
  async reasonOf(sessionId: string): Promise<string | undefined> {
    if (!this.#reasons.has(sessionId)) {
      const signal = AbortSignal.timeout(patienceMs)
      await once(this.#news, sessionId, { signal }).catch(() => undefined)
    }
    return this.#reasons.get(sessionId)?.reason
  }
}

/** `GET /:sessionId`. No guard, since the user who asks is signed out. Only the owner of a session knows its id. */
export function sessionEndsRouter(ends: SessionEnds): Router {
  const router = express.Router()
  router.get('/:sessionId', async (req, res) => {
    const reason = await ends.reasonOf(req.params.sessionId)
    res.set('Cache-Control', 'no-store').json({ reason })
  })
  return router
}
