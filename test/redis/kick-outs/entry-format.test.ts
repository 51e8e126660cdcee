import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  decodeEntry,
  decodeFact,
  encodeRevocation,
} from '../../../src/redis/kick-outs/entry-format.ts'
import { revocationLevels } from '../../../src/revocation/revocation.ts'

const identifier = fc
  .string({ minLength: 1, maxLength: 255, unit: 'grapheme-composite' })
  .filter((id) => id.length <= 255 && id.isWellFormed())

const written = fc
  .record(
    {
      kickOutId: fc.string(),
      issuer: identifier,
      level: fc.constantFrom(...revocationLevels),
      id: identifier,
      reason: fc.string(),
      by: fc.string(),
    },
    { requiredKeys: ['kickOutId', 'issuer', 'level', 'id'] },
  )
  .map((revocation) => ({
    ...revocation,
    id: revocation.level === 'everyone' ? '' : revocation.id,
  }))

const good = encodeRevocation({ kickOutId: 'k', issuer: 'i', level: 'subject', id: 'u1' })

function fieldsOf(numbers: string, text: string): string[] {
  return ['d', numbers, 'r', text]
}

describe('an entry', () => {
  test('comes back as it was written, whatever ids and reasons hold', () => {
    fc.assert(
      fc.property(
        written,
        fc.nat(),
        fc.nat(),
        fc.option(fc.nat()),
        (revocation, seq, at, version) => {
          const numbers = `${seq}:epoch:${at}:${at + 1}:${version ?? ''}`
          expect(decodeEntry(['5-0', fieldsOf(numbers, encodeRevocation(revocation))])).toEqual({
            position: '5-0',
            seq,
            revocation: {
              ...revocation,
              at,
              until: at + 1,
              ...(version !== null && { version }),
            },
          })
        },
      ),
    )
  })

  test.each([
    ['nothing', []],
    ['other fields', ['hello', 'world']],
    ['one field', ['d', '1:e:1:2:']],
    ['fields in another order', ['r', good, 'd', '1:e:1:2:']],
    ['no number', fieldsOf(':e:1:2:', good)],
    ['a negative number', fieldsOf('-1:e:1:2:', good)],
    ['a number that is none', fieldsOf('1e3:e:1:2:', good)],
    ['a number past all precision', fieldsOf('9999999999999999:e:1:2:', good)],
    ['too few numbers', fieldsOf('1:e:1', good)],
    ['a line after the numbers', fieldsOf('1:e:1:2:\n', good)],
    ['no JSON', fieldsOf('1:e:1:2:', '{')],
    ['JSON that is no object', fieldsOf('1:e:1:2:', 'null')],
    ['a list', fieldsOf('1:e:1:2:', '[]')],
    ['I06 a number for an id', fieldsOf('1:e:1:2:', '{"k":"k","i":"i","l":"subject","t":1}')],
    ['I06 an object for an id', fieldsOf('1:e:1:2:', '{"k":"k","i":"i","l":"subject","t":{}}')],
    ['I06 an empty id', fieldsOf('1:e:1:2:', '{"k":"k","i":"i","l":"subject","t":""}')],
    ['I06 an id for everyone', fieldsOf('1:e:1:2:', '{"k":"k","i":"i","l":"everyone","t":"u1"}')],
    ['I06 no issuer', fieldsOf('1:e:1:2:', '{"k":"k","l":"subject","t":"u1"}')],
    ['I06 another level', fieldsOf('1:e:1:2:', '{"k":"k","i":"i","l":"all","t":"u1"}')],
    [
      'I06 a level by inheritance',
      fieldsOf('1:e:1:2:', '{"k":"k","i":"i","l":"toString","t":"u1"}'),
    ],
    [
      'I06 a number for a reason',
      fieldsOf('1:e:1:2:', '{"k":"k","i":"i","l":"subject","t":"u","r":1}'),
    ],
    [
      'I07 an id of 500 KB',
      fieldsOf(
        '1:e:1:2:',
        JSON.stringify({ k: 'k', i: 'i', l: 'subject', t: 'x'.repeat(500_000) }),
      ),
    ],
  ])(
    'D22 S18 of %s has no number, so that nothing is proved while it is there',
    (_case, fields) => {
      expect(decodeEntry(['5-0', fields])).toEqual({
        position: '5-0',
        seq: undefined,
        revocation: undefined,
      })
    },
  )

  test('is read though it has fields that a later version adds', () => {
    expect(decodeEntry(['5-0', [...fieldsOf('1:e:1:2:', good), 'x', 'y']]).seq).toBe(1)
  })

  test('I06 a __proto__ in it changes nothing', () => {
    const text =
      '{"k":"k","i":"i","l":"subject","t":"u1","__proto__":{"r":"injected","admin":true}}'
    const { revocation } = decodeEntry(['5-0', fieldsOf('1:e:1:2:', text)])
    expect(revocation).not.toHaveProperty('admin')
    expect(revocation).not.toHaveProperty('reason')
  })
})

describe('a look-up key', () => {
  test('is read with and without version and reason', () => {
    expect(decodeFact('12:34:epoch:id:why: because')).toEqual({
      at: 12,
      version: 34,
      reason: 'why: because',
    })
    expect(decodeFact('12::epoch:id:')).toEqual({ at: 12 })
    expect(decodeFact('12::epoch:id:line\nbreak')).toEqual({ at: 12, reason: 'line\nbreak' })
    expect(decodeFact(undefined)).toBeUndefined()
  })

  test.each(['', 'junk', ':', '-1::', '1e3::', '1:x:'])(
    'of %j is an error, since it may stand where a kick-out stood',
    (value) => {
      expect(() => decodeFact(value)).toThrow(/is not a kick-out/)
    },
  )
})
