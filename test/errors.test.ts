import { expect, test } from '@jest/globals'
import {
  AuthError,
  copyOf,
  GrantError,
  isAuthError,
  isGrantError,
  isUnavailableError,
  UnavailableError,
} from '../src/errors.ts'

test.each([
  ['missing_token', 401],
  ['invalid_request', 400],
  ['invalid_token', 401],
  ['insufficient_scope', 403],
] as const)('%s is %d', (code, status) => {
  const error = new AuthError(code, 'missing', 'for the log')
  expect(error).toMatchObject({
    name: 'AuthError',
    code,
    status,
    statusCode: status,
    expose: false,
    message: 'for the log',
  })
  expect(error.description).not.toContain('log')
})
test.each([
  [undefined, '1'],
  [0, '1'],
  [-5, '1'],
  [1, '1'],
  [1.01, '2'],
  [30, '30'],
])('503 has a Retry-After: %s s is "%s"', (retryAfterSeconds, expected) => {
  const error = new UnavailableError(
    'jwks',
    'm',
    retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
  )
  expect(error).toMatchObject({
    status: 503,
    code: 'temporarily_unavailable',
    headers: { 'Retry-After': expected },
  })
})
test('is known across copies of the package, and nothing else is', () => {
  const brand = Symbol.for('express-kickout.error')
  const auth = new AuthError('invalid_token', 'revoked', 'm')
  const unavailable = new UnavailableError('revocations', 'm')
  const grant = new GrantError('invalid_grant', 'reused', 'd')
  expect([auth, unavailable, grant].map(isAuthError)).toEqual([true, true, false])
  expect([auth, unavailable, grant].map(isUnavailableError)).toEqual([false, true, false])
  expect([auth, unavailable, grant].map(isGrantError)).toEqual([false, false, true])
  expect(isAuthError(Object.assign(new Error('m'), { [brand]: 'auth' }))).toBe(true)
  for (const other of [undefined, null, 'x', 7, {}, new Error('m'), { status: 401 }])
    expect(isAuthError(other)).toBe(false)
})
test('a copy says the same and is another object', () => {
  const cause = new Error('c')
  for (const error of [
    new AuthError('invalid_token', 'revoked', 'm', { cause }),
    new UnavailableError('jwks', 'm', { retryAfterSeconds: 7, cause }),
  ]) {
    const copy = copyOf(error)
    expect(copy).not.toBe(error)
    expect(copy.headers).not.toBe(error.headers)
    for (const name of [
      'name',
      'message',
      'code',
      'reason',
      'status',
      'headers',
      'cause',
    ] as const) {
      expect(copy[name]).toEqual(error[name])
    }
  }
})
