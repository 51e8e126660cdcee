import { proofAlgorithms } from '../../dpop/proof.ts'
import { supportedAlgorithms } from '../../guard/keys/jwks.ts'
import type { IssuerSettings } from '../options.ts'
import { baseOf, tokenEndpointOf } from './endpoints.ts'

/**
 * The issuer's metadata.
 *
 * @see RFC 8414 §2, RFC 9449 §5.1
 */
export function toMetadata(settings: IssuerSettings): Record<string, unknown> {
  const base = baseOf(settings.issuer)
  const { clients } = settings
  const methods = [
    'none',
    ...(clients.haveSecrets ? ['client_secret_basic', 'client_secret_post'] : []),
    ...(clients.haveKeys ? ['private_key_jwt'] : []),
  ]
  const algorithms = clients.haveKeys ? supportedAlgorithms : undefined
  const proving = methods.filter((method) => method !== 'none')
  return {
    issuer: settings.issuer,
    ...(settings.authorizationEndpoint !== undefined && {
      authorization_endpoint: settings.authorizationEndpoint,
    }),
    token_endpoint: tokenEndpointOf(settings.issuer),
    revocation_endpoint: `${base}/revoke`,
    ...(clients.mayIntrospect && {
      introspection_endpoint: `${base}/introspect`,
      introspection_endpoint_auth_methods_supported: proving,
      ...(algorithms && {
        introspection_endpoint_auth_signing_alg_values_supported: algorithms,
      }),
    }),
    jwks_uri: `${base}/.well-known/jwks.json`,
    grant_types_supported: [
      'refresh_token',
      ...(clients.areMachines ? ['client_credentials'] : []),
    ],
    response_types_supported: [],
    token_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_methods_supported: methods,
    ...(algorithms && {
      token_endpoint_auth_signing_alg_values_supported: algorithms,
      revocation_endpoint_auth_signing_alg_values_supported: algorithms,
    }),
    dpop_signing_alg_values_supported: proofAlgorithms,
  }
}
