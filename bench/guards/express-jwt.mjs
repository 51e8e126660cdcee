import { expressjwt } from 'express-jwt'
import jwksRsa from 'jwks-rsa'

/** It has no check of scopes. */
export function guard({ issuer, audience, jwksUri, algorithm, isRevoked }) {
  return {
    middleware: expressjwt({
      secret: jwksRsa.expressJwtSecret({ cache: true, rateLimit: true, jwksUri }),
      audience,
      issuer,
      algorithms: [algorithm],
      ...(isRevoked && { isRevoked }),
    }),
  }
}
