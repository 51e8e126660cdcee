import type { AccessTokenClaims } from '../auth.ts'

/** The five things that can be kicked out. A token is revoked if *any* of them says so. */
export const revocationLevels = ['token', 'session', 'subject', 'client', 'everyone'] as const

export type RevocationLevel = (typeof revocationLevels)[number]

/** One kick-out, as stores keep it and the stream carries it. */
export interface Revocation {
  /** The kick-out that made it; repeating a kick-out repeats the id. */
  readonly kickOutId: string
  readonly issuer: string
  readonly level: RevocationLevel
  /** `jti`, `sid`, `sub` or `client_id`; empty for everyone. */
  readonly id: string
  /** When, milliseconds by the store's clock. */
  readonly at: number
  /** Until when it is kept, milliseconds by the store's clock. */
  readonly until: number
  /** Subject level: tokens with a lower `session_version` are out. */
  readonly version?: number
  readonly reason?: string
  /** Subject of the admin who did it. */
  readonly by?: string
}

/** What a denylist holds of a revocation: just enough to decide and to explain. */
export interface RevocationFact {
  readonly at: number
  readonly version?: number
  readonly reason?: string
}

/** What is known about the tokens of one issuer. */
export interface IssuerFacts {
  get(level: RevocationLevel, id: string): RevocationFact | undefined
}

/** Where {@link isRevoked} looks facts up: a denylist in memory, or what one look-up brought back. */
export interface RevocationFacts {
  /** `undefined` where nothing at all is known, which is what most requests find. */
  of(issuer: string): IssuerFacts | undefined
}

export type RevocationVerdict =
  | { readonly revoked: false }
  | {
      readonly revoked: true
      readonly level: RevocationLevel
      /** When it was kicked out, milliseconds by the store's clock. */
      readonly at: number
      readonly reason?: string
    }

export const notRevoked: RevocationVerdict = Object.freeze({ revoked: false })

/** The `client_id`, else `azp`. */
function clientOf(claims: AccessTokenClaims): string | undefined {
  return claims.client_id ?? claims.azp
}

/** The id by which a level names this token, or `undefined` where the token has none. */
export function idAtLevel(level: RevocationLevel, claims: AccessTokenClaims): string | undefined {
  switch (level) {
    case 'token':
      return claims.jti
    case 'session':
      return claims.sid
    case 'subject':
      return claims.sub
    case 'client':
      return clientOf(claims)
    case 'everyone':
      return ''
  }
}

/** `iat` has whole seconds, so a token of the very second of the kick-out is out too. A token without `iat` is out. */
function issuedAtOrBefore(claims: AccessTokenClaims, atMs: number): boolean {
  return claims.iat === undefined || Math.floor(claims.iat) <= Math.floor(atMs / 1000)
}

/** Whether a fact that bears this token's id at a level puts the token out. */
function factRevokes(
  level: RevocationLevel,
  fact: RevocationFact,
  claims: AccessTokenClaims,
): boolean {
  switch (level) {
    case 'token':
    case 'session':
      return true
    case 'subject':
      return claims.session_version !== undefined && fact.version !== undefined
        ? claims.session_version < fact.version
        : issuedAtOrBefore(claims, fact.at)
    case 'client':
    case 'everyone':
      return issuedAtOrBefore(claims, fact.at)
  }
}

/**
 * Whether a token is kicked out. Any level suffices; none takes precedence over another, since precedence between
 * levels is how revoked tokens come back to life.
 */
export function isRevoked(claims: AccessTokenClaims, facts: RevocationFacts): RevocationVerdict {
  const known = facts.of(claims.iss)
  if (!known) return notRevoked
  for (const level of revocationLevels) {
    const id = idAtLevel(level, claims)
    if (id === undefined) continue
    const fact = known.get(level, id)
    if (fact && factRevokes(level, fact, claims)) {
      return {
        revoked: true,
        level,
        at: fact.at,
        ...(fact.reason !== undefined && { reason: fact.reason }),
      }
    }
  }
  return notRevoked
}

/** Whether one revocation puts out one token: {@link isRevoked} for a denylist of one. */
export function revokes(revocation: Revocation, claims: AccessTokenClaims): boolean {
  return (
    revocation.issuer === claims.iss &&
    revocation.id === idAtLevel(revocation.level, claims) &&
    factRevokes(revocation.level, revocation, claims)
  )
}
