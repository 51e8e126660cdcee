import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { readSettings } from '../../../src/guard/options.ts'
import type { RequireAuthOptions } from '../../../src/guard/require-auth-options.ts'

const issuer = 'https://issuer.test'
const audience = 'https://api.test'
const secret = 'a-secret-that-must-not-be-printed'
const clientId = 'api'
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
const named = { ...ec, kid: 'k1', alg: 'ES256' }
const own = { clientId, clientSecret: secret }

test.each<[object, RegExp]>([
  [{}, /introspection\.clientId" is missing/],
  [{ clientId: 7, clientSecret: secret }, /introspection\.clientId"/],
  [{ clientId }, /introspection\.clientSecret" must be given/],
  [{ clientId, clientSecret: secret, privateKey: named }, /not both/],
  [{ clientId, clientSecret: '' }, /introspection\.clientSecret"/],
  [{ clientId, clientSecret: secret, auth: 'private_key_jwt' }, /introspection\.auth"/],
  [{ clientId, privateKey: named, auth: 'basic' }, /introspection\.auth"/],
  [{ clientId, privateKey: { ...ec, alg: 'ES256' } }, /introspection\.privateKey".*"kid"/],
  [{ clientId, privateKey: { ...ec, kid: 'k1' } }, /introspection\.privateKey".*"alg"/],
  [{ clientId, privateKey: { ...named, alg: 'HS256' } }, /introspection\.privateKey"/],
  [
    { clientId, privateKey: { ...named, alg: 'ES384' } },
    /introspection\.privateKey" cannot be read/,
  ],
  [
    { clientId, privateKey: { ...named, alg: 'RS256' } },
    /introspection\.privateKey" cannot be read/,
  ],
  [
    { clientId, privateKey: { ...named, d: undefined } },
    /introspection\.privateKey" cannot be read/,
  ],
  [{ clientId, privateKey: 'PEM' }, /introspection\.privateKey"/],
  [
    { ...own, endpoint: 'http://issuer.test/introspect' },
    /introspection\.endpoint" must be an https/,
  ],
  [{ ...own, endpoint: '' }, /introspection\.endpoint"/],
  [{ ...own, cacheSeconds: -1 }, /introspection\.cacheSeconds"/],
  [{ ...own, timeoutMs: 0 }, /introspection\.timeoutMs"/],
  [{ ...own, timeoutMs: Number.POSITIVE_INFINITY }, /introspection\.timeoutMs"/],
  [{ ...own, maxConcurrent: 1.5 }, /introspection\.maxConcurrent"/],
  [{ ...own, jwt: 'yes' }, /introspection\.jwt"/],
  [{ ...own, secret }, /unknown option "secret"/],
  [{ ...own, cacheSecond: 1 }, /did you mean "cacheSeconds"/],
])('%j is a TypeError', (introspection, message) => {
  const read = () => readSettings({ issuer, audience, introspection } as RequireAuthOptions)
  expect(read).toThrow(TypeError)
  expect(read).toThrow(message)
  expect(read).not.toThrow(secret)
})

test('an issuer that is no URL needs an endpoint', () => {
  const jwks = { keys: [{ kty: 'EC', crv: 'P-256', x: ec['x'], y: ec['y'] }] }
  const read = (introspection: object) => () =>
    readSettings({ issuer: 'an issuer', audience, jwks, introspection } as RequireAuthOptions)
  expect(read(own)).toThrow(/"issuer" must be an https: URL/)
  expect(read({ ...own, endpoint: 'https://issuer.test/introspect' })).not.toThrow()
})

test('stands in one entry of a list, or beside one issuer, and never beside a list or in what a function returns', async () => {
  const other = { issuer: 'https://other.test', introspection: own }
  expect(() =>
    readSettings({
      issuer: [{ issuer, introspection: own }, { issuer: 'https://other.test' }],
      audience,
    }),
  ).not.toThrow()
  expect(() => readSettings({ issuer: [{ issuer, introspection: own }, other], audience })).toThrow(
    /more than one entry with "introspection"/,
  )
  expect(() => readSettings({ issuer: [{ issuer }], audience, introspection: own })).toThrow(
    /"introspection" must not stand beside a list/,
  )
  const { trusts } = readSettings({ issuer: () => other, audience })
  const resolved = trusts.kind === 'resolver' ? trusts.resolve('https://other.test') : undefined
  await expect(resolved).rejects.toThrow(/introspection/)
})

test('an empty audience is for introspection only', () => {
  expect(() => readSettings({ issuer, audience: [] })).toThrow(/"audience"/)
  expect(() => readSettings({ issuer, audience: [], introspection: own })).not.toThrow()
  expect(() => readSettings({ issuer, introspection: own })).toThrow(/"audience" is missing/)
  expect(() =>
    readSettings({
      issuer,
      audience,
      introspection: { ...own, endpoint: new URL('http://keycloak:8080/i') },
      dangerouslyAllowHttp: true,
    }),
  ).not.toThrow()
})
