import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { signatureForms } from '../../../src/issuer/keys/jose-signature.ts'

const halves = { ES256: 32, ES384: 48, ES512: 66 } as const
const algorithms = Object.keys(halves) as (keyof typeof halves)[]

/** A number as DER writes it: no zeros in front but the one that keeps it positive. */
function toInteger(number: Uint8Array): Buffer {
  const first = number.findIndex((byte) => byte !== 0)
  const digits = first < 0 ? Buffer.from([0]) : Buffer.from(number.subarray(first))
  const padded = (digits[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.from([0]), digits]) : digits
  return element(0x02, padded)
}

function element(tag: number, content: Buffer): Buffer {
  const { byteLength } = content
  const length = byteLength > 0x7f ? [0x81, byteLength] : [byteLength]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

function toDer(r: Uint8Array, s: Uint8Array): Buffer {
  return element(0x30, Buffer.concat([toInteger(r), toInteger(s)]))
}

describe.each(algorithms)('%s', (algorithm) => {
  const half = halves[algorithm]
  /** Numbers of every length, those with zeros in front included. */
  const number = fc
    .uint8Array({ minLength: 1, maxLength: half })
    .map((digits) => Buffer.concat([Buffer.alloc(half - digits.byteLength), digits]))

  test('a DER signature is among its forms in the form of JOSE', () => {
    fc.assert(
      fc.property(number, number, (r, s) => {
        const forms = signatureForms(algorithm, toDer(r, s))
        expect(forms.map((form) => Buffer.from(form).toString('hex'))).toContain(
          Buffer.concat([r, s]).toString('hex'),
        )
      }),
    )
  })

  test('a JOSE signature is its own first form, also where it begins like DER', () => {
    fc.assert(
      fc.property(number, number, fc.boolean(), (r, s, beginsLikeDer) => {
        const signature = Buffer.concat([r, s])
        if (beginsLikeDer) signature.set([0x30, 2 * half - 2, 0x02], 0)
        expect(signatureForms(algorithm, signature)[0]).toEqual(signature)
      }),
    )
  })

  test('nothing else has a form, and nothing makes it throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const form of signatureForms(algorithm, bytes)) {
          expect(form.byteLength).toBe(2 * half)
        }
      }),
    )
    const [r, s] = [Buffer.alloc(half, 1), Buffer.alloc(half, 2)]
    const good = toDer(r, s)
    const bad = [
      good.subarray(0, -1),
      Buffer.concat([good, Buffer.from([0])]),
      element(0x31, good.subarray(2)),
      toDer(Buffer.alloc(half + 1, 1), s),
      element(0x30, toInteger(r)),
      element(0x30, Buffer.concat([toInteger(r), toInteger(s), toInteger(s)])),
      element(0x30, Buffer.concat([element(0x02, Buffer.from([0x80])), toInteger(s)])),
      element(0x30, Buffer.concat([element(0x02, Buffer.from([0, 1])), toInteger(s)])),
      element(0x30, Buffer.concat([element(0x02, Buffer.alloc(0)), toInteger(s)])),
    ]
    for (const bytes of bad) expect(signatureForms(algorithm, bytes)).toEqual([])
  })
})

test.each(['RS256', 'PS256', 'EdDSA'])('%s signatures have one form', (algorithm) => {
  const signature = new Uint8Array([0x30, 1, 2])
  expect(signatureForms(algorithm, signature)).toEqual([signature])
})
