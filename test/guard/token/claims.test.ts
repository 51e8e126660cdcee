import { describe, expect, test } from '@jest/globals'
import type { JWTHeaderParameters } from 'jose'
import {
  assertClaims,
  assertType,
  type ClaimsPolicy,
  toAccessTokenClaims,
  toFrozenRecord,
} from '../../../src/guard/token/claims.ts'
import { factsOf } from '../../support/guarded.ts'
import { claimsAt } from '../../support/make-token.ts'

const now = 1_767_225_600
const policy: ClaimsPolicy = {
  strict: false,
  clockToleranceSeconds: 5,
  retentionSecondsFor: () => undefined,
  checksRevocations: false,
}

function reasonFrom(check: () => void) {
  try {
    check()
    return 'fine'
  } catch (error) {
    return factsOf(error).reason
  }
}

function reasonOf(changes: object, over: Partial<ClaimsPolicy> = {}) {
  const payload: Record<string, unknown> = claimsAt(now, changes)
  return reasonFrom(() => assertClaims({ alg: 'ES256' }, payload, { ...policy, ...over }, now))
}

const typeOf = (typ: unknown, strict: boolean) =>
  reasonFrom(() => assertType({ alg: 'ES256', typ } as JWTHeaderParameters, strict))

test.each(['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/At+Jwt'])(
  'takes the type %s, strictly too',
  (typ) => {
    expect([typeOf(typ, true), typeOf(typ, false)]).toEqual(['fine', 'fine'])
  },
)
test.each(['jwt', 'JWT', 'application/jwt', undefined])(
  'takes the type %s, not strictly',
  (typ) => {
    expect([typeOf(typ, true), typeOf(typ, false)]).toEqual(['type', 'fine'])
  },
)
test.each([
  '',
  'xat+jwt',
  'at+jwtx',
  'at+jwt ',
  'application/xat+jwt',
  'xapplication/at+jwt',
  'atjwt',
  'xjwt',
  'jwtx',
  'text/jwt',
  'logout+jwt',
  null,
  7,
  ['at+jwt'],
])('refuses the type %j', (typ) => {
  expect([typeOf(typ, true), typeOf(typ, false)]).toEqual(['type', 'type'])
})

test.each(['exp', 'nbf', 'iat'])('%s is a finite number', (name) => {
  for (const wrong of [String(now), null, true, [now], Number.NaN, Infinity, -Infinity]) {
    expect(reasonOf({ [name]: wrong })).toBe('claims')
  }
  expect(reasonOf({ [name]: now })).toBe('fine')
})
test('exp is there, strictly or not', () => {
  expect(reasonOf({ exp: undefined })).toBe('claims')
  expect(reasonOf({ exp: undefined, iat: undefined })).toBe('claims')
})
test.each(['sub', 'jti', 'sid', 'client_id', 'azp'])(
  '%s is an identifier, if it is there',
  (name) => {
    for (const wrong of ['', 7, null, ['a'], 'x'.repeat(256), '\ud800']) {
      expect(reasonOf({ [name]: wrong })).toBe('claims')
    }
    for (const fine of [undefined, 'x', 'x'.repeat(255)]) {
      expect(reasonOf({ [name]: fine })).toBe('fine')
    }
  },
)
test('a session_version of any kind is fine: what cannot be ours counts as absent', () => {
  for (const fine of [undefined, 0, 7, 'seven', null, Infinity]) {
    expect(reasonOf({ session_version: fine })).toBe('fine')
  }
})

describe('a token of another kind is not an access token', () => {
  test.each(['nonce', 'at_hash', 'c_hash', 's_hash', 'events'])('by its claim %s', (name) => {
    expect(reasonOf({ [name]: 'x' })).toBe('type')
  })
  test.each(['ID', 'Refresh', 'Logout'])('by the value %s of a claim "typ" (Keycloak)', (typ) => {
    expect(reasonOf({ typ })).toBe('type')
  })
  test.each(['id', 'refresh', '', null, 7])('by a token_use of %p (Amazon Cognito)', (use) => {
    expect(reasonOf({ token_use: use })).toBe('type')
  })
  test('though it also says that it is an access token', () => {
    expect(reasonOf({ token_use: 'id', typ: 'Bearer' })).toBe('type')
    expect(reasonOf({ events: {}, typ: 'Bearer' })).toBe('type')
  })
})

describe('what an access token says of itself goes before claims that ID tokens have', () => {
  test.each(['nonce', 'at_hash', 'c_hash', 's_hash'])('%s', (name) => {
    expect(reasonOf({ [name]: 'x', typ: 'Bearer' })).toBe('fine')
    expect(reasonOf({ [name]: 'x', token_use: 'access' })).toBe('fine')
    const payload = claimsAt(now, { [name]: 'x' }) as Record<string, unknown>
    const header = { alg: 'ES256', typ: 'at+jwt' }
    expect(reasonFrom(() => assertClaims(header, payload, policy, now))).toBe('fine')
  })
})
test('a list of audiences has strings only', () => {
  expect(reasonOf({ aud: ['a', 'b'] })).toBe('fine')
  for (const aud of [['a', 7], [7, 'a'], [null]]) expect(reasonOf({ aud })).toBe('audience')
})
test('a token that is bound to a key is no bearer token', () => {
  for (const cnf of [{ jkt: 'x' }, {}, null]) expect(reasonOf({ cnf })).toBe('binding')
})

test.each(['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'])(
  'strict mode requires %s (RFC 9068 §2.2)',
  (name) => {
    expect(reasonOf({ [name]: undefined }, { strict: true })).toBe('claims')
    expect(reasonOf({}, { strict: true })).toBe('fine')
    if (name !== 'exp') expect(reasonOf({ [name]: undefined })).toBe('fine')
  },
)
test('the life of a token, tolerance included, fits the retention to the second', () => {
  const over = { checksRevocations: true, retentionSecondsFor: () => 3720 }
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
  const record = toFrozenRecord({ deep, object: { a: [{ b: 1 }, null] }, constructor: 'c' })
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
test('gives the claims as a frozen record', () => {
  const claims = toAccessTokenClaims({ sub: 'u' })
  expect([claims.sub, Object.isFrozen(claims), Object.getPrototypeOf(claims)]).toEqual([
    'u',
    true,
    null,
  ])
})
