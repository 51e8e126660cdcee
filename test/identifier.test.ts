import { expect, test } from '@jest/globals'
import { isIdentifier } from '../src/identifier.ts'

test.each(['a', ' ', '\u0000', '\u00e9', '\ud83d\ude00', 'x'.repeat(255)])(
  '%j is an id',
  (value) => {
    expect(isIdentifier(value)).toBe(true)
  },
)
test.each(['', 'x'.repeat(256), '\ud800', 'a\udc00', 7, null, undefined, {}, ['a'], true])(
  '%j is no id',
  (value) => {
    expect(isIdentifier(value)).toBe(false)
  },
)
