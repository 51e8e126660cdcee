import type { Clock } from '../clock.ts'
import { AuthError, UnavailableError } from '../errors.ts'
import type { RevocationVerdict } from '../revocation/revocation.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { assertB64token } from './bearer.ts'
import type { VerifiedCache } from './verified-cache.ts'
import type { VerifiedToken } from './verifier.ts'

export interface AuthenticateDeps {
  readonly cache: VerifiedCache
  readonly revocations: Revocations | undefined
  readonly clock: Clock
}

/** The text of a `Retry-After` cannot say less; a replica is usually live again before that. */
const retryAfterSeconds = 1

/** What has to hold at every use of a verified token, a remembered one included. */
function isStillValid(verified: VerifiedToken, clock: Clock): boolean {
  if (clock.now() >= verified.validUntilMs) {
    throw new AuthError('invalid_token', 'expired', 'The token has expired')
  }
  verified.keySet.assertUsable()
  return !verified.key.retired
}

function assertNotRevoked(verdict: RevocationVerdict): void {
  if (!verdict.revoked) return
  const why = verdict.reason === undefined ? '' : ` (${verdict.reason})`
  throw new AuthError('invalid_token', 'revoked', `Kicked out at level "${verdict.level}"${why}`)
}

/** Whatever a foreign implementation throws, a check that did not happen is our failure, never the client's. */
function toUnavailable(error: unknown): unknown {
  if (error instanceof UnavailableError) return error
  return new UnavailableError('revocations', 'The revocation check failed', {
    retryAfterSeconds,
    cause: error,
  })
}

/** The very last step before the request goes on, so that no kick-out can slip in between. */
function checkRevocation(
  verified: VerifiedToken,
  revocations: Revocations | undefined,
): VerifiedToken | Promise<VerifiedToken> {
  if (!revocations) return verified
  let verdict
  try {
    verdict = revocations.check(verified.claims)
  } catch (error) {
    throw toUnavailable(error)
  }
  if (verdict instanceof Promise) {
    return verdict.then(
      (awaited) => {
        assertNotRevoked(awaited)
        return verified
      },
      (error: unknown) => {
        throw toUnavailable(error)
      },
    )
  }
  assertNotRevoked(verdict)
  return verified
}

/**
 * The flow of a request: cache, verifier, expiry and key, revocation. Synchronous for a token that is known.
 *
 * @throws AuthError, UnavailableError (or rejects with them)
 */
export function authenticate(
  token: string,
  deps: AuthenticateDeps,
): VerifiedToken | Promise<VerifiedToken> {
  const known = deps.cache.get(token)
  if (known) {
    if (isStillValid(known, deps.clock)) return checkRevocation(known, deps.revocations)
    deps.cache.forget(token)
  }
  assertB64token(token)
  return deps.cache.verify(token).then((verified) => checkRevocation(verified, deps.revocations))
}
