import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { FieldError, readKickOutRequest, toFieldError } from '../../src/admin/kick-out-request.ts'
import { resolveTarget } from '../../src/revocation/target.ts'

/** What the router makes of a body: a checked target, or the field that is wrong. */
function judge(body: unknown): string {
  try {
    return resolveTarget(readKickOutRequest(body).target, 'https://a.example').level
  } catch (error) {
    const field = toFieldError(error)
    if (!field) throw error
    return field.message
  }
}

describe('readKickOutRequest', () => {
  test.each([
    [{ subject: 'u1' }, 'subject'],
    [{ subject: 'u1', reason: '' }, 'subject'],
    [{ issuer: 'https://b.example', session: 's1', reason: 'x' }, 'session'],
    [{ token: { jti: 'a' } }, 'token'],
    [{ token: { jti: 'a', subject: 'u1', exp: 5 } }, 'token'],
    [{ token: { jti: 'a', exp: 5 } }, 'token'],
    [{ client: 'web' }, 'client'],
    [{ everyone: true }, 'everyone'],
  ])('takes %j', (body, level) => {
    expect(judge(body)).toBe(level)
  })

  test.each([
    [{ subject: '*' }, '"subject" is no wildcard: { "everyone": true } means everyone'],
    [{ session: '*' }, '"session" is no wildcard: { "everyone": true } means everyone'],
    [{ subject: ' \t' }, '"subject" must not be blank'],
    [{ subject: null }, '"subject" must not be null'],
  ])('A02 refuses %j', (body, message) => {
    expect(judge(body)).toBe(message)
  })

  test('takes the target apart from the reason', () => {
    expect(readKickOutRequest({ subject: 'u1', reason: 'why' })).toEqual({
      target: { subject: 'u1' },
      reason: 'why',
    })
    expect(readKickOutRequest({ token: { jti: 'a', exp: 5 } })).toEqual({
      target: { token: { jti: 'a', exp: 5 } },
    })
  })

  test('names an unknown field, and no more of it than a message can bear', () => {
    expect(judge({ subjct: 'u1' })).toMatch(/^"subjct" is not known; known are issuer, subject/)
    expect(judge({ ['x'.repeat(500)]: 1 }).length).toBeLessThan(200)
  })

  test('any JSON is a proper target or a named field, and everyone only where it says so', () => {
    const fields = ['subject', 'session', 'token', 'client', 'everyone', 'issuer', 'reason', 'x']
    const body = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom(...fields), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
      fc.record({ everyone: fc.jsonValue(), subject: fc.constant(undefined) }),
    )
    fc.assert(
      fc.property(body, (sent) => {
        const verdict = judge(sent)
        const saysEveryone = (sent as { everyone?: unknown } | null)?.everyone === true
        expect(verdict === 'everyone' && !saysEveryone).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('toFieldError', () => {
  test('leaves errors that are not about fields alone', () => {
    expect(toFieldError(new TypeError('bug'))).toBeUndefined()
    expect(toFieldError(undefined)).toBeUndefined()
    expect(toFieldError(new FieldError('a', 'is wrong'))?.message).toBe('"a" is wrong')
  })
})
