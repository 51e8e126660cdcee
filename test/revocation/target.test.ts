import { expect, test } from '@jest/globals'
import { readReason, resolveTarget } from '../../src/revocation/target.ts'

test.each([
  [{ session: 's' }, { level: 'session', id: 's' }],
  [{ subject: 'u' }, { level: 'subject', id: 'u' }],
  [{ client: 'c' }, { level: 'client', id: 'c' }],
  [{ everyone: true }, { level: 'everyone', id: '' }],
  [{ token: { jti: 'j' } }, { level: 'token', id: 'j' }],
  [
    { token: { jti: 'j', subject: 'u', exp: 7 } },
    { level: 'token', id: 'j', subject: 'u', expiresAtMs: 7000 },
  ],
  [
    { subject: 'u', session: undefined, issuer: 'own' },
    { level: 'subject', id: 'u', issuer: 'own' },
  ],
])('reads %j', (target, expected) => {
  expect(resolveTarget(target, 'https://default.test')).toEqual({
    issuer: 'https://default.test',
    ...expected,
  })
})

const ids = ['', 7, null, {}, [], ['a'], true, 'x'.repeat(256), '\ud800']
test.each([
  ...ids.flatMap((id): [unknown, string][] => [
    [{ session: id }, 'session'],
    [{ subject: id }, 'subject'],
    [{ client: id }, 'client'],
    [{ token: { jti: id } }, 'token.jti'],
    [{ token: { jti: 'j', subject: id } }, 'token.subject'],
    [{ subject: 'u', issuer: id }, id === null ? '' : 'issuer'],
  ]),
  [{ everyone: 'true' }, 'everyone'],
  [{ everyone: false }, 'everyone'],
  [{ everyone: 1 }, 'everyone'],
  [{ token: 'j' }, 'token'],
  [{ token: null }, 'token'],
  [{ token: ['j'] }, 'token'],
  [{ token: {} }, 'token.jti'],
  [{ token: { jti: 'j', x: 1 } }, 'token.x'],
  [{ token: { jti: 'j', exp: '7' } }, 'token.exp'],
  [{ token: { jti: 'j', exp: Infinity } }, 'token.exp'],
  [{ token: { jti: 'j', exp: 0 } }, 'token.exp'],
  [{}, 'target'],
  [null, 'target'],
  ['everyone', 'target'],
  [[], 'target'],
  [{ subject: 'u', session: 's' }, 'session", "subject'],
  [{ subject: 'u', everyone: true }, 'subject", "everyone'],
  [{ user: 'u' }, 'user'],
] as [unknown, string][])('refuses %j and names the field', (target, field) => {
  if (field === '') {
    // `null` counts as left out.
    expect(resolveTarget(target, 'd').issuer).toBe('d')
    return
  }
  expect(() => resolveTarget(target, 'd')).toThrow(TypeError)
  expect(() => resolveTarget(target, 'd')).toThrow(`kickOut: "${field}"`)
})
test('wants an issuer where none is known', () => {
  expect(() => resolveTarget({ subject: 'u' }, undefined)).toThrow('kickOut: "issuer" is needed')
})
test('cuts a long reason and refuses what is no text', () => {
  expect(readReason(undefined)).toBeUndefined()
  expect(readReason('')).toBeUndefined()
  expect(readReason('x'.repeat(300))).toBe('x'.repeat(255))
  expect(readReason('x'.repeat(254) + '\ud83d\ude00')?.isWellFormed()).toBe(true)
  for (const wrong of [7, null, {}, '\ud800']) expect(() => readReason(wrong)).toThrow('"reason"')
})
