import type { AccessTokenClaims } from '../auth.ts'
import type { Clock } from '../clock.ts'

/** The largest `clockToleranceSeconds` that a guard may have. */
export const maxClockToleranceSeconds = 600

/**
 * How long the revocation of a token outlives the `exp` that its kick-out named: twice the largest tolerance, since the
 * guard that the token is presented to may have any tolerance.
 */
export const expiryMarginMs = 2 * maxClockToleranceSeconds * 1000

/** The five things that can be kicked out. A token is revoked if *any* of them says so. */
export const revocationLevels = ['token', 'session', 'subject', 'client', 'everyone'] as const

/** What a kick-out names: one token, a session, a user, a client or everyone. */
export type RevocationLevel = (typeof revocationLevels)[number]

/** The admin who kicked out: a user, or a client where the admin's token has no subject. */
export type KickOutAuthor =
  | { readonly issuer: string; readonly subject: string; readonly client?: never }
  | { readonly issuer: string; readonly client: string; readonly subject?: never }

/** One kick-out, as stores keep it and the stream carries it. */
export interface Revocation {
  /** The kick-out that made it; repeating a kick-out repeats the id. */
  readonly kickOutId: string
  /** Whose tokens it concerns. */
  readonly issuer: string
  /** What it names. */
  readonly level: RevocationLevel
  /** `jti`, `sid`, `sub` or `client_id`; empty for everyone. */
  readonly id: string
  /** When, milliseconds by the store's clock. */
  readonly at: number
  /** Until when it is kept, milliseconds by the store's clock. */
  readonly until: number
  /** Subject level: tokens with a lower `session_version` are out. */
  readonly version?: number
  /** For the history. The client never sees it. */
  readonly reason?: string
  /** Who did it: an admin, or what the application said. */
  readonly by?: string | KickOutAuthor
}

/** The part of a revocation that a denylist holds: enough to decide, and to explain the decision. */
export interface RevocationFact {
  readonly at: number
  readonly version?: number
  readonly reason?: string
}

/** What is known about the tokens of one issuer. */
export interface IssuerFacts {
  get(level: RevocationLevel, id: string): RevocationFact | undefined
}

/** Where {@link isRevoked} looks facts up: the denylist in memory, or the answer of one look-up. */
export interface RevocationFacts {
  /** `undefined` where nothing of this issuer was kicked out, as for most requests. */
  of(issuer: string): IssuerFacts | undefined
}

/** Whether a token is kicked out, at which level, and since when (`at`, milliseconds by the store's clock). */
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

/** Where providers name the client: RFC 9068, OpenID Connect, Okta, Entra ID. A kick-out of any of them counts. */
const clientClaims = ['client_id', 'azp', 'cid', 'appid'] as const

/** The client of a token: the first there is of `client_id`, `azp`, `cid` and `appid`. */
export function clientOf(claims: AccessTokenClaims): string | undefined {
  return claims.client_id ?? claims.azp ?? claims.cid ?? claims.appid
}

/** The ids by which a level names this token: none where the token has none, several only at the client level. */
export function idsAtLevel(level: RevocationLevel, claims: AccessTokenClaims): readonly string[] {
  if (level === 'client') {
    return [...new Set(clientClaims.map((name) => claims[name]))].filter((id) => id !== undefined)
  }
  const id = onlyIdAtLevel(level, claims)
  return id === undefined ? [] : [id]
}

function onlyIdAtLevel(
  level: Exclude<RevocationLevel, 'client'>,
  claims: AccessTokenClaims,
): string | undefined {
  switch (level) {
    case 'token':
      return claims.jti
    case 'session':
      return claims.sid
    case 'subject':
      return claims.sub
    case 'everyone':
      return ''
  }
}

/** Session versions are milliseconds since the epoch, so none of ours is lower than this (September 2001). */
const lowestVersion = 1e12
/** How far the clock of the session store may be ahead of this server's. */
const versionToleranceMs = 5000

/**
 * The `session_version` of a token, where it can be ours. A foreign issuer may use a claim of that name for a counter or
 * anything else: taken for a time, a high value would survive every kick-out, and a low one would refuse new logins.
 */
function believedVersion(claims: AccessTokenClaims, clock: Pick<Clock, 'now'>): number | undefined {
  const version: unknown = claims.session_version
  return Number.isInteger(version) &&
    (version as number) >= lowestVersion &&
    (version as number) <= clock.now() + versionToleranceMs
    ? (version as number)
    : undefined
}

/** `iat` has whole seconds, so a token issued in the second of the kick-out is out too. So is a token without `iat`. */
function issuedAtOrBefore(claims: AccessTokenClaims, atMs: number): boolean {
  return claims.iat === undefined || Math.floor(claims.iat) <= Math.floor(atMs / 1000)
}

/** Whether a fact about this token's id at a level revokes the token. */
function factRevokes(
  level: RevocationLevel,
  fact: RevocationFact,
  claims: AccessTokenClaims,
  clock: Pick<Clock, 'now'>,
): boolean {
  switch (level) {
    case 'token':
    case 'session':
      return true
    case 'subject': {
      const version = fact.version === undefined ? undefined : believedVersion(claims, clock)
      return version !== undefined && fact.version !== undefined
        ? version < fact.version
        : issuedAtOrBefore(claims, fact.at)
    }
    case 'client':
    case 'everyone':
      return issuedAtOrBefore(claims, fact.at)
  }
}

/**
 * Whether a token is kicked out. Any level suffices; none takes precedence over another, since precedence between
 * levels is how revoked tokens come back to life.
 */
export function isRevoked(
  claims: AccessTokenClaims,
  facts: RevocationFacts,
  clock: Pick<Clock, 'now'>,
): RevocationVerdict {
  const known = facts.of(claims.iss)
  if (!known) return notRevoked
  for (const level of revocationLevels) {
    if (level === 'client') {
      for (const name of clientClaims) {
        const verdict = verdictOf(level, claims[name], known, claims, clock)
        if (verdict) return verdict
      }
      continue
    }
    const verdict = verdictOf(level, onlyIdAtLevel(level, claims), known, claims, clock)
    if (verdict) return verdict
  }
  return notRevoked
}

function verdictOf(
  level: RevocationLevel,
  id: string | undefined,
  known: IssuerFacts,
  claims: AccessTokenClaims,
  clock: Pick<Clock, 'now'>,
): RevocationVerdict | undefined {
  if (id === undefined) return undefined
  const fact = known.get(level, id)
  if (!fact || !factRevokes(level, fact, claims, clock)) return undefined
  return {
    revoked: true,
    level,
    at: fact.at,
    ...(fact.reason !== undefined && { reason: fact.reason }),
  }
}

/** Whether one revocation revokes one token: {@link isRevoked} for a denylist of one entry. */
export function revokes(
  revocation: Revocation,
  claims: AccessTokenClaims,
  clock: Pick<Clock, 'now'>,
): boolean {
  return (
    revocation.issuer === claims.iss &&
    idsAtLevel(revocation.level, claims).includes(revocation.id) &&
    factRevokes(revocation.level, revocation, claims, clock)
  )
}
