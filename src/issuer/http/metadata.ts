import type { IssuerSettings } from '../options.ts'

/**
 * The issuer's metadata.
 *
 * @see RFC 8414 §2
 */
export function toMetadata(settings: IssuerSettings): Record<string, unknown> {
  const base = settings.issuer.replace(/\/$/, '')
  const methods = settings.clients.haveSecrets
    ? ['none', 'client_secret_basic', 'client_secret_post']
    : ['none']
  return {
    issuer: settings.issuer,
    token_endpoint: `${base}/token`,
    revocation_endpoint: `${base}/revoke`,
    jwks_uri: `${base}/.well-known/jwks.json`,
    grant_types_supported: ['refresh_token'],
    response_types_supported: [],
    token_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_methods_supported: methods,
  }
}
