import type { RequestHandler } from 'express'
import { assertOptions, isSecureUrl, optionError, readString, readStrings } from '../options.ts'
import type { RouteHandler } from './route-handler.ts'
import { isScopeToken } from './scopes.ts'

const where = 'protectedResourceMetadata'
const wellKnown = '/.well-known/oauth-protected-resource'
const cacheControl = 'public, max-age=3600'
const methods = 'GET, HEAD, OPTIONS'

/** What clients are told about a resource server. */
export interface ProtectedResourceOptions {
  /**
   * The identifier of this server as its clients know it, `https:` (or `http:` on a loopback host), without fragment. It is
   * published as it is: no slash is added to it.
   */
  resource: string
  /** The issuers whose tokens are accepted, exactly as in `iss`; one at least. */
  authorizationServers: readonly string[]
  /** Scopes that a client may ask for. Never `offline_access`, which is a matter between client and issuer. */
  scopesSupported?: readonly string[]
  /** For people. */
  resourceName?: string
  /** Where developers read about the server: a URL. */
  resourceDocumentation?: string
}

export interface ProtectedResourceHandler extends RouteHandler {
  /** Where the metadata is, for the option `resourceMetadataUrl` of `requireAuth`. */
  readonly url: string
}

function readUrl(option: string, value: unknown, noun: string): { text: string; url: URL } {
  const text = readString(where, option, value)
  if (text === undefined) throw optionError(where, option, `is missing: give ${noun}`)
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (
    !url ||
    !isSecureUrl(url) ||
    text.includes('#') ||
    url.username !== '' ||
    url.password !== ''
  ) {
    throw optionError(
      where,
      option,
      `must be ${noun}: an https: URL, or an http: one on a loopback host, without fragment and credentials`,
    )
  }
  return { text, url }
}

function readServers(value: unknown): readonly string[] {
  const servers = readStrings(where, 'authorizationServers', value)
  if (!servers) {
    throw optionError(
      where,
      'authorizationServers',
      'is missing: give the issuers that sign people in',
    )
  }
  return servers.map((server, index) => {
    const option = `authorizationServers[${index}]`
    const { text, url } = readUrl(option, server, 'an issuer')
    if (url.search !== '') throw optionError(where, option, 'must be an issuer, which has no query')
    return text
  })
}

function readScopesSupported(value: unknown): readonly string[] | undefined {
  const scopes = readStrings(where, 'scopesSupported', value)
  if (scopes?.includes('offline_access')) {
    throw optionError(
      where,
      'scopesSupported',
      'must not hold "offline_access": whether there is a refresh token is a matter between client and issuer',
    )
  }
  if (scopes?.every(isScopeToken) ?? true) return scopes
  throw optionError(where, 'scopesSupported', "must be a list of scopes, such as ['reports:read']")
}

/** Express finds a route with and without a slash at its end, and so does this. */
function withoutLastSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}

/**
 * Publishes which issuers sign people in for this server, so that a client finds them by itself. Mount it at the root of
 * the app and in front of `requireAuth`, since clients that ask have no token yet. Other requests pass.
 *
 * It answers `GET`, `HEAD` and `OPTIONS` of `/.well-known/oauth-protected-resource` with the path of `resource` behind it,
 * from every origin, cacheable for an hour.
 *
 * @throws TypeError at creation for wrong, missing or unknown options
 * @see RFC 9728 §2 and §3
 */
export function protectedResourceMetadata(
  options: ProtectedResourceOptions,
): ProtectedResourceHandler {
  assertOptions(where, options, [
    'resource',
    'authorizationServers',
    'scopesSupported',
    'resourceName',
    'resourceDocumentation',
  ])
  const { text: resource, url } = readUrl('resource', options.resource, 'the URL of this server')
  const scopesSupported = readScopesSupported(options.scopesSupported)
  const resourceName = readString(where, 'resourceName', options.resourceName)
  const documentation =
    options.resourceDocumentation === undefined
      ? undefined
      : readUrl('resourceDocumentation', options.resourceDocumentation, 'the URL of a page').text
  const body = JSON.stringify({
    resource,
    authorization_servers: readServers(options.authorizationServers),
    ...(scopesSupported && { scopes_supported: scopesSupported }),
    bearer_methods_supported: ['header'],
    ...(resourceName !== undefined && { resource_name: resourceName }),
    ...(documentation !== undefined && { resource_documentation: documentation }),
  })
  // A slash that is the whole path goes (RFC 9728 §3.1).
  const path = wellKnown + (url.pathname === '/' ? '' : url.pathname)

  const handler: RequestHandler = (req, res, next) => {
    if (withoutLastSlash(req.path) !== withoutLastSlash(path)) {
      next()
      return
    }
    res.set('Access-Control-Allow-Origin', '*')
    switch (req.method) {
      case 'GET':
      case 'HEAD':
        res.set('Cache-Control', cacheControl).type('json').send(body)
        return
      case 'OPTIONS':
        res.set('Allow', methods)
        res.set('Access-Control-Allow-Methods', methods)
        // MCP clients in browsers send headers of their own (MCP-Protocol-Version).
        res.set('Access-Control-Allow-Headers', '*')
        res.set('Access-Control-Max-Age', '3600')
        res.status(204).end()
        return
      default:
        res.set('Allow', methods)
        res.status(405).json({ error: 'invalid_request', error_description: `Use ${methods}` })
    }
  }
  Object.defineProperty(handler, 'name', { value: where })
  return Object.assign(handler as RouteHandler, { url: `${url.origin}${path}${url.search}` })
}
