import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { KeysRefused, Seal } from '../../src/key-store/seal.ts'

const issuer = 'https://login.example.com'
const [first, second] = ['a'.repeat(32), new Uint8Array(32).fill(7)]
const where = 'redisKeyStore'
const text = '{"keys":[{"jwk":{"d":"a private number"}}]}'

describe('what was sealed', () => {
  test('opens again, and looks different each time', () => {
    fc.assert(
      fc.property(fc.string(), (plain) => {
        const seal = new Seal(where, first)
        const [one, other] = [seal.close(plain, issuer), seal.close(plain, issuer)]
        expect(one).not.toBe(other)
        expect(seal.open(one, issuer)).toBe(plain)
      }),
    )
  })

  test('shows nothing of the text, nor of the key', () => {
    const sealed = new Seal(where, first).close(text, issuer)
    expect(sealed).toMatch(/^v1(\.[\w-]+){4}$/)
    for (const part of sealed.split('.')) {
      expect(Buffer.from(part, 'base64url').toString('latin1')).not.toMatch(/private|aaaa|keys/)
    }
  })

  test('opens for no other issuer', () => {
    const sealed = new Seal(where, first).close(text, issuer)
    for (const other of [`${issuer}/`, 'https://other.example', '']) {
      expect(() => new Seal(where, first).open(sealed, other)).toThrow(/were changed/)
    }
  })

  test('opens by any key of a list, and is made by the first', () => {
    const byFirst = new Seal(where, first).close(text, issuer)
    const both = new Seal(where, [second, first])
    expect(both.open(byFirst, issuer)).toBe(text)
    const again = both.close(text, issuer)
    expect(new Seal(where, second).open(again, issuer)).toBe(text)
    expect(() => new Seal(where, first).open(again, issuer)).toThrow(KeysRefused)
  })

  test('with another key is told apart from a change, and neither says the key', () => {
    const sealed = new Seal(where, first).close(text, issuer)
    expect(() => new Seal(where, second).open(sealed, issuer)).toThrow(/option "encryptionKey"/)
    try {
      new Seal(where, second).open(sealed, issuer)
    } catch (error) {
      expect(String(error)).not.toContain(first)
    }
  })

  test('does not open when one character was changed, anywhere', () => {
    const seal = new Seal(where, first)
    const sealed = seal.close(text, issuer)
    for (let at = 0; at < sealed.length; at++) {
      const character = sealed[at] === 'A' ? 'B' : 'A'
      const changed = sealed.slice(0, at) + character + sealed.slice(at + 1)
      const isSame = changed.split('.').every((part, n) => {
        const [one, other] = [part, sealed.split('.')[n] ?? '']
        return n < 2
          ? one === other
          : Buffer.from(one, 'base64url').equals(Buffer.from(other, 'base64url'))
      })
      // The last bits of base64url may mean nothing.
      if (!isSame) expect(() => seal.open(changed, issuer)).toThrow(KeysRefused)
    }
  })

  test.each(['', 'v1', 'v2.a.b.c.d', 'v1.a.b.c', 'v1.a.b.c.d.e', 'v1.....', '{"keys":[]}'])(
    'is not %j, which does not open',
    (sealed) => {
      expect(() => new Seal(where, first).open(sealed, issuer)).toThrow(KeysRefused)
    },
  )

  test('does not open with a tag that was cut short', () => {
    const sealed = new Seal(where, first).close(text, issuer)
    const parts = sealed.split('.')
    const tag = Buffer.from(parts[4] ?? '', 'base64url')
      .subarray(0, 4)
      .toString('base64url')
    const cut = [...parts.slice(0, 4), tag].join('.')
    expect(() => new Seal(where, first).open(cut, issuer)).toThrow(KeysRefused)
  })
})

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['null', null],
  ['31 bytes', 'a'.repeat(31)],
  ['31 bytes as bytes', new Uint8Array(31)],
  ['a number', 42],
  ['an empty list', []],
  ['a list with a short one', ['a'.repeat(32), 'short']],
])('%s is no encryption key', (_name, key) => {
  expect(() => new Seal(where, key)).toThrow(/redisKeyStore: option "encryptionKey"/)
  expect(() => new Seal(where, key)).toThrow(TypeError)
})
