import { auth, requiredScopes } from 'express-oauth2-jwt-bearer'

export function guard({ issuer, audience, jwksUri, scope }) {
  return { middleware: auth({ issuer, audience, jwksUri }), scopeCheck: requiredScopes(scope) }
}
