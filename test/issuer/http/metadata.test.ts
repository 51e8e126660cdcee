import { expect, test } from '@jest/globals'
import { toMetadata } from '../../../src/issuer/http/metadata.ts'
import { type Client, hashClientSecret } from '../../../src/issuer/http/client.ts'
import { readSettings } from '../../../src/issuer/options.ts'
import { audience, secret, signingKey } from '../../support/issuer-kit.ts'

test.each([
  ['https://login.example.com', 'https://login.example.com'],
  ['https://login.example.com/', 'https://login.example.com'],
  ['https://login.example.com/tenant', 'https://login.example.com/tenant'],
  ['https://login.example.com/tenant/', 'https://login.example.com/tenant'],
])('the metadata of %s names it exactly, and no address has two slashes', (issuer, base) => {
  const metadata = toMetadata(
    readSettings({ issuer, audience, signingKeys: [signingKey], refreshTokenSecret: secret }),
  )
  const methods = ['none']
  expect(metadata).toEqual({
    issuer,
    token_endpoint: `${base}/token`,
    revocation_endpoint: `${base}/revoke`,
    jwks_uri: `${base}/.well-known/jwks.json`,
    grant_types_supported: ['refresh_token'],
    response_types_supported: [],
    token_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_methods_supported: methods,
    dpop_signing_alg_values_supported: [
      ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
      ...['PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'],
    ],
  })
})

test('names client secrets only where a client has one', () => {
  const given = { issuer: 'https://login.example.com', audience, signingKeys: [signingKey] }
  const methodsWith = (clients: Client[]) =>
    toMetadata(readSettings({ ...given, refreshTokenSecret: secret, clients }))[
      'token_endpoint_auth_methods_supported'
    ]
  expect(methodsWith([{ clientId: 'web' }])).toEqual(['none'])
  const secretHashes = [hashClientSecret('a client secret of thirty-two bytes')]
  expect(methodsWith([{ clientId: 'web' }, { clientId: 'server', secretHashes }])).toEqual([
    'none',
    'client_secret_basic',
    'client_secret_post',
  ])
})

test('names the sign-in of the application where it is given, and refuses what is no address', () => {
  const given = { issuer: 'https://login.example.com', audience, signingKeys: [signingKey] }
  const settingsWith = (authorizationEndpoint: string) =>
    readSettings({ ...given, refreshTokenSecret: secret, authorizationEndpoint })
  expect(toMetadata(settingsWith('https://example.com/sign-in?from=app'))).toMatchObject({
    authorization_endpoint: 'https://example.com/sign-in?from=app',
    response_types_supported: [],
  })
  for (const wrong of [
    '/sign-in',
    'http://example.com/a',
    'https://example.com/#a',
    'https://u:p@a.b/',
  ]) {
    expect(() => settingsWith(wrong)).toThrow(/"authorizationEndpoint" must be an https: URL/)
  }
})
