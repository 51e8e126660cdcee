import { randomUUID } from 'node:crypto'
import type { JWTPayload } from 'jose'
import { createLocalJWKSet } from 'jose/jwks/local'
import { compactVerify } from 'jose/jws/compact/verify'
import type { AccessTokenClaims } from '../../auth.ts'
import type { ExtraClaims } from '../options.ts'
import { type SessionRecord, toSessionInfo } from '../sessions/session-store.ts'
import type { IssuerKeys } from '../keys/signing-keys.ts'
import type { RefreshTokens } from './refresh-token.ts'

/** Claims that this issuer sets itself. The application's `claims` may not contain them. */
const ownClaims = new Set([
  'iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'client_id', 'azp', 'scope', 'scp', 'sid', 'session_version',
  'auth_time', 'acr', 'amr', 'cnf', 'nonce', 'at_hash', 'events',
]) // prettier-ignore

export interface AccessTokenSettings {
  readonly issuer: string
  readonly audience: string | readonly string[]
  readonly keys: IssuerKeys
  readonly accessTokenTtlSeconds: number
  readonly claims: ExtraClaims | undefined
  /** Tells how the user of a session has signed in last. */
  readonly refreshTokens: Pick<RefreshTokens, 'authenticationOf'>
}

/**
 * Asks the application for its claims.
 *
 * @throws TypeError when they name a claim of ours; whatever `claims` throws
 */
export async function readExtraClaims(
  session: SessionRecord,
  claims: ExtraClaims | undefined,
): Promise<Record<string, unknown>> {
  const given = (await claims?.(toSessionInfo(session))) ?? {}
  // As the token will carry them: what cannot be written down is found out here, before anything has moved.
  const extra = JSON.parse(JSON.stringify(given)) as Record<string, unknown>
  const own = Object.keys(extra).find((name) => ownClaims.has(name))
  if (own !== undefined) {
    throw new TypeError(
      `createIssuer: option "claims" must not set "${own}", which the issuer sets itself`,
    )
  }
  return extra
}

/** 122 random bits of those that Node.js keeps at hand for UUIDs; fetching fresh ones costs ten times as much. */
export function newTokenId(): string {
  return Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')
}

export interface AccessToken {
  readonly token: string
  /** Shorter than `accessTokenTtlSeconds` where the session ends sooner. */
  readonly expiresInSeconds: number
}

/** What a guard accepts by default. A longer token would be refused by every resource server, after a login that worked. */
const maxAccessTokenBytes = 8192

/** What the token of a session says. `jti` and `iat` are of this token, all else is of the session. */
function claimsOf(
  session: SessionRecord,
  scopes: readonly string[],
  { jti, iat }: { readonly jti: string; readonly iat: number },
  extra: Record<string, unknown>,
  settings: AccessTokenSettings,
): JWTPayload & { readonly exp: number } {
  // An access token must not outlive its session, which ends for good at `absoluteUntil`.
  const exp = Math.min(
    iat + settings.accessTokenTtlSeconds,
    Math.floor(session.absoluteUntil / 1000),
  )
  const authentication = settings.refreshTokens.authenticationOf(session)
  // The callers have checked the step-up before, so this is a failure of theirs.
  if (!authentication) throw new Error('The step-up of the session was changed in the store')
  const { acr, amr, authTime, jkt } = authentication
  return {
    ...extra,
    iss: settings.issuer,
    sub: session.subject,
    aud: settings.audience as string | string[],
    exp,
    iat,
    jti,
    ...(session.clientId !== undefined && { client_id: session.clientId }),
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    sid: session.sessionId,
    session_version: session.version,
    ...(authTime !== undefined && { auth_time: authTime }),
    ...(acr !== undefined && { acr }),
    ...(amr !== undefined && { amr }),
    ...(jkt !== undefined && { cnf: { jkt } }),
  }
}

function newIdOf({ sessionId }: SessionRecord): string {
  const [partition] = sessionId.split('-', 1)
  return `${partition}-${newTokenId()}`
}

