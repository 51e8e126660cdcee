import { GrantError } from '../../errors.ts'
import { optionError, readChoice, readOptions, readString } from '../../options.ts'

/** Cookie mode: the refresh token lives in a cookie of the login service that no script can read. */
export interface CookieOptions {
  /**
   * Must begin with `__Host-`, except where the issuer is `http:` on loopback.
   *
   * @defaultValue '__Host-refresh_token'; on loopback 'refresh_token_' and the port
   */
  name?: string
  /**
   * `'lax'` only where other sites link into pages that must be signed in at once.
   *
   * @defaultValue 'strict'
   */
  sameSite?: 'strict' | 'lax'
}

export interface CookieSettings {
  readonly name: string
  readonly attributes: string
}

const where = 'createIssuer'
const hostPrefix = '__Host-'
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** @throws TypeError for wrong options */
export function readCookieSettings(value: unknown, issuer: string): CookieSettings | undefined {
  if (value === undefined) return undefined
  const options = readOptions(`${where}: cookie`, value, ['name', 'sameSite'])
  const isSecure = issuer.startsWith('https:')
  // Cookies do not tell ports apart: without the port, signing in at one issuer on localhost would sign another out.
  const { port } = new URL(issuer)
  const fallback = isSecure
    ? `${hostPrefix}refresh_token`
    : port === ''
      ? 'refresh_token'
      : `refresh_token_${port}`
  const name = readString(where, 'cookie.name', options['name']) ?? fallback
  if (!token.test(name) || name.startsWith(hostPrefix) !== isSecure) {
    throw optionError(
      where,
      'cookie.name',
      isSecure
        ? `must be a cookie name that begins with ${hostPrefix}, so that no other host can set it`
        : `must be a cookie name without ${hostPrefix}, which browsers take on https only`,
    )
  }
  const sameSite = readChoice(
    where,
    'cookie.sameSite',
    options['sameSite'],
    ['strict', 'lax'],
    'strict',
  )
  const attributes = [
    'Path=/',
    'HttpOnly',
    ...(isSecure ? ['Secure'] : []),
    `SameSite=${sameSite === 'strict' ? 'Strict' : 'Lax'}`,
  ]
  return { name, attributes: attributes.join('; ') }
}

/**
 * Reads our cookie from a `Cookie` header. The name is compared byte by byte: nothing is trimmed, decoded or folded, and
 * `$Version` means nothing, since each of those lets another name pass for ours.
 *
 * @returns `undefined` where there is none
 * @throws GrantError `invalid_request` for two of them: one may have been planted
 * @see RFC 6265 §4.2.1
 */
export function readCookie(
  header: string | undefined,
  settings: CookieSettings,
): string | undefined {
  if (header === undefined) return undefined
  const values = header
    .split(';')
    .map((pair, index) => (index > 0 && pair.startsWith(' ') ? pair.slice(1) : pair))
    .filter((pair) => pair.startsWith(`${settings.name}=`))
    .map((pair) => pair.slice(settings.name.length + 1))
  if (values.length > 1) {
    throw new GrantError(
      'invalid_request',
      'two_cookies',
      'The request has the refresh cookie twice',
    )
  }
  return values[0]
}

/** The `Set-Cookie` that keeps a token for as long as its session may last. */
export function toSetCookie(
  value: string,
  maxAgeSeconds: number,
  settings: CookieSettings,
): string {
  return `${settings.name}=${value}; Max-Age=${Math.max(0, Math.floor(maxAgeSeconds))}; ${settings.attributes}`
}

/** The `Set-Cookie` that takes it away: the same attributes, or browsers keep the old one. */
export function toClearCookie(settings: CookieSettings): string {
  return `${settings.name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; ${settings.attributes}`
}
