import { describe, expect, test } from '@jest/globals'
import { fuzzTokens } from '../support/fuzz-tokens.ts'
import { twinOf } from '../support/mutate-token.ts'
import { makeSigner } from '../support/make-token.ts'

const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const

describe('50 000 mutations of good tokens', () => {
  test.each(algorithms.map((algorithm, index) => [algorithm, index] as const))(
    'T16 T17 T19 none of 12 500 of an %s token is accepted but its other spellings',
    async (algorithm, index) => {
      const report = await fuzzTokens({
        seed: 20_260 + index,
        count: 12_500,
        algorithms: [algorithm],
      })
      expect(report.violations).toEqual([])
      expect(report.tried).toBe(12_500)
      // The mutations do reach what is accepted, and mostly do not.
      expect(report.same).toBeGreaterThan(50)
      expect(report.same).toBeLessThan(2500)
    },
    60_000,
  )

  test('the twin of an ES256 token is another text, and its twin is the token', () => {
    const token = makeSigner('ES256').sign({})
    expect(twinOf(token)).not.toBe(token)
    expect(twinOf(twinOf(token))).toBe(token)
  })
})
