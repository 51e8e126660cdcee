import { isSecureUrl } from '../../options.ts'
import { type Fetch, FetchFailed, fetchJson } from './fetch-json.ts'

/** The metadata belongs to another issuer, or points somewhere it must not. Waiting does not heal that. */
export class DiscoveryRefused extends Error {
  override readonly name = 'DiscoveryRefused'
}

/**
 * Where an issuer's metadata may lie: RFC 8414 with the well-known part inserted, the same appended, OpenID Connect.
 *
 * @see RFC 8414 §3.1, OpenID Connect Discovery 1.0 §4
 */
export function metadataUrls(issuer: string): URL[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [
    ...new Set([
      `${origin}/.well-known/oauth-authorization-server${path}`,
      `${origin}${path}/.well-known/oauth-authorization-server`,
      `${origin}${path}/.well-known/openid-configuration`,
    ]),
  ].map((url) => new URL(url))
}

function readJwksUri(metadata: unknown, issuer: string): URL {
  const { issuer: named, jwks_uri: jwksUri } = (metadata ?? {}) as Record<string, unknown>
  if (named !== issuer) {
    throw new DiscoveryRefused(`the metadata names another issuer than ${issuer} (RFC 8414 §3.3)`)
  }
  if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri)) {
    throw new DiscoveryRefused('the metadata has no "jwks_uri"')
  }
  const url = new URL(jwksUri)
  if (!isSecureUrl(url)) {
    throw new DiscoveryRefused(
      'the "jwks_uri" of the metadata is neither https nor on a loopback host',
    )
  }
  return url
}

/**
 * Finds an issuer's key set by its metadata.
 *
 * @throws DiscoveryRefused when the metadata found is not this issuer's
 * @throws FetchFailed when no metadata could be had
 */
export async function discoverJwksUri(
  fetch: Fetch,
  issuer: string,
  signal: AbortSignal,
): Promise<URL> {
  let failure: unknown
  for (const url of metadataUrls(issuer)) {
    let metadata: unknown
    try {
      metadata = await fetchJson(fetch, url, signal)
    } catch (error) {
      failure ??= error
      // An answer that is no metadata: it may lie at the next place. No answer at all: there is no next place.
      if (error instanceof FetchFailed && error.status !== undefined) continue
      throw error
    }
    return readJwksUri(metadata, issuer)
  }
  throw new FetchFailed('has no metadata at any well-known place', { cause: failure })
}
