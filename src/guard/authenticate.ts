import type { AccessTokenClaims } from '../auth.ts'
import type { Clock } from '../clock.ts'
import { AuthError, isUnavailableError, UnavailableError } from '../errors.ts'
import type { RevocationVerdict } from '../revocation/revocation.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { assertB64token } from './bearer.ts'
import type { Possession } from './binding/possession.ts'
import type { Presentation } from './binding/presentation.ts'
import type { VerifiedTokens } from './token/verified-cache.ts'
import { assertNotExpired, type VerifiedToken } from './token/verifier.ts'

export interface AuthenticateDeps {
  readonly cache: VerifiedTokens
  readonly revocations: Revocations | undefined
  readonly clock: Clock
  /** Absent where tokens are plain bearers. */
  readonly possession?: Possession | undefined
}

/** The text of a `Retry-After` cannot say less; a replica is usually live again before that. */
const retryAfterSeconds = 1

/** Fails closed: only an explicit `false` lets a request through. */
function assertNotRevoked(verdict: RevocationVerdict | undefined): void {
  if (verdict?.revoked === false) return
  if (verdict?.revoked !== true) {
    throw new UnavailableError('revocations', 'The revocation check gave no verdict', {
      retryAfterSeconds,
    })
  }
  // The reason of the kick-out is private. Express prints errors with their causes while NODE_ENV is not "production",
  // so neither the message nor a cause carries it; the history of kick-outs does.
  throw new AuthError('invalid_token', 'revoked', `Kicked out at level "${verdict.level}"`)
}

/** Whatever a foreign implementation throws, a check that did not happen is our failure, never the client's. */
function toUnavailable(error: unknown): unknown {
  if (isUnavailableError(error)) return error
  return new UnavailableError('revocations', 'The revocation check failed', {
    retryAfterSeconds,
    cause: error,
  })
}

/** Of any make: a promise taken for a verdict would let every request in. */
function isPromise<Value>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function'
}

/** The very last step before the request goes on, so that no kick-out can slip in between. */
function checkRevocation(
  verified: VerifiedToken,
  revocations: Revocations | undefined,
): VerifiedToken | Promise<VerifiedToken> {
  if (!revocations) return verified
  const checked = checkClaims(verified, verified.claims, revocations)
  if (verified.aliases.length === 0) return checked
  const all = verified.aliases.map((claims) => checkClaims(verified, claims, revocations))
  return [checked, ...all].some(isPromise)
    ? Promise.all([checked, ...all]).then(() => verified)
    : verified
}

function checkClaims(
  verified: VerifiedToken,
  claims: AccessTokenClaims,
  revocations: Revocations,
): VerifiedToken | Promise<VerifiedToken> {
  let verdict
  try {
    verdict = revocations.check(claims)
  } catch (error) {
    throw toUnavailable(error)
  }
  if (isPromise(verdict)) {
    return Promise.resolve(verdict).then(
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

function authenticateToken(
  token: string,
  deps: AuthenticateDeps,
): VerifiedToken | Promise<VerifiedToken> {
  const known = deps.cache.get(token)
  if (known) {
    assertNotExpired(known, deps.clock)
    if (!known.key.retired && known.keySet.isUsable())
      return checkRevocation(known, deps.revocations)
    // Its key left the set, or no usable key is held at all: from the beginning, which may wait for a fetch.
    deps.cache.forget(token)
  }
  assertB64token(token)
  return deps.cache.verify(token).then((verified) => checkRevocation(verified, deps.revocations))
}

function checkPossession(
  verified: VerifiedToken,
  deps: AuthenticateDeps,
  presentation: Presentation,
): VerifiedToken | Promise<VerifiedToken> {
  const possessed = deps.possession?.check(verified, presentation)
  // Meanwhile the token may have been kicked out.
  return possessed ? possessed.then(() => checkRevocation(verified, deps.revocations)) : verified
}

/**
 * The flow of a request: cache, verifier, expiry and key, revocation, and where tokens may be bound, proof of possession.
 * Synchronous for a token that is known and not bound to a key.
 *
 * @param presentation - how the token was presented, where the guard checks what tokens are bound to
 * @throws AuthError, UnavailableError (or rejects with them)
 */
export function authenticate(
  token: string,
  deps: AuthenticateDeps,
  presentation?: Presentation,
): VerifiedToken | Promise<VerifiedToken> {
  const authenticated = authenticateToken(token, deps)
  if (!presentation) return authenticated
  return authenticated instanceof Promise
    ? authenticated.then((verified) => checkPossession(verified, deps, presentation))
    : checkPossession(authenticated, deps, presentation)
}
