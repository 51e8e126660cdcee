import { expect, test } from '@jest/globals'
import { AuthError, UnavailableError } from '../../src/errors.ts'
import { toChallenge, toErrorBody, writeHeaders } from '../../src/guard/challenge.ts'

const settings = { realm: 'api', resourceMetadataUrl: undefined }
const missing = new AuthError('missing_token', 'missing', 'm')
const scope = new AuthError('insufficient_scope', 'scope', 'm')

test('says no error where there were no credentials', () => {
  expect(toChallenge(missing, settings)).toBe('Bearer realm="api"')
  expect(toChallenge(missing, settings, { scopes: ['a', 'b'] })).toBe(
    'Bearer realm="api", scope="a b"',
  )
})
test('names the error, the scope and the metadata', () => {
  expect(
    toChallenge(scope, { ...settings, resourceMetadataUrl: 'https://m.test' }, { scopes: ['a'] }),
  ).toBe(
    'Bearer realm="api", error="insufficient_scope", scope="a", ' +
      'error_description="The access token does not grant this", resource_metadata="https://m.test"',
  )
})
test('escapes quotes, and lets nothing through but printable ASCII', () => {
  const realm = 'a"b\\\r\nSet-Cookie: x\u0000\u00e9\ud83d\ude00'
  expect(toChallenge(missing, { ...settings, realm })).toBe(
    String.raw`Bearer realm="a\"b\\Set-Cookie: x"`,
  )
})
test('writes the headers on the response and on the error, per error', () => {
  const written: [string, string][] = []
  const res = { setHeader: (name: string, value: string) => written.push([name, value]) }
  writeHeaders(res, missing, settings, { scopes: ['a'] })
  writeHeaders(res, missing, settings, { scopes: ['b'] })
  writeHeaders(res, new UnavailableError('jwks', 'm', { retryAfterSeconds: 1.2 }), settings)
  expect(written).toEqual([
    ['WWW-Authenticate', 'Bearer realm="api", scope="a"'],
    ['Access-Control-Expose-Headers', 'WWW-Authenticate'],
    ['WWW-Authenticate', 'Bearer realm="api", scope="b"'],
    ['Access-Control-Expose-Headers', 'WWW-Authenticate'],
    ['Retry-After', '2'],
    ['Access-Control-Expose-Headers', 'Retry-After'],
  ])
  expect(missing.headers).toEqual({ 'WWW-Authenticate': 'Bearer realm="api", scope="b"' })
})
test('lets scripts of other origins read the headers, beside those that the application has exposed', () => {
  const headers = new Map<string, string>([
    ['Access-Control-Expose-Headers', 'X-Total, www-authenticate'],
  ])
  const res = {
    setHeader: (name: string, value: string) => headers.set(name, value),
    getHeader: (name: string) => headers.get(name),
  }
  const nonce = { headers: { 'DPoP-Nonce': 'n' } }
  const refusal = new AuthError('use_dpop_nonce', 'nonce', 'm', nonce)
  for (let twice = 0; twice < 2; twice++) {
    writeHeaders(res, refusal, settings)
    expect(headers.get('Access-Control-Expose-Headers')).toBe(
      'X-Total, www-authenticate, DPoP-Nonce',
    )
  }
  expect(headers.get('DPoP-Nonce')).toBe('n')
})

const both = { ...settings, schemes: { bearer: true, dpopAlgorithms: 'ES256 PS256' } }
const bad = new AuthError('invalid_token', 'expired', 'm')
const told = `error="invalid_token", error_description="${bad.description}"`

test('challenges with every scheme that is accepted, and tells the error with the one that was used', () => {
  const { description } = new AuthError('invalid_dpop_proof', 'proof', 'm')
  expect(toChallenge(missing, both, { scopes: ['a'] })).toBe(
    'Bearer realm="api", scope="a", DPoP realm="api", scope="a", algs="ES256 PS256"',
  )
  expect(toChallenge(bad, both, { scheme: 'Bearer' })).toBe(
    `Bearer realm="api", ${told}, DPoP realm="api", algs="ES256 PS256"`,
  )
  expect(toChallenge(bad, both, { scheme: 'DPoP' })).toBe(
    `Bearer realm="api", DPoP realm="api", ${told}, algs="ES256 PS256"`,
  )
  expect(toChallenge(new AuthError('invalid_dpop_proof', 'proof', 'm'), both)).toBe(
    `Bearer realm="api", DPoP realm="api", error="invalid_dpop_proof", error_description="${description}", algs="ES256 PS256"`,
  )
})
test('where DPoP is required it is the only challenge, and has the error of a plain bearer', () => {
  const required = { ...both, schemes: { ...both.schemes, bearer: false } }
  expect(toChallenge(bad, required, { scheme: 'Bearer' })).toBe(
    `DPoP realm="api", ${told}, algs="ES256 PS256"`,
  )
})

test('the body tells the code and the description, never the message', () => {
  const error = new AuthError('invalid_token', 'revoked', 'secret why')
  expect(toErrorBody(error)).toEqual({
    error: 'invalid_token',
    error_description: error.description,
  })
  expect(JSON.stringify(toErrorBody(error))).not.toContain('secret')
})
