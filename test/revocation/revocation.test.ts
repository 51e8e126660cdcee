import { describe, expect, test } from '@jest/globals'
import type { AccessTokenClaims } from '../../src/auth.ts'
import {
  isRevoked,
  type RevocationFact,
  type RevocationLevel,
} from '../../src/revocation/revocation.ts'

const at = 1_767_225_600_500
const second = Math.floor(at / 1000)
/** A second after the kick-out. */
const clock = { now: () => at + 1000 }
const claims: AccessTokenClaims = {
  iss: 'i',
  aud: 'x',
  exp: second + 60,
  sub: 'u',
  jti: 'j',
  sid: 's',
  client_id: 'c',
}

const verdict = (level: RevocationLevel, fact: RevocationFact, changes: object) =>
  isRevoked(
    { ...claims, ...changes },
    {
      of: (issuer) => ({
        get: (asked, id) =>
          issuer === 'i' && asked === level && ['u', 'j', 's', 'c', ''].includes(id)
            ? fact
            : undefined,
      }),
    },
    clock,
  ).revoked

describe('at its boundary', () => {
  test.each(['token', 'session'] as const)('%s: whatever the times', (level) => {
    for (const iat of [0, second, second + 100, undefined]) {
      expect(verdict(level, { at }, { iat, session_version: at + 1 })).toBe(true)
    }
  })
  test('subject: a session_version below the user’s', () => {
    for (const iat of [0, second + 100]) {
      const fact = { at, version: at }
      expect(verdict('subject', fact, { iat, session_version: at - 1 })).toBe(true)
      expect(verdict('subject', fact, { iat, session_version: at })).toBe(false)
      expect(verdict('subject', fact, { iat, session_version: at + 1 })).toBe(false)
    }
  })
  test.each(['subject', 'client', 'everyone'] as const)(
    '%s without a session_version: an iat of the same second or before, or none',
    (level) => {
      const fact = { at, ...(level === 'subject' && { version: at }) }
      expect(verdict(level, fact, { iat: second - 1 })).toBe(true)
      expect(verdict(level, fact, { iat: second })).toBe(true)
      expect(verdict(level, fact, { iat: second + 0.9 })).toBe(true)
      expect(verdict(level, fact, { iat: second + 1 })).toBe(false)
      expect(verdict(level, fact, { iat: undefined })).toBe(true)
    },
  )
  test('subject without a version: the iat decides, whatever the session_version', () => {
    for (const session_version of [undefined, 0, at + 1]) {
      expect(verdict('subject', { at }, { iat: second, session_version })).toBe(true)
      expect(verdict('subject', { at }, { iat: second + 1, session_version })).toBe(false)
    }
  })
  test.each(['client', 'everyone'] as const)('%s: a session_version does not matter', (level) => {
    expect(verdict(level, { at }, { iat: second, session_version: at + 1e6 })).toBe(true)
    expect(verdict(level, { at }, { iat: second + 1, session_version: 0 })).toBe(false)
  })
})

test.each(['client_id', 'azp', 'cid', 'appid'])(
  'a client is out by %s, whatever the other three say',
  (name) => {
    const get = (level: RevocationLevel, id: string) =>
      level === 'client' && id === 'leaked' ? { at } : undefined
    const others = { client_id: 'a', azp: 'b', cid: 'c', appid: 'd' }
    const out = (token: object) =>
      isRevoked({ ...claims, ...token }, { of: () => ({ get }) }, clock).revoked
    expect(out(others)).toBe(false)
    expect(out({ ...others, [name]: 'leaked' })).toBe(true)
    expect(out({ client_id: undefined, [name]: 'leaked' })).toBe(true)
  },
)

describe('a session_version that cannot be ours counts as absent', () => {
  const fact = { at, version: at }
  test.each([9e15, at + 6_001, 1, 2, 999_999_999_999, at + 0.5, Number.NaN, '1767225600500', null])(
    '%p: the iat decides',
    (session_version) => {
      expect(verdict('subject', fact, { iat: second, session_version })).toBe(true)
      expect(verdict('subject', fact, { iat: second + 1, session_version })).toBe(false)
    },
  )
  test('one that is ahead of this clock by no more than the tolerance is ours', () => {
    expect(verdict('subject', fact, { iat: 0, session_version: at + 6_000 })).toBe(false)
  })
})

test('any level suffices: a milder fact of one level hides no other', () => {
  const get = (level: RevocationLevel) =>
    level === 'subject'
      ? { at, version: 0 }
      : level === 'everyone'
        ? { at, reason: 'why' }
        : undefined
  expect(
    isRevoked({ ...claims, session_version: at, iat: second }, { of: () => ({ get }) }, clock),
  ).toEqual({
    revoked: true,
    level: 'everyone',
    at,
    reason: 'why',
  })
})
test('a verdict has no reason where the kick-out has none', () => {
  expect(isRevoked(claims, { of: () => ({ get: () => ({ at }) }) }, clock)).toStrictEqual({
    revoked: true,
    level: 'token',
    at,
  })
})
test('a token without an id cannot be named at that level', () => {
  const asked: string[] = []
  isRevoked(
    { iss: 'i', aud: 'x', exp: 0 },
    {
      of: () => ({ get: (level) => void asked.push(level) }),
    },
    clock,
  )
  expect(asked).toEqual(['everyone'])
})
