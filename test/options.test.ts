import { expect, test } from '@jest/globals'
import {
  assertOptions,
  isSecureUrl,
  readBoolean,
  readChoice,
  readFunction,
  readNumber,
  readString,
  readStrings,
} from '../src/options.ts'

const secret = 'hunter2'

test.each([null, undefined, 7, 'x', []])('%j are no options', (options) => {
  expect(() => {
    assertOptions('f', options, ['a'])
  }).toThrow('f: the options must be an object')
})
test.each([
  ['audiance', 'did you mean "audience"?'],
  ['AUDIENCE', 'did you mean "audience"?'],
  ['timeout', 'did you mean "timeoutMs"?'],
  ['timeoutMsecs', 'did you mean "timeoutMs"?'],
  ['x', 'known are audience, timeoutMs'],
])('%s: %s', (name, text) => {
  const attempt = () => {
    assertOptions('f', { [name]: secret }, ['audience', 'timeoutMs'])
  }
  expect(attempt).toThrow(text)
  expect(attempt).not.toThrow(secret)
})
test('reads numbers within their range, both ends included', () => {
  const range = { fallback: 3, min: 1, max: 5 }
  const read = (value: unknown, integer = false) =>
    readNumber('f', 'n', value, { ...range, integer })
  expect([read(undefined), read(1), read(5), read(1.5)]).toEqual([3, 1, 5, 1.5])
  for (const wrong of [0.999, 5.001, NaN, Infinity, '3', null])
    expect(() => read(wrong)).toThrow('option "n" must be a number, 1 to 5')
  expect(() => read(1.5, true)).toThrow('a whole number')
})
test('reads the other kinds, undefined being absent and null being wrong', () => {
  expect([readString('f', 'o', undefined), readString('f', 'o', 'x')]).toEqual([undefined, 'x'])
  expect([readStrings('f', 'o', 'x'), readStrings('f', 'o', ['x', 'y'])]).toEqual([
    ['x'],
    ['x', 'y'],
  ])
  expect([readBoolean('f', 'o', undefined, true), readBoolean('f', 'o', false, true)]).toEqual([
    true,
    false,
  ])
  expect([
    readChoice('f', 'o', undefined, ['a', 'b'], 'b'),
    readChoice('f', 'o', 'a', ['a'], 'a'),
  ]).toEqual(['b', 'a'])
  expect(readFunction<() => 1>('f', 'o', undefined)).toBeUndefined()
  const readers = [
    (value: unknown) => readString('f', 'o', value),
    (value: unknown) => readStrings('f', 'o', value),
    (value: unknown) => readBoolean('f', 'o', value, true),
    (value: unknown) => readChoice('f', 'o', value, ['a'], 'a'),
    (value: unknown) => readFunction<unknown>('f', 'o', value),
  ]
  for (const read of readers) expect(() => read(null)).toThrow('f: option "o" must')
  for (const read of readers.slice(2)) {
    expect(() => read(secret)).toThrow(TypeError)
    expect(() => read(secret)).not.toThrow(secret)
  }
})
test.each([
  ['https://a.test', true],
  ['http://localhost:1', true],
  ['http://a.localhost', true],
  ['http://127.0.0.1', true],
  ['http://127.9.9.9', true],
  ['http://[::1]', true],
  ['http://a.test', false],
  ['http://localhost.evil.test', false],
  ['http://127.0.0.1.evil.test', false],
  ['http://128.0.0.1', false],
  ['ftp://localhost', false],
  ['file:///x', false],
])('%s may be trusted to fetch from: %s', (url, expected) => {
  expect(isSecureUrl(new URL(url))).toBe(expected)
})
