import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { GrantError } from '../../../src/errors.ts'
import {
  readCookie,
  readCookieSettings,
  toClearCookie,
  toSetCookie,
} from '../../../src/issuer/http/cookie.ts'

const name = '__Host-refresh_token'
const settings = readCookieSettings({}, 'https://login.example.com')!

/** A pair as browsers send it, of another name than ours. */
const otherPair = fc
  .string({ unit: fc.constantFrom(...'abc_-=$"%. \t__Host-refresh_token'), maxLength: 30 })
  .filter((pair) => !pair.includes(name))

const value = fc.string({ unit: fc.constantFrom(...'abcXYZ019_-=".%'), maxLength: 80 })

describe('readCookie', () => {
  test('finds ours among any others, as it is', () => {
    fc.assert(
      fc.property(fc.array(otherPair), fc.array(otherPair), value, (before, after, ours) => {
        const header = [...before, `${name}=${ours}`, ...after].join('; ')
        expect(readCookie(header, settings)).toBe(ours)
      }),
    )
  })

  test('finds nothing in any header that does not have our name', () => {
    fc.assert(
      fc.property(fc.array(otherPair), (pairs) => {
        expect(readCookie(pairs.join('; '), settings)).toBeUndefined()
      }),
    )
  })

  test('K03 refuses two of ours, wherever they stand and whatever they say', () => {
    fc.assert(
      fc.property(fc.array(otherPair), value, value, (others, first, second) => {
        const header = [`${name}=${first}`, ...others, `${name}=${second}`].join('; ')
        expect(() => readCookie(header, settings)).toThrow(GrantError)
      }),
    )
  })

  test('never throws anything but a GrantError', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (header) => {
        try {
          readCookie(header, settings)
        } catch (error) {
          expect(error).toBeInstanceOf(GrantError)
        }
      }),
    )
  })

  test.each([
    [undefined, undefined],
    ['', undefined],
    [name, undefined],
    [`${name}=`, ''],
    [`${name}=a`, 'a'],
    [`a=b;${name}=a`, 'a'],
    [`a=b; ${name}=a;`, 'a'],
    [`a=b;  ${name}=a`, undefined],
    [` ${name}=a`, undefined],
    [`\t${name}=a`, undefined],
    [`${name} =a`, undefined],
    [`${name.toUpperCase()}=a`, undefined],
    [`\u2000${name}=a`, undefined],
    [`$Version="1"; ${name}="a"; $Path=/`, '"a"'],
  ])('K04 reads %j', (header, expected) => {
    expect(readCookie(header, settings)).toBe(expected)
  })
})

describe('what is set', () => {
  test('has whole seconds, and none below zero', () => {
    expect(toSetCookie('v', 12.9, settings)).toBe(
      `${name}=v; Max-Age=12; Path=/; HttpOnly; Secure; SameSite=Strict`,
    )
    expect(toSetCookie('v', -5, settings)).toContain('Max-Age=0;')
  })

  test('K07 is taken away with the very attributes that it was set with', () => {
    const attributes = (cookie: string) => cookie.slice(cookie.indexOf('Path='))
    expect(attributes(toClearCookie(settings))).toBe(attributes(toSetCookie('v', 1, settings)))
  })

  test('is nothing outside of cookie mode', () => {
    expect(readCookieSettings(undefined, 'https://login.example.com')).toBeUndefined()
  })
})
