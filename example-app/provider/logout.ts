import type { RequestHandler } from 'express'
import type { Revocations } from 'express-kickout'
import type { Issuer } from 'express-kickout/issuer'
import { backChannelLogout } from 'express-kickout/signals'
import type { SessionEnds } from '../session-ends.ts'
import type { Registration } from './acme.ts'
import { subjectOf } from './sign-in.ts'

/**
 * Who signs out of the provider, or is banned there, is signed out here: sessions, access tokens and open connections, on
 * every server.
 */
export function providerLogout(
  registration: Registration,
  { issuer, issuerUrl, ends }: { issuer: Issuer; issuerUrl: string; ends: SessionEnds },
): RequestHandler {
  // As the issuer's own, and the pages are told why they were signed out.
  const revocations: Revocations = {
    ...issuer.revocations,
    async kickOut(target, options) {
      const sessions = 'subject' in target ? await issuer.listSessions(target.subject) : []
      const result = await issuer.revocations.kickOut(target, options)
      for (const { sessionId } of sessions) ends.note(sessionId, 'provider')
      return result
    },
  }
  return backChannelLogout({
    issuer: registration.issuer,
    clientId: registration.clientId,
    revocations,
    // The token speaks of an account of the provider; what is kicked out is the user that we made of it.
    target: ({ sub }) =>
      sub === undefined ? undefined : { issuer: issuerUrl, subject: subjectOf(registration, sub) },
  })
}
