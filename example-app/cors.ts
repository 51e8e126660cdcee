import type { RequestHandler } from 'express'

/**
 * Lets one other origin call this API. Without `Access-Control-Allow-Credentials`: the browser then never sends a cookie
 * along, and the access token is a header that the page sets itself.
 */
export function cors(origin: string): RequestHandler {
  return (req, res, next) => {
    res.vary('Origin')
    res.set('Access-Control-Allow-Origin', origin)
    res.set('Access-Control-Expose-Headers', 'Retry-After, WWW-Authenticate')
    if (req.method !== 'OPTIONS') {
      next()
      return
    }
    res.set('Access-Control-Allow-Methods', 'GET, POST')
    res.set('Access-Control-Allow-Headers', 'Authorization, Content-Type, DPoP')
    res.set('Access-Control-Max-Age', '600')
    res.status(204).end()
  }
}
