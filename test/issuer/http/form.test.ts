import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { GrantError } from '../../../src/errors.ts'
import { FormParameters } from '../../../src/issuer/http/form.ts'

describe('FormParameters', () => {
  test('gives a text that is there, and nothing for one that is not or is empty', () => {
    const form = new FormParameters({ token: 'a', scope: '' })
    expect(form.get('token')).toBe('a')
    expect(form.get('scope')).toBeUndefined()
    expect(form.get('other')).toBeUndefined()
  })

  test.each([[['a', 'b']], [['a']], [{ a: 'b' }], [1], [true], [null], [undefined]])(
    'refuses %j for a parameter',
    (value) => {
      const form = new FormParameters({ token: value })
      expect(() => form.get('token')).toThrow(GrantError)
      expect(() => form.get('token')).toThrow(/"token"/)
    },
  )

  test.each([undefined, null, '', 'token=a', 42, true])('refuses %j for a body', (body) => {
    expect(() => new FormParameters(body)).toThrow(GrantError)
  })

  test('C08 reads nothing from a prototype', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(new FormParameters({}).get(name)).toBeUndefined()
      expect(new FormParameters(Object.create(null)).get(name)).toBeUndefined()
    }
    expect(new FormParameters(Object.create({ token: 'a' })).get('token')).toBeUndefined()
  })

  test('C08 is not misled by a body that has methods of its own', () => {
    const body = { hasOwnProperty: 'a', token: 'b' }
    expect(new FormParameters(body).get('token')).toBe('b')
  })

  test('require names what is missing', () => {
    expect(() => new FormParameters({ token: '' }).require('token')).toThrow(
      /The parameter "token" is missing/,
    )
  })

  test('any body and any name give a text, nothing, or invalid_request', () => {
    fc.assert(
      fc.property(fc.anything(), fc.string(), (body, name) => {
        try {
          const value = new FormParameters(body).get(name)
          expect(value === undefined || (typeof value === 'string' && value !== '')).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_request', status: 400 })
        }
      }),
    )
  })
})
