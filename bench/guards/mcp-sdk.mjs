import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'
import { createRemoteJWKSet, jwtVerify } from 'jose'

export function guard({ issuer, audience, jwksUri, scope }) {
  const keys = createRemoteJWKSet(new URL(jwksUri))
  const verifier = {
    async verifyAccessToken(token) {
      const { payload } = await jwtVerify(token, keys, { issuer, audience })
      return {
        token,
        clientId: payload.client_id,
        scopes: payload.scope.split(' '),
        expiresAt: payload.exp,
      }
    },
  }
  return { middleware: requireBearerAuth({ verifier, requiredScopes: [scope] }) }
}
