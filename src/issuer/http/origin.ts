import { GrantError } from '../../errors.ts'
import type { IssuerSettings } from '../options.ts'

/** The headers by which a browser tells where a request comes from. */
export interface OriginHeaders {
  readonly origin?: string | undefined
  readonly 'sec-fetch-site'?: string | string[] | undefined
}

/**
 * Whether a browser may read the answer from this page: our own pages need no permission, allowed ones are named exactly.
 */
export function corsOrigin(headers: OriginHeaders, settings: IssuerSettings): string | undefined {
  const { origin } = headers
  return origin !== undefined && settings.allowedOrigins.has(origin) ? origin : undefined
}

/**
 * Asserts that a request with the cookie was made by a page of the issuer's own origins. A browser sends the cookie with
 * requests of other sites too, and `SameSite` alone leaves gaps (a fresh Lax cookie, a sibling subdomain).
 *
 * @throws GrantError `access_denied`
 */
export function assertOwnPage(headers: OriginHeaders, settings: IssuerSettings): void {
  const { origin } = headers
  // Pages with `Referrer-Policy: no-referrer` send `Origin: null`; only a browser sets Sec-Fetch-Site.
  const isOurs =
    origin === undefined || origin === 'null'
      ? headers['sec-fetch-site'] === 'same-origin'
      : origin === settings.ownOrigin || settings.allowedOrigins.has(origin)
  if (!isOurs) {
    throw new GrantError(
      'access_denied',
      'origin',
      'The request does not come from a page that may use the refresh cookie',
      {
        message:
          'Refused a request with the refresh cookie: its Origin (or Sec-Fetch-Site) is neither of the issuer ' +
          'nor in "allowedOrigins"',
      },
    )
  }
}

/**
 * For a login: also that the browser will keep the cookie. A page on another *site* (another registrable domain) is given
 * its tokens, and its browser drops the cookie without a word.
 *
 * @throws GrantError `access_denied`
 */
export function assertCookieCanBeSet(headers: OriginHeaders, settings: IssuerSettings): void {
  assertOwnPage(headers, settings)
  if (headers['sec-fetch-site'] !== 'cross-site') return
  throw new GrantError(
    'access_denied',
    'cross_site',
    'The page and the login service are on two sites, so the browser would not keep the refresh cookie',
    {
      message:
        'Refused a login from a page on another site: browsers keep no SameSite cookie there. Serve the login service ' +
        'on a sibling of the page, such as login.example.com beside app.example.com',
    },
  )
}
