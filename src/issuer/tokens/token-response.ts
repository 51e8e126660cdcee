import { makeAccessToken, type PreparedToken } from './access-token.ts'
import type { IssuerContext } from '../context.ts'
import type { RefreshTokenParts } from './refresh-token.ts'
import type { SessionRecord } from '../sessions/session-store.ts'

/** @see RFC 6749 §5.1, RFC 9449 §5 */
export interface TokenResponse {
  /** A JWT (RFC 9068). */
  access_token: string
  /** `DPoP` where the session is bound to a key. */
  token_type: 'Bearer' | 'DPoP'
  /** Seconds. */
  expires_in: number
  /** Opaque, and good for one use. */
  refresh_token: string
  /** Absent where the session has none. */
  scope?: string
  /** The `sid` of the access token. It is given to the application and is not part of the answer of `/token`. */
  session_id: string
}

/** Tokens of a session, as a login or a refresh gives them out. `expiresAt` is the session's, milliseconds. */
export interface IssuedTokens {
  readonly response: TokenResponse
  readonly sessionTtlSeconds: number
}

/**
 * Makes the access token, unless one that fits was prepared, and the refresh token with the given counter.
 *
 * @throws UnavailableError when the access token cannot be signed
 */
export async function issueTokens(
  session: SessionRecord,
  parts: RefreshTokenParts,
  scopes: readonly string[],
  now: number,
  extraClaims: Record<string, unknown>,
  context: IssuerContext,
  prepared?: PreparedToken,
): Promise<IssuedTokens> {
  const { token, expiresInSeconds } =
    prepared?.fits(session, scopes, now) === true
      ? prepared
      : await makeAccessToken(session, scopes, now, extraClaims, context)
  return {
    response: {
      access_token: token,
      token_type: session.authentication.jkt === undefined ? 'Bearer' : 'DPoP',
      expires_in: expiresInSeconds,
      refresh_token: context.refreshTokens.make(parts, session),
      ...(scopes.length > 0 && { scope: scopes.join(' ') }),
      session_id: session.sessionId,
    },
    sessionTtlSeconds: (session.expiresAt - now) / 1000,
  }
}
