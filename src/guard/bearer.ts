import { AuthError } from '../errors.ts'

/** The parts of a request that the guard reads. */
export interface CredentialRequest {
  readonly headers: { readonly authorization?: string | undefined }
  readonly rawHeaders: readonly string[]
}

/** How an access token is presented. */
export type Scheme = 'Bearer' | 'DPoP'

const b64token = /^[A-Za-z0-9\-._~+/]+=*$/

/** Node keeps the first of two `Authorization` headers and hides the rest; a proxy in front may have read the last. */
function hasSecondHeader(rawHeaders: readonly string[]): boolean {
  let seen = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length !== 13) continue
    if (name === 'Authorization' || name.toLowerCase() === 'authorization') seen++
  }
  return seen > 1
}

function malformed(message: string): AuthError {
  return new AuthError('invalid_request', 'malformed', message)
}

function readerOf(name: Scheme): (req: CredentialRequest) => string | undefined {
  const scheme = `${name} `
  const ownScheme = new RegExp(`^${name}(?=[ \\t]|$)`, 'i')
  const secondCredential = new RegExp(`,\\s*${name}[ \\t]`, 'i')
  return (req) => {
    const header = req.headers.authorization
    if (header === undefined) return undefined
    if (hasSecondHeader(req.rawHeaders)) throw malformed('More than one Authorization header')
    if (header.startsWith(scheme)) return header.slice(scheme.length)
    if (!ownScheme.test(header)) {
      if (secondCredential.test(header))
        throw malformed('More than one credential in the Authorization header')
      return undefined
    }
    if (header.length < scheme.length) return undefined
    if (header[scheme.length - 1] !== ' ')
      throw malformed('The scheme must be followed by one space')
    return header.slice(scheme.length)
  }
}

/**
 * Reads what follows `Bearer ` in the one `Authorization` header. Query and body are never read. What it returns is not
 * checked further: see {@link assertB64token}.
 *
 * @returns `undefined` when there are no bearer credentials: no header, an empty one, another scheme
 * @throws AuthError `invalid_request` for more than one header or credential, and for anything but one space after the scheme
 * @see RFC 6750 §2.1, RFC 9110 §11.4
 */
export const readBearer = readerOf('Bearer')

const readDpop = readerOf('DPoP')

/**
 * The same for a guard that accepts the scheme `DPoP` too.
 *
 * @see RFC 9449 §7.1
 */
export function readBearerOrDpop(req: CredentialRequest): string | undefined {
  return readDpop(req) ?? readBearer(req)
}

/** The scheme of credentials that {@link readBearerOrDpop} has read. */
export function schemeOf(req: CredentialRequest): Scheme {
  return /^dpop /i.test(req.headers.authorization ?? '') ? 'DPoP' : 'Bearer'
}

/**
 * @throws AuthError `invalid_request` for text that is no `b64token`: spaces, quotes, commas, non-ASCII, …
 * @see RFC 6750 §2.1
 */
export function assertB64token(token: string): void {
  if (!b64token.test(token)) throw malformed('The bearer token has characters that no token has')
}
