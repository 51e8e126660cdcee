import { expect, test } from '@jest/globals'
import { AuthError, UnavailableError } from '../../src/errors.ts'
import { toChallenge, toErrorBody, writeHeaders } from '../../src/guard/challenge.ts'

const settings = { realm: 'api', resourceMetadataUrl: undefined }
const missing = new AuthError('missing_token', 'missing', 'm')
const scope = new AuthError('insufficient_scope', 'scope', 'm')

test('says no error where there were no credentials', () => {
  expect(toChallenge(missing, settings)).toBe('Bearer realm="api"')
  expect(toChallenge(missing, settings, ['a', 'b'])).toBe('Bearer realm="api", scope="a b"')
})
test('names the error, the scope and the metadata', () => {
  expect(toChallenge(scope, { ...settings, resourceMetadataUrl: 'https://m.test' }, ['a'])).toBe(
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
  writeHeaders(res, missing, settings, ['a'])
  writeHeaders(res, missing, settings, ['b'])
  writeHeaders(res, new UnavailableError('jwks', 'm', { retryAfterSeconds: 1.2 }), settings)
  expect(written).toEqual([
    ['WWW-Authenticate', 'Bearer realm="api", scope="a"'],
    ['WWW-Authenticate', 'Bearer realm="api", scope="b"'],
    ['Retry-After', '2'],
  ])
  expect(missing.headers).toEqual({ 'WWW-Authenticate': 'Bearer realm="api", scope="b"' })
})
test('the body tells the code and the description, never the message', () => {
  const error = new AuthError('invalid_token', 'revoked', 'secret why')
  expect(toErrorBody(error)).toEqual({
    error: 'invalid_token',
    error_description: error.description,
  })
  expect(JSON.stringify(toErrorBody(error))).not.toContain('secret')
})
