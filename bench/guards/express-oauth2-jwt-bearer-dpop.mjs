import { auth, requiredScopes } from 'express-oauth2-jwt-bearer'

/** Compares proofs with the `Host` of the request, and does not refuse replays. */
export function guard({ issuer, audience, jwksUri, scope }) {
  const middleware = auth({ issuer, audience, jwksUri, dpop: { enabled: true, required: true } })
  return { middleware, scopeCheck: requiredScopes(scope) }
}
