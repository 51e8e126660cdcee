import { createRemoteJWKSet, jwtVerify } from 'jose'

export function guard({ issuer, audience, jwksUri, scope }) {
  const keys = createRemoteJWKSet(new URL(jwksUri))
  return {
    middleware(req, res, next) {
      const token = req.headers.authorization?.match(/^Bearer (.+)$/i)?.[1]
      if (token === undefined) {
        res.sendStatus(401)
        return
      }
      jwtVerify(token, keys, { issuer, audience }).then(
        ({ payload }) => {
          req.auth = payload
          next()
        },
        () => res.sendStatus(401),
      )
    },
    scopeCheck(req, res, next) {
      if (req.auth.scope.split(' ').includes(scope)) next()
      else res.sendStatus(403)
    },
  }
}
