import type { RequestHandler } from 'express'
import { AuthError } from '../errors.ts'
import { type ChallengeFacts, writeHeaders } from './challenge.ts'
import { findAuth, findGuardContext, type GuardContext, presentedSchemeOf } from './request-auth.ts'
import type { RouteHandler } from './route-handler.ts'
import { includesScope, readRequiredScopes } from './scopes.ts'

type Decision = (
  auth: NonNullable<ReturnType<typeof findAuth>>,
  context: GuardContext,
) => AuthError | undefined

/** The frame of every route guard: it needs a `requireAuth` in front, and challenges the way that one does. */
export function routeGuard(
  name: string,
  decide: Decision,
  facts: Omit<ChallengeFacts, 'scheme'> = {},
): RouteHandler {
  const handler: RequestHandler = (req, res, next) => {
    const auth = findAuth(req)
    const context = findGuardContext(req, auth)
    if (!context) {
      next(new Error(`${name}: there is no requireAuth() in front of this route`))
      return
    }
    const error = auth
      ? decide(auth, context)
      : new AuthError('missing_token', 'missing', 'The request has no bearer token')
    if (error) {
      context.rejected(error)
      writeHeaders(res, error, context, { ...facts, scheme: presentedSchemeOf(auth) })
    }
    next(error)
  }
  Object.defineProperty(handler, 'name', { value: name })
  return handler as RouteHandler
}

/** {@link requireScope} under the name of the one that asks, with scopes that were read already. */
export function requireScopes(name: string, required: readonly string[]): RouteHandler {
  const decide: Decision = ({ scopes }, { scopeIncludes }) =>
    required.every((scope) => includesScope(scopes, scope, scopeIncludes))
      ? undefined
      : insufficientScope(required)
  return routeGuard(name, decide, { scopes: required })
}

/**
 * Lets a request through that has *all* of the scopes. Each argument may hold several, separated by spaces.
 *
 * @throws TypeError at creation when no scope is named
 * @see RFC 6750 §3.1 insufficient_scope
 */
export function requireScope(...scopes: string[]): RouteHandler {
  return requireScopes('requireScope', readRequiredScopes('requireScope', scopes))
}

/**
 * Lets a request through that has *at least one* of the scopes.
 *
 * @throws TypeError at creation when no scope is named
 * @see RFC 6750 §3.1 insufficient_scope
 */
export function requireAnyScope(...scopes: string[]): RouteHandler {
  const sufficient = readRequiredScopes('requireAnyScope', scopes)
  const decide: Decision = ({ scopes }, { scopeIncludes }) =>
    sufficient.some((scope) => includesScope(scopes, scope, scopeIncludes))
      ? undefined
      : insufficientScope(sufficient)
  return routeGuard('requireAnyScope', decide, { scopes: sufficient })
}

function insufficientScope(scopes: readonly string[]): AuthError {
  return new AuthError(
    'insufficient_scope',
    'scope',
    `The token lacks a scope of: ${scopes.join(' ')}`,
  )
}

/**
 * What a claim has to be: this very string, number or boolean (where the claim is an array, one of its members), or what a
 * predicate says `true` to.
 */
export type ClaimExpectation = string | number | boolean | ((value: unknown) => boolean)

/**
 * Lets a request through whose claim has a value, or satisfies a predicate. Where the claim is an array, such as `roles` or
 * `permissions`, a value has to be one of its members; a predicate sees the whole array. An absent claim is 403, and no
 * predicate is asked.
 *
 * @throws TypeError at creation for a wrong name or expectation
 */
export function requireClaim(name: string, expected: ClaimExpectation): RouteHandler {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(
      'requireClaim: the claim must have a name, such as requireClaim("tenant", "acme")',
    )
  }
  if (!['string', 'number', 'boolean', 'function'].includes(typeof expected)) {
    throw new TypeError('requireClaim: expected a string, a number, a boolean or a predicate')
  }
  const decide: Decision = (auth) => {
    const value = auth.payload[name]
    // Anything but `true` refuses: a promise, which an asynchronous predicate returns, is no answer.
    const answer: unknown =
      typeof expected === 'function'
        ? value !== undefined && expected(value)
        : value === expected || (Array.isArray(value) && value.includes(expected))
    return answer === true
      ? undefined
      : new AuthError(
          'insufficient_scope',
          'claim',
          `The token's claim "${name}" is not as required`,
        )
  }
  return routeGuard('requireClaim', decide)
}
