import type { AccessTokenClaims } from '../auth.ts'
import type { IssuerContext } from './context.ts'
import type { KnownClient } from './http/client.ts'
import { readOwnAccessToken } from './tokens/access-token.ts'
import { type PresentedToken, sessionIdOf } from './tokens/refresh-token.ts'

/** @see RFC 7662 §2.2 */
export type IntrospectionAnswer =
  { readonly active: false } | ({ readonly active: true } & Readonly<Record<string, unknown>>)

/** All that is told of a token that is not active, whatever the reason. */
const inactive: IntrospectionAnswer = { active: false }

/** A client is told of tokens that are meant for it: for its own audiences, or for any of the issuer's. */
function isForClient(
  aud: AccessTokenClaims['aud'] | IssuerContext['audience'],
  { audiences }: KnownClient,
  context: IssuerContext,
): boolean {
  const own: readonly string[] = audiences ?? [context.audience].flat()
  return [aud].flat().some((name) => own.includes(name))
}

async function describeAccessToken(
  token: string,
  client: KnownClient,
  context: IssuerContext,
): Promise<IntrospectionAnswer> {
  const { claims } = (await readOwnAccessToken(token, context)) ?? {}
  if (!claims || claims.exp * 1000 <= Date.now()) return inactive
  if (!isForClient(claims.aud, client, context)) return inactive
  // Asks the store and not this process's copy: the resource server that asks has no copy of its own to compare with.
  const verdict = await context.revocations.checkNow(claims)
  if (verdict.revoked) return inactive
  const cnf = claims['cnf'] as { jkt?: unknown } | undefined
  return { ...claims, active: true, token_type: cnf?.jkt === undefined ? 'Bearer' : 'DPoP' }
}

/** The current one of a session only. It is no access token, and `token_use` says so. */
async function describeRefreshToken(
  presented: PresentedToken,
  client: KnownClient,
  context: IssuerContext,
): Promise<IntrospectionAnswer> {
  const { issuer, audience, clients } = context
  if (!isForClient(audience, client, context)) return inactive
  const session = await context.store.find(sessionIdOf(presented))
  // One that is newer than the record is genuine: the store lost a refresh, and `/token` accepts it.
  if (!session || presented.counter < session.counter) return inactive
  if (session.expiresAt <= Date.now() || !context.refreshTokens.fits(presented, session))
    return inactive
  const authentication = context.refreshTokens.authenticationOf(session)
  if (!authentication) return inactive
  const { clientId, scopes } = session
  if (clientId !== undefined && !(await clients.mayHaveSessions(clientId))) return inactive
  const { jkt, acr, authTime } = authentication
  return {
    active: true,
    token_use: 'refresh',
    iss: issuer,
    sub: session.subject,
    aud: audience,
    exp: Math.floor(session.expiresAt / 1000),
    iat: Math.floor(session.startedAt / 1000),
    sid: session.sessionId,
    ...(clientId !== undefined && { client_id: clientId }),
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    ...(acr !== undefined && { acr }),
    ...(authTime !== undefined && { auth_time: authTime }),
    ...(jkt !== undefined && { cnf: { jkt } }),
  }
}

/**
 * Says what a token of this issuer is worth now. Unknown, expired, superseded, kicked out, and meant for others: the answer
 * is the same.
 *
 * @throws UnavailableError when the store failed: never an answer that is not proved
 * @see RFC 7662 §2.2, RFC 9449 §6.2
 */
export async function introspect(
  token: string,
  client: KnownClient,
  context: IssuerContext,
): Promise<IntrospectionAnswer> {
  const presented = context.refreshTokens.read(token)
  return presented
    ? describeRefreshToken(presented, client, context)
    : describeAccessToken(token, client, context)
}