/**
 * Makes the access token of a session.
 *
 * @param now - the store's clock, milliseconds: kick-outs are judged by the same one
 * @param extra - what the application adds
 * @throws UnavailableError when it cannot be signed
 * @see RFC 9068 §2
 */
export async function makeAccessToken(
  session: SessionRecord,
  scopes: readonly string[],
  now: number,
  extra: Record<string, unknown>,
  settings: AccessTokenSettings,
): Promise<AccessToken> {
  const token = { jti: newIdOf(session), iat: Math.floor(now / 1000) }
  const claims = claimsOf(session, scopes, token, extra, settings)
  const expiresInSeconds = claims.exp - token.iat
  return { token: await signAccessToken(claims, settings), expiresInSeconds }
}

/** An access token that was signed before the session moved. */
export interface PreparedToken extends AccessToken {
  /** Whether it is what would be made of the session as it is now. */
  fits(session: SessionRecord, scopes: readonly string[], now: number): boolean
}

/** How much older than its session's last move a prepared token may be. */
const maxPreparedAgeSeconds = 5

/**
 * Makes the access token of a refresh ahead of it, for a signature that may fail: a refresh token must not be used up by a
 * signing service that is away.
 *
 * @param now - the store's clock as far as it is known, rather too early than too late
 * @throws UnavailableError when it cannot be signed
 */
export async function prepareAccessToken(
  session: SessionRecord,
  scopes: readonly string[],
  now: number,
  extra: Record<string, unknown>,
  settings: AccessTokenSettings,
): Promise<PreparedToken> {
  const facts = { jti: newIdOf(session), iat: Math.floor(now / 1000) }
  const claims = claimsOf(session, scopes, facts, extra, settings)
  const token = await signAccessToken(claims, settings)
  const text = JSON.stringify(claims)
  return {
    token,
    expiresInSeconds: claims.exp - facts.iat,
    fits(moved, granted, movedAt) {
      const ageSeconds = Math.floor(movedAt / 1000) - facts.iat
      const isOfNow = ageSeconds >= 0 && ageSeconds <= maxPreparedAgeSeconds
      return isOfNow && JSON.stringify(claimsOf(moved, granted, facts, extra, settings)) === text
    },
  }
}

/** Signs with the current key. */
export async function signAccessToken(
  payload: JWTPayload,
  { keys }: Pick<AccessTokenSettings, 'keys'>,
): Promise<string> {
  const signer = await keys.signer()
  const token = await signer.sign(payload)
  if (token.length > maxAccessTokenBytes) {
    throw new TypeError(
      `createIssuer: the access token would have ${token.length} bytes. Guards refuse more than ${maxAccessTokenBytes}, ` +
        'and many proxies more than that: let "claims" return less, or keep long lists out of the token',
    )
  }
  return token
}

/** What `POST /revoke` and `POST /introspect` need of an access token of ours. */
export interface OwnAccessToken {
  readonly claims: AccessTokenClaims
  readonly jti: string
  readonly subject: string
  readonly clientId: string | undefined
  readonly exp: number
}

/**
 * Reads an access token that this issuer has signed. Expired ones too: revoking one is no mistake.
 *
 * @returns `undefined` for anything else
 */
export async function readOwnAccessToken(
  token: string,
  settings: Pick<AccessTokenSettings, 'issuer' | 'keys'>,
): Promise<OwnAccessToken | undefined> {
  // Outside the `try`: when the issuer's own keys cannot be read, the token must not count as unknown.
  const published = await settings.keys.jwks()
  const keys = createLocalJWKSet(published)
  const algorithms = published.keys.map(({ alg }) => alg)
  try {
    const { payload, protectedHeader } = await compactVerify(token, keys, { algorithms })
    const claims = JSON.parse(new TextDecoder().decode(payload)) as JWTPayload
    const { iss, jti, sub, exp, client_id: clientId } = claims
    if (protectedHeader.typ !== 'at+jwt' || iss !== settings.issuer) return undefined
    if (jti === undefined || sub === undefined || exp === undefined) return undefined
    return {
      claims: claims as unknown as AccessTokenClaims,
      jti,
      subject: sub,
      exp,
      clientId: clientId as string | undefined,
    }
  } catch {
    return undefined
  }
}
