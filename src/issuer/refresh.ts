import { GrantError, UnavailableError } from '../errors.ts'
import { emitEnded, emitSession, type IssuerContext } from './context.ts'
import { type RefreshTokenParts, sessionIdOf } from './refresh-token.ts'
import { scopeError, splitRequestedScope } from './scope.ts'
import type { RotateOutcome } from './session.ts'
import { type IssuedTokens, issueTokens } from './token-response.ts'

export interface RefreshRequest {
  readonly refreshToken: string
  readonly scope: string | undefined
  /** The client that the request authenticated as, where it said so. */
  readonly clientId: string | undefined
}

/** A refusal; `sessionIsOver` tells cookie mode that the cookie is worth nothing any more. */
export class RefreshRefused extends GrantError {
  readonly sessionIsOver: boolean

  constructor(reason: string, sessionIsOver: boolean) {
    super('invalid_grant', reason, 'The refresh token is not valid')
    this.sessionIsOver = sessionIsOver
  }
}

type Granted = Extract<RotateOutcome, { counter: number }>

const eventOf = {
  rotated: 'session.refreshed',
  retried: 'refresh.retried',
  fast_forwarded: 'refresh.fast_forwarded',
} as const

/**
 * A session whose client authenticates must not be refreshed by somebody who does not say who they are. Costs a look-up,
 * only where clients are listed and the request names none.
 */
async function clientOf(
  request: RefreshRequest,
  sessionId: string,
  context: IssuerContext,
): Promise<string | undefined> {
  if (request.clientId !== undefined || !context.clients.areListed) return request.clientId
  const session = await context.store.find(sessionId)
  return session?.clientId === undefined
    ? undefined
    : context.clients.assertClient(session.clientId, undefined)
}

async function rotate(
  parts: RefreshTokenParts,
  request: RefreshRequest,
  context: IssuerContext,
): Promise<Granted> {
  const sessionId = sessionIdOf(parts)
  const outcome = await context.store.rotate({
    sessionId,
    counter: parts.counter,
    clientId: await clientOf(request, sessionId, context),
    scopes: splitRequestedScope(request.scope),
    graceMs: context.session.reuseGraceMs,
    idleTtlMs: context.session.idleTtlMs,
  })
  switch (outcome.outcome) {
    case 'rotated':
    case 'retried':
    case 'fast_forwarded':
      return outcome
    case 'reused':
      emitSession(context, 'refresh.reused', outcome.session)
      emitEnded(context, sessionId, 'reused', outcome.session.subject)
      throw new RefreshRefused('reused', true)
    case 'scope':
      throw scopeError()
    case 'ended':
    case 'expired':
      throw new RefreshRefused(outcome.outcome, true)
    case 'client':
      throw new RefreshRefused('client', false)
  }
}

/**
 * Exchanges a refresh token for new tokens: MAC, client, reuse, expiry and scope, in this order, so that neither expiry
 * nor scope hides a theft. A forged token is refused before the store is asked.
 *
 * @throws GrantError `invalid_grant`, `invalid_scope`, `invalid_client`
 * @throws UnavailableError when the store, or the `claims` of the application, failed: repeat with the same token
 * @see RFC 6749 §6, RFC 9700 §4.14
 */
export async function refresh(
  request: RefreshRequest,
  context: IssuerContext,
): Promise<IssuedTokens> {
  const parts = context.refreshTokens.read(request.refreshToken)
  if (!parts) throw new RefreshRefused('unknown', false)
  const { outcome, session, counter, now } = await rotate(parts, request, context)
  const scopes = splitRequestedScope(request.scope) ?? session.scopes
  const tokens = await issueTokens(session, { ...parts, counter }, scopes, now, context).catch(
    (cause: unknown) => {
      throw new UnavailableError(
        'sessions',
        'The access token could not be made: "claims" failed',
        { cause },
      )
    },
  )
  emitSession(context, eventOf[outcome], session)
  return tokens
}
