import type { RequestHandler } from 'express'
import helmet from 'helmet'

/**
 * Nothing runs but our own files, and nothing is sent anywhere but to us and to the APIs: an injected script has no way in,
 * and would have no way out with an access token.
 */
export function contentSecurity(apiUrls: readonly string[]): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        // The event stream and the WebSocket of each API.
        connectSrc: ["'self'", ...apiUrls, ...apiUrls.map((url) => url.replace(/^http/, 'ws'))],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
        requireTrustedTypesFor: ["'script'"],
      },
    },
    referrerPolicy: { policy: 'no-referrer' },
  })
}
