import { expect, test } from '@jest/globals'
import { assertB64token, readBearer } from '../../src/guard/bearer.ts'

const read = (authorization: string | undefined, ...more: string[]) => {
  const values = authorization === undefined ? more : [authorization, ...more]
  const rawHeaders = [
    'Host',
    'x',
    ...values.flatMap((value) => ['AuthorizatioN', value]),
    'X-Authorization',
    'y',
  ]
  return readBearer({ headers: { authorization }, rawHeaders })
}

test.each([
  undefined,
  '',
  'Bearer',
  'bearer',
  'Basic x',
  'Bearerx',
  'Bearerx y',
  'B',
  'Bear er x',
  'Basic Bearer ',
  'Basic bearer x',
])('finds no credentials in %j', (header) => {
  expect(read(header)).toBeUndefined()
})
test('finds nothing to speak of in a scheme with a space, which Node cuts off', () => {
  expect(read('Bearer ')).toBe('')
  expect(read('bearer ')).toBe('')
})
test.each(['Bearer abc', 'bearer abc', 'BEARER abc', 'bEARER abc'])('reads %s', (header) => {
  expect(read(header)).toBe('abc')
})
test('leaves what follows as it is, for the next check', () => {
  expect(read('Bearer  a')).toBe(' a')
  expect(read('Bearer a, Bearer b')).toBe('a, Bearer b')
})
test.each([
  'Bearer\tabc',
  'Bearer\t',
  'bearer\t abc',
  'Basic a, Bearer b',
  'Basic a,bearer b',
  'x ,\tbearer\tb',
])('refuses %j', (header) => {
  expect(() => read(header)).toThrow(
    expect.objectContaining({ status: 400, code: 'invalid_request' }),
  )
})
test('refuses a second Authorization header in any case, whatever either says', () => {
  for (const [first, second] of [
    ['Bearer a', 'Bearer a'],
    ['', 'Bearer a'],
    ['Basic a', ''],
    ['Bearer a', 'Basic b'],
  ]) {
    // prettier-ignore
    expect(() => read(first, second!)).toThrow(expect.objectContaining({ reason: 'malformed' }))
  }
})
test('takes no other header for it, of the same length or of another', () => {
  for (const name of ['If-None-Match', 'If-Match', 'Proxy-Authorization']) {
    const rawHeaders = [name, 'x', 'authorization', 'Bearer a', name, 'y']
    expect(readBearer({ headers: { authorization: 'Bearer a' }, rawHeaders })).toBe('a')
  }
})
test.each(['a', 'a.b.c', 'AZaz09-._~+/', 'a=', 'a==='])('a b64token is %s', (token) => {
  expect(() => {
    assertB64token(token)
  }).not.toThrow()
})
test.each([
  '',
  '=',
  'a=a',
  ' a',
  'a ',
  'a b',
  'a,b',
  '"a"',
  'a\n',
  'a\u0000',
  '\u00e9',
  'a;',
  'a%',
  'a&b',
])('a b64token is not %j', (token) => {
  expect(() => {
    assertB64token(token)
  }).toThrow(expect.objectContaining({ status: 400, code: 'invalid_request', reason: 'malformed' }))
})
test('judges a long text in linear time', () => {
  const startedAt = performance.now()
  for (const text of ['a'.repeat(1e6) + ' ', '='.repeat(1e6), 'a' + '='.repeat(1e6) + 'a']) {
    expect(() => {
      assertB64token(text)
    }).toThrow()
  }
  for (const text of [`x${', '.repeat(1e5)}`, `x,${' '.repeat(1e5)}`])
    expect(read(text)).toBeUndefined()
  expect(performance.now() - startedAt).toBeLessThan(500)
})
