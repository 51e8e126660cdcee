import { expect, test } from '@jest/globals'
import { assertClaims, type ClaimsPolicy, toFrozenRecord } from '../../src/guard/claims.ts'
import { factsOf } from '../support/guarded.ts'
import { claimsAt } from '../support/make-token.ts'

const now = 1_767_225_600
const policy: ClaimsPolicy = {
  strict: false,
  clockToleranceSeconds: 5,
  retentionSeconds: undefined,
  checksRevocations: false,
}

function reasonOf(changes: object, over: Partial<ClaimsPolicy> = {}) {
  const payload = JSON.parse(JSON.stringify(claimsAt(now, changes))) as Record<string, unknown>
  try {
    assertClaims(payload, { ...policy, ...over }, now)
    return 'fine'
  } catch (error) {
    return factsOf(error).reason
  }
}

test.each(['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'])(
  'strict mode requires %s (RFC 9068 §2.2)',
  (name) => {
    expect(reasonOf({ [name]: undefined }, { strict: true })).toBe('claims')
    expect(reasonOf({}, { strict: true })).toBe('fine')
    if (name !== 'exp') expect(reasonOf({ [name]: undefined })).toBe('fine')
  },
)
test('the life of a token, tolerance included, fits the retention to the second', () => {
  const over = { checksRevocations: true, retentionSeconds: 3720 }
  expect(reasonOf({ exp: now + 3710 }, over)).toBe('fine')
  expect(reasonOf({ exp: now + 3710.001 }, over)).toBe('claims')
  expect(reasonOf({ iat: now - 100, exp: now + 3610 }, over)).toBe('fine')
  expect(reasonOf({ iat: now - 101, exp: now + 3610 }, over)).toBe('claims')
  expect(reasonOf({ exp: now + 3720 }, { ...over, clockToleranceSeconds: 0 })).toBe('fine')
  expect(reasonOf({ exp: now + 1e9 }, { checksRevocations: true })).toBe('fine')
})
test('an iat of up to the tolerance ahead of us is fine', () => {
  expect(reasonOf({ iat: now + 5 })).toBe('fine')
  expect(reasonOf({ iat: now + 5.001 })).toBe('not_yet_valid')
})
test('iat is required with revocations alone', () => {
  expect(reasonOf({ iat: undefined })).toBe('fine')
  expect(reasonOf({ iat: undefined }, { checksRevocations: true })).toBe('claims')
})
test('freezes all the way down, without a prototype, however deep', () => {
  let deep: unknown = 1
  for (let level = 0; level < 3000; level++) deep = [deep]
  const record = toFrozenRecord({ deep, object: { a: [{ b: 1 }] }, constructor: 'c' })
  expect(Object.getPrototypeOf(record)).toBeNull()
  expect(Object.isFrozen(record.object.a[0])).toBe(true)
  let inner: unknown = record.deep
  for (let level = 0; level < 3000; level++) {
    expect(Object.isFrozen(inner)).toBe(true)
    inner = (inner as unknown[])[0]
  }
})
test('takes an own __proto__ for a claim, not for a prototype', () => {
  const record = toFrozenRecord(JSON.parse('{"__proto__":{"admin":true}}') as { admin?: boolean })
  expect(record.admin).toBeUndefined()
  expect(Object.keys(record)).toEqual(['__proto__'])
})
