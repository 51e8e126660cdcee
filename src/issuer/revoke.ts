import { GrantError } from '../errors.ts'
import { readOwnAccessToken } from './tokens/access-token.ts'
import { emitEnded, type IssuerContext } from './context.ts'
import { type RefreshTokenParts, sessionIdOf } from './tokens/refresh-token.ts'

export interface RevokeRequest {
  readonly token: string
  readonly clientId: string | undefined
}

/** Other servers usually have it within a few milliseconds; one that is down is not waited for any longer. */
const confirmTimeoutMs = 250

/** Whether the caller may revoke a token of a client. For a public client's token it suffices to hold the token. */
async function mayRevoke(
  owner: string | undefined,
  request: RevokeRequest,
  context: IssuerContext,
): Promise<boolean> {
  if (request.clientId !== undefined) return owner === undefined || owner === request.clientId
  if (owner === undefined || !context.clients.areListed) return true
  await context.clients.assertClient(owner, undefined)
  return true
}

async function revokeRefreshToken(
  parts: RefreshTokenParts,
  request: RevokeRequest,
  context: IssuerContext,
): Promise<void> {
  const session = await context.store.find(sessionIdOf(parts))
  if (!session || !(await mayRevoke(session.clientId, request, context))) return
  await endSession(session.sessionId, 'revoked', context, session.subject)
}

async function revokeAccessToken(request: RevokeRequest, context: IssuerContext): Promise<void> {
  const token = await readOwnAccessToken(request.token, context)
  if (!token || !(await mayRevoke(token.clientId, request, context))) return
  const { jti, subject, exp } = token
  await context.revocations.kickOut(
    { issuer: context.issuer, token: { jti, subject, exp } },
    { confirmTimeoutMs },
  )
}

/**
 * Revokes a token. A refresh token, superseded ones included, ends its session; an access token is out on every resource
 * server. An unknown token, and another client's, changes nothing and is no error.
 *
 * @throws GrantError `invalid_client` where the token's client has to authenticate and did not
 * @throws UnavailableError when the store failed
 * @see RFC 7009 §2
 */
export async function revoke(request: RevokeRequest, context: IssuerContext): Promise<void> {
  if (request.token === '')
    throw new GrantError('invalid_request', 'missing', 'The parameter "token" is missing')
  const parts = context.refreshTokens.read(request.token)
  await (parts ? revokeRefreshToken(parts, request, context) : revokeAccessToken(request, context))
}

/** Ends one session and revokes its access tokens. */
export async function endSession(
  sessionId: string,
  reason: 'revoked' | 'logout' | 'replaced' | 'suspicious' | 'app',
  context: IssuerContext,
  subject?: string,
): Promise<boolean> {
  const { sessionsEnded } = await context.revocations.kickOut(
    { issuer: context.issuer, session: sessionId },
    { confirmTimeoutMs },
  )
  if (sessionsEnded > 0) emitEnded(context, sessionId, reason, subject)
  return sessionsEnded > 0
}
