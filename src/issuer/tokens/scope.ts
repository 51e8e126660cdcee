import { GrantError } from '../../errors.ts'

/** @see RFC 6749 §3.3 scope-token */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const maxScopes = 100
/** No scope may have a quote, so no session has this one. */
const nobodysScope = '"'

/** Splits a scope parameter. `undefined` where a token has a character that no scope may have. */
export function parseScope(scope: string): string[] | undefined {
  const tokens = scope.split(' ').filter((part) => part !== '')
  return tokens.length <= maxScopes && tokens.every((part) => scopeToken.test(part))
    ? [...new Set(tokens)]
    : undefined
}

/**
 * Splits the `scope` of a token request. Judges nothing: a malformed scope is one that no session has, and the store
 * refuses it when its turn comes, after reuse. Nothing but spaces is one too: neither a wish for everything nor for nothing.
 *
 * @see RFC 6749 §6
 */
export function splitRequestedScope(scope: string | undefined): readonly string[] | undefined {
  if (scope === undefined) return undefined
  const parts = new Set(scope.split(' '))
  parts.delete('')
  return parts.size > 0 ? [...parts] : [nobodysScope]
}

export function scopeError(): GrantError {
  return new GrantError(
    'invalid_scope',
    'scope',
    'The scope is malformed or goes beyond what was granted',
  )
}
