import { setTimeout } from 'node:timers/promises'
import type { AccessTokenClaims } from '../auth.ts'
import { normalizeTargetUri } from '../dpop/target-uri.ts'
import { GrantError, UnavailableError } from '../errors.ts'
import type { IssuerContext } from './context.ts'
import { assertGrant, type Requester } from './http/clients.ts'
import { tokenEndpointOf } from './http/endpoints.ts'
import { newTokenId, signAccessToken } from './tokens/access-token.ts'
import { scopeError, splitRequestedScope } from './tokens/scope.ts'

/** @see RFC 6749 §4.4.3 */
export interface MachineTokenResponse {
  readonly access_token: string
  readonly token_type: 'Bearer' | 'DPoP'
  /** Seconds. */
  readonly expires_in: number
  /** Absent where there is none. */
  readonly scope?: string
}

/** How far the clock of the store may be ahead of ours before a token for its next second is one of the future. */
const maxSkewMs = 5000
/** A kick-out of the client and one of everyone, in seconds that follow each other, and once more. */
const maxRounds = 3

function readScope(requested: string | undefined, granted: readonly string[]): readonly string[] {
  const wanted = splitRequestedScope(requested) ?? granted
  if (wanted.every((scope) => granted.includes(scope))) return wanted
  throw scopeError()
}

/**
 * Moves the `iat` past a kick-out of the client in this very second: kick-outs of clients are judged by it, in whole
 * seconds, and the token would be dead on arrival. Takes a second at most, where the clocks agree.
 */
async function livingClaims(
  made: AccessTokenClaims,
  context: IssuerContext,
): Promise<AccessTokenClaims> {
  let claims = made
  for (let round = 0; round < maxRounds; round++) {
    const verdict = await context.clientChecks.ask(claims)
    if (!verdict.revoked) return claims
    const iat = Math.floor(verdict.at / 1000) + 1
    const waitMs = iat * 1000 - Date.now()
    if (waitMs > maxSkewMs) break
    if (waitMs > 0) await setTimeout(waitMs)
    const lifetime = claims.exp - (claims.iat ?? 0)
    claims = { ...claims, iat, exp: iat + lifetime }
  }
  throw new UnavailableError('revocations', 'The client is being kicked out, or the clocks differ')
}

/**
 * Grants a machine an access token by its own right: no session, no refresh token, `sub` is the client.
 *
 * @param requester - the client that has authenticated, if one has
 * @param proofs - DPoP proofs that came along; the token is bound to the key of the one there is
 * @throws GrantError `invalid_client`, `unauthorized_client`, `invalid_scope`, `invalid_dpop_proof`
 * @throws UnavailableError when it cannot be told whether the client was kicked out just now
 * @see RFC 6749 §4.4, RFC 9068 §2
 */
export async function grantToMachine(
  requester: Requester | undefined,
  request: { readonly scope: string | undefined; readonly proofs: readonly string[] },
  context: IssuerContext,
): Promise<MachineTokenResponse> {
  if (!requester) {
    throw new GrantError('invalid_client', 'missing', 'The client has to prove who it is')
  }
  const { clientId, client } = requester
  assertGrant(client, 'client_credentials')
  const scopes = readScope(request.scope, client?.scopes ?? [])
  const { issuer, store, accessTokenTtlSeconds } = context
  const jkt =
    request.proofs.length === 0
      ? undefined
      : await context.proofs.verify(request.proofs, {
          method: 'POST',
          uri: (uri) => uri === normalizeTargetUri(tokenEndpointOf(issuer)),
        })
  const iat = Math.floor(Date.now() / 1000)
  const aud = client?.audiences ?? context.audience
  const claims = await livingClaims(
    {
      iss: issuer,
      sub: clientId,
      aud: aud as string | string[],
      exp: iat + accessTokenTtlSeconds,
      iat,
      jti: `${store.partitionOf(issuer, clientId)}-${newTokenId()}`,
      client_id: clientId,
      ...(scopes.length > 0 && { scope: scopes.join(' ') }),
      ...(jkt !== undefined && { cnf: { jkt } }),
    },
    context,
  )
  return {
    access_token: await signAccessToken(claims, context),
    token_type: jkt === undefined ? 'Bearer' : 'DPoP',
    expires_in: accessTokenTtlSeconds,
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
  }
}
