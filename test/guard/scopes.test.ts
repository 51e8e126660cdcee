import { expect, test } from '@jest/globals'
import { readRequiredScopes, readScopes, splitScope } from '../../src/guard/scopes.ts'

const read = (claims: object) => readScopes({ iss: 'i', aud: 'a', exp: 1, ...claims })

test('splits on SP and nothing else', () => {
  expect(splitScope(' a  b\tc \u00a0d ')).toEqual(['a', 'b\tc', '\u00a0d'])
})
test('reads scope, else scp, as text or list', () => {
  expect(read({})).toEqual([])
  expect(read({ scope: 'a b', scp: 'c' })).toEqual(['a', 'b'])
  expect(read({ scp: 'a b' })).toEqual(['a', 'b'])
  expect(read({ scp: ['a', 'b c'] })).toEqual(['a', 'b c'])
})
test.each(['', ' ', '   ', []])('an empty one, %j, grants nothing and is no error', (value) => {
  expect(read({ scope: value })).toEqual([])
  expect(read({ scp: value })).toEqual([])
  expect(read({ scope: value, scp: 'a' })).toEqual([])
})
test.each([null, [''], ['a', 7], 7, true, {}])('refuses %j, in either claim', (value) => {
  for (const claims of [{ scope: value }, { scp: value }, { scope: value, scp: 'a' }]) {
    expect(() => read(claims)).toThrow(
      expect.objectContaining({ code: 'invalid_token', reason: 'claims' }),
    )
  }
})
test('reads what a route guard wants, once each', () => {
  expect(readRequiredScopes('f', ['a b', 'b', 'c'])).toEqual(['a', 'b', 'c'])
  for (const wrong of [[], [''], [' '], [7], [['a']], [undefined]]) {
    expect(() => readRequiredScopes('f', wrong)).toThrow(TypeError)
    expect(() => readRequiredScopes('f', wrong)).toThrow(
      /^f: (every scope must be|name at least one)/,
    )
  }
})
