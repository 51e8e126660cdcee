import { proofAlgorithms } from '../../dpop/proof.ts'
import type { IssuerSettings } from '../options.ts'

function baseOf(issuer: string): string {
  return issuer.replace(/\/$/, '')
}

/** What proofs for `/token` name as their `htu`. */
export function tokenEndpointOf(issuer: string): string {
  return `${baseOf(issuer)}/token`
}

/**
 * The issuer's metadata.
 *
 * @see RFC 8414 §2, RFC 9449 §5.1
 */
export function toMetadata(settings: IssuerSettings): Record<string, unknown> {
  const base = baseOf(settings.issuer)
  const methods = settings.clients.haveSecrets
    ? ['none', 'client_secret_basic', 'client_secret_post']
    : ['none']
  return {
    issuer: settings.issuer,
    token_endpoint: tokenEndpointOf(settings.issuer),
    revocation_endpoint: `${base}/revoke`,
    jwks_uri: `${base}/.well-known/jwks.json`,
    grant_types_supported: ['refresh_token'],
    response_types_supported: [],
    token_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_methods_supported: methods,
    dpop_signing_alg_values_supported: proofAlgorithms,
  }
}
