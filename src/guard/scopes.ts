import type { AccessTokenClaims } from '../auth.ts'
import { AuthError } from '../errors.ts'

/** Whether a scope that was granted includes one that is wanted. */
export type ScopeIncludes = (granted: string, wanted: string) => boolean

/** @see RFC 6749 §3.3 scope-token */
export function isScopeToken(text: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(text)
}

/** Anything but `true` refuses: a promise, which an asynchronous function returns, is no answer. */
export function includesScope(
  granted: readonly string[],
  wanted: string,
  includes: ScopeIncludes | undefined,
): boolean {
  if (granted.includes(wanted)) return true
  return (
    includes !== undefined && granted.some((scope) => (includes(scope, wanted) as unknown) === true)
  )
}

/** Splits on SP and nothing else; a no-break space or a tab is part of a scope, and then of another one. */
export function splitScope(scope: string): string[] {
  return scope.split(' ').filter((token) => token !== '')
}

/**
 * Reads what a token grants: `scope`, else `scp`, as a string or an array of strings. An empty one grants nothing, and is
 * no error: Keycloak sends `scope: ""`.
 *
 * @throws AuthError `claims` when it is of another type
 * @see RFC 8693 §4.2, RFC 9068 §2.2.3
 */
export function readScopes(claims: AccessTokenClaims): string[] {
  const value: unknown = claims.scope === undefined ? claims.scp : claims.scope
  if (value === undefined) return []
  if (typeof value === 'string') return splitScope(value)
  const scopes: unknown[] | undefined = Array.isArray(value) ? value : undefined
  if (!scopes?.every((scope) => typeof scope === 'string' && scope !== '')) {
    throw new AuthError(
      'invalid_token',
      'claims',
      'The scope of the token is neither a string nor a list of non-empty strings',
    )
  }
  return scopes as string[]
}

/**
 * Reads the arguments of a route guard. Each may hold several scopes.
 *
 * @throws TypeError when there are none, since a guard that asks for nothing is a mistake
 */
export function readRequiredScopes(where: string, scopes: readonly unknown[]): readonly string[] {
  const required = scopes.flatMap((argument) => {
    if (typeof argument === 'string') return splitScope(argument)
    throw new TypeError(
      `${where}: every scope must be a string, such as '${where}("reports:read")'`,
    )
  })
  if (required.length === 0) {
    throw new TypeError(`${where}: name at least one scope, such as ${where}('reports:read')`)
  }
  return Object.freeze([...new Set(required)])
}
