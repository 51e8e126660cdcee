import { describe, expect, test } from '@jest/globals'
import { type HeaderMemory, readCompactJws as read } from '../../../src/guard/token/compact-jws.ts'
import { base64url, encodeJson } from '../../support/make-token.ts'

const maxTokenBytes = 8192
const readCompactJws = (text: string, headers: HeaderMemory = new Map()) =>
  read(text, headers, maxTokenBytes)

const token = (header: string, payload: string, signature = 'AAAA') =>
  `${header}.${payload}.${signature}`
const malformed = expect.objectContaining({
  status: 401,
  code: 'invalid_token',
  reason: 'malformed',
})

test('reads the two readable parts', () => {
  expect(readCompactJws(token(encodeJson({ alg: 'x' }), encodeJson({ a: '\u00e9' })))).toEqual({
    header: { alg: 'x' },
    payload: { a: '\u00e9' },
  })
})
test.each([0, 1, 2])(
  'takes one spelling only of part %d, for each count of unused bits',
  (index) => {
    for (const padding of ['', ' ', '  ']) {
      const parts = [encodeJson({}), encodeJson({}), 'AAAA'].map((part, at) =>
        at === index ? base64url(`{}${padding}`) : part,
      )
      const text = parts.join('.')
      expect(() => readCompactJws(text)).not.toThrow()
      const last = parts[index]?.at(-1) ?? ''
      const canonical = [
        ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
      ].filter((char) => {
        const changed = [...parts]
        changed[index] = `${parts[index]?.slice(0, -1)}${char}`
        const bytes = (part = '') => Buffer.from(part, 'base64url').toString('hex')
        if (char === last || bytes(changed[index]) !== bytes(parts[index])) return false
        expect(() => readCompactJws(changed.join('.'))).toThrow(malformed)
        return true
      })
      expect(canonical).toHaveLength({ '': 3, ' ': 0, '  ': 15 }[padding] ?? -1)
    }
  },
)
test('refuses a part with one character too many', () => {
  expect(() => readCompactJws(token('e30g', 'e30g', 'AAAB'))).not.toThrow()
  const tooLong: Parameters<typeof token>[] = [
    ['e30gA', 'e30g'],
    ['e30g', 'e30gA'],
    ['e30g', 'e30g', 'AAABA'],
  ]
  for (const parts of tooLong) {
    expect(() => readCompactJws(token(...parts))).toThrow(malformed)
  }
})
test('looks for unused bits in the last character only', () => {
  const part = encodeJson({ a: 12 })
  expect(part).toBe('eyJhIjoxMn0')
  expect(() => readCompactJws(token(part, part))).not.toThrow()
  expect(() => readCompactJws(token(part, 'eyJhIjoxMn1'))).toThrow(malformed)
})
test.each([
  '',
  'e30',
  'e30.e30',
  'e30.e30.',
  '.e30.AAAA',
  'e30..AAAA',
  'e30.e30.AAAA.AAAA',
  'e30.e30.AAAA.',
  '!e30.e30.AAAA',
  'e30.e30.AAAA!',
  'e30.e30.AAAA\n',
  'e30=.e30.AAAA',
])('refuses %j, which is not three parts', (text) => {
  expect(() => readCompactJws(text)).toThrow(malformed)
})
test.each(['null', '7', '"x"', 'true', '[]', '[{}]'])(
  'refuses the part %s, which is no object',
  (json) => {
    for (const parts of [
      [base64url(json), 'e30'],
      ['e30', base64url(json)],
    ] satisfies Parameters<typeof token>[]) {
      expect(() => readCompactJws(token(...parts))).toThrow(malformed)
      expect(() => readCompactJws(token(...parts))).toThrow('is not a JSON object')
    }
  },
)
test('refuses a part that is not JSON', () => {
  for (const parts of [
    [base64url('{'), 'e30'],
    ['e30', base64url('{}x')],
  ] satisfies Parameters<typeof token>[]) {
    expect(() => readCompactJws(token(...parts))).toThrow(malformed)
    expect(() => readCompactJws(token(...parts))).toThrow(/is not JSON$/)
  }
})
test('a kid is a non-empty string, if it is there', () => {
  for (const kid of ['', 7, null, {}, ['a']]) {
    expect(() => readCompactJws(token(encodeJson({ kid }), 'e30'))).toThrow(malformed)
  }
  for (const kid of ['a', undefined]) {
    expect(readCompactJws(token(encodeJson({ kid }), 'e30')).header.kid).toBe(kid)
  }
})
test('refuses a nested JWT, and no other content', () => {
  for (const cty of ['jwt', 'JWT', 'application/jwt', 'Application/JWT']) {
    expect(() => readCompactJws(token(encodeJson({ cty }), 'e30'))).toThrow('is a nested JWT')
  }
  for (const cty of ['xjwt', 'jwtx', 'text/jwt', 'json', '', 7]) {
    expect(() => readCompactJws(token(encodeJson({ cty }), 'e30'))).not.toThrow()
  }
})
test('looks at 8 192 bytes and at no byte more', () => {
  const long = (length: number) => token('e30', 'e30', 'A'.repeat(length - 8))
  expect(() => readCompactJws(long(8192))).not.toThrow()
  expect(() => readCompactJws(long(8196))).toThrow('longer than 8192')
})
test.each(['crit', 'b64', 'enc', 'zip', 'p2c'])(
  'refuses the parameter %s, whatever it says',
  (name) => {
    for (const value of [null, false, [], '']) {
      expect(() => readCompactJws(token(encodeJson({ [name]: value }), 'e30'))).toThrow(malformed)
    }
  },
)
test('never quotes the token in what it throws', () => {
  const secret = 'a-secret-in-the-payload'
  try {
    readCompactJws(token('e30', base64url(secret)))
  } catch (error) {
    expect(error).toEqual(malformed)
    expect((error as Error).cause).toBeUndefined()
    expect(String((error as Error).stack)).not.toContain('secret')
    return
  }
  throw new Error('accepted')
})

describe('headers are read once', () => {
  const text = encodeJson({ alg: 'x', kid: 'k' })

  test('and then remembered by their text', () => {
    const headers = new Map()
    const { header } = readCompactJws(token(text, 'e30'), headers)
    expect(readCompactJws(token(text, 'e30', 'BBBB'), headers).header).toBe(header)
    expect(readCompactJws(token(encodeJson({ alg: 'y' }), 'e30'), headers).header.alg).toBe('y')
    expect(Object.isFrozen(header)).toBe(true)
  })

  test('but neither refused ones nor long ones', () => {
    const headers = new Map<string, never>()
    expect(() => readCompactJws(token(encodeJson({ crit: [] }), 'e30'), headers)).toThrow(malformed)
    readCompactJws(token(encodeJson({ kid: 'k'.repeat(300) }), 'e30'), headers)
    expect(headers.size).toBe(0)
  })
})
