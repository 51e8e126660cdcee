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

/** Whether JSON is metadata at all. Some servers answer 200 with an error of their own for paths that they do not know. */
function isMetadata(document: unknown): document is Record<string, unknown> {
  return (
    typeof document === 'object' &&
    document !== null &&
    typeof (document as Record<string, unknown>)['issuer'] === 'string'
  )
}

/** An address that the metadata of an issuer names. */
export type EndpointName = 'jwks_uri' | 'introspection_endpoint'

function readEndpoint(
  name: EndpointName,
  { issuer: named, [name]: address }: Record<string, unknown>,
  issuer: string,
  allowsHttp: boolean,
): URL {
  if (named !== issuer) {
    throw new DiscoveryRefused(`the metadata names another issuer than ${issuer} (RFC 8414 §3.3)`)
  }
  if (typeof address !== 'string' || !URL.canParse(address)) {
    throw new DiscoveryRefused(`the metadata has no "${name}"`)
  }
  const url = new URL(address)
  // The keys and answers of an issuer that is reached over https must come over https too.
  const mayBePlain = new URL(issuer).protocol === 'http:'
  if (!isSecureUrl(url, allowsHttp) || (url.protocol === 'http:' && !mayBePlain)) {
    throw new DiscoveryRefused(
      `the "${name}" of the metadata is not https, while the issuer is (or its host is not a loopback one)`,
    )
  }
  return url
}

/**
 * Finds an address of an issuer, such as that of its key set, by its metadata.
 *
 * @throws DiscoveryRefused when the metadata found is not this issuer's
 * @throws FetchFailed when no metadata could be had
 */
export async function discoverEndpoint(
  name: EndpointName,
  fetch: Fetch,
  issuer: string,
  signal: AbortSignal,
  allowsHttp = false,
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
    if (isMetadata(metadata)) return readEndpoint(name, metadata, issuer, allowsHttp)
    failure ??= new FetchFailed('answered JSON that is no metadata: it has no "issuer"')
  }
  throw new FetchFailed('has no metadata at any well-known place', { cause: failure })
}
