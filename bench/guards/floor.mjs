import { createRemoteJWKSet, jwtVerify } from 'jose'

/** The least that remembers a verified token: no revocation, no scope, no bound on the memory. */
export function guard({ issuer, audience, jwksUri }) {
  const keys = createRemoteJWKSet(new URL(jwksUri))
  const payloads = new Map()
  return {
    middleware(req, _res, next) {
      const token = req.headers.authorization.slice(7)
      const payload = payloads.get(token)
      if (payload && payload.exp * 1000 > Date.now()) {
        req.auth = payload
        next()
        return
      }
      jwtVerify(token, keys, { issuer, audience }).then((verified) => {
        payloads.set(token, verified.payload)
        req.auth = verified.payload
        next()
      }, next)
    },
  }
}
