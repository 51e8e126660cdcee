import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseScope, splitRequestedScope } from '../../../src/issuer/tokens/scope.ts'

const anyScopeToken = fc.string({
  unit: fc.constantFrom(...'!#%&*+-./09:AZ[]^_az{|}~'),
  minLength: 1,
  maxLength: 20,
})

describe('parseScope', () => {
  test('C09 gives back what was joined, each once, in order', () => {
    fc.assert(
      fc.property(fc.uniqueArray(anyScopeToken, { maxLength: 100 }), (scopes) => {
        expect(parseScope(scopes.join(' '))).toEqual(scopes)
        expect(parseScope(` ${scopes.join('   ')} `)).toEqual(scopes)
        expect(parseScope([...scopes, ...scopes.slice(0, 3)].slice(0, 100).join(' '))).toEqual(
          scopes,
        )
      }),
    )
  })

  test.each(['a\tb', 'a\nb', 'admin\u00a0', 'é', 'a"b', 'a\\b', '\0', 'a\u2000b', '\x7f'])(
    'C09 refuses %j',
    (scope) => {
      expect(parseScope(scope)).toBeUndefined()
    },
  )

  test('never lets a character through that no scope may have', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        for (const scope of parseScope(text) ?? []) {
          expect(scope).toMatch(/^[\x21\x23-\x5b\x5d-\x7e]+$/)
        }
      }),
    )
  })

  test('takes 100 scopes and not 101', () => {
    const scopes = (count: number) => Array.from({ length: count }, (_, i) => `s${i}`).join(' ')
    expect(parseScope(scopes(100))).toHaveLength(100)
    expect(parseScope(scopes(101))).toBeUndefined()
  })
})

describe('splitRequestedScope', () => {
  test.each<[string | undefined, string[] | undefined]>([
    [undefined, undefined],
    ['a', ['a']],
    ['a b', ['a', 'b']],
    [' a  b ', ['a', 'b']],
    ['a a b a', ['a', 'b']],
    [' ', ['"']],
    ['   ', ['"']],
    ['', ['"']],
    ['a\tb', ['a\tb']],
  ])('%j', (scope, parts) => {
    expect(splitRequestedScope(scope)).toEqual(parts)
  })
})
