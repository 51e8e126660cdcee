import { expect, test } from '@jest/globals'
import { supportedAlgorithms, importJwks, readJwks } from '../../../src/guard/keys/jwks.ts'
import { makeSigner } from '../../support/make-token.ts'

const ec = makeSigner('ES256').publicJwk
const rsa = makeSigner('RS256').publicJwk
const algorithms = new Set<string>(supportedAlgorithms)

test('accepts these algorithms by default, and no symmetric one ever', () => {
  expect(supportedAlgorithms).toEqual(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']) // prettier-ignore
})
test.each([
  [null, 'no "keys" array'],
  [{}, 'no "keys" array'],
  [{ keys: {} }, 'no "keys" array'],
  [{ keys: [] }, 'has no keys'],
  [{ keys: [null] }, 'not an object'],
  [{ keys: [[]] }, 'not an object'],
  [{ keys: [ec, { kty: 'oct', k: 'AA' }] }, 'symmetric'],
  [{ keys: [ec, { kty: 'oct' }] }, 'symmetric'],
  ...['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].map((name): [unknown, string] => [
    { keys: [ec, { ...rsa, [name]: 'AA' }] },
    'private',
  ]),
  [{ keys: Array(257).fill({ kty: 'EC' }) }, 'more than 256'],
])('refuses the set %#', (document, message) => {
  expect(() => readJwks(document)).toThrow(message)
})
test('takes keys without a kid any number of times', () => {
  expect(readJwks({ keys: [{ kty: 'EC' }, { kty: 'EC' }] })).toHaveLength(2)
})

test.each([
  ['use', { use: 'enc' }],
  ['key_ops', { key_ops: ['sign'] }],
  ['key_ops that are no list', { key_ops: 'verify' }],
  ['alg', { alg: 'HS256' }],
  ['alg of another family', { alg: 'ES384' }],
  ['crv', { crv: 'P-521' }],
  ['kty', { kty: 'RSA' }],
  ['kid', { kid: 7 }],
  ['empty kid', { kid: '' }],
  ['point', { y: ec['x'] }],
  ['x', { x: 'AAAA' }],
])('drops a key with a foreign %s alone', async (_name, changes) => {
  const { keys, dropped } = await importJwks({ keys: [rsa, { ...ec, ...changes }] }, algorithms)
  expect(keys.map(({ kid }) => kid)).toEqual([rsa.kid])
  const { kid } = { ...ec, ...changes } as { kid: unknown }
  expect(dropped).toEqual([
    { kid: typeof kid === 'string' ? kid : undefined, reason: expect.stringMatching(/^its? /) },
  ])
  await expect(importJwks({ keys: [{ ...ec, ...changes }] }, algorithms)).rejects.toThrow(
    'no key that is fit',
  )
})
test.each([
  ['AQ', false],
  ['Ag', false],
  ['Aw', true],
  ['BA', false],
  ['AQAB', true],
  ['AAAAAQ', false],
  ['AAAAAw', true],
])('an RSA exponent of %s is sound: %s', async (e, sound) => {
  const { keys } = await importJwks({ keys: [ec, { ...rsa, e }] }, algorithms)
  expect(keys).toHaveLength(sound ? 2 : 1)
})
test('a modulus has 2 048 bits or the key is dropped, leading zeros not counted', async () => {
  const modulus = Buffer.from(rsa['n'] as string, 'base64url')
  const shorter = Buffer.from(modulus)
  shorter[0] = 0x7f
  for (const [n, sound] of [
    [modulus, true],
    [Buffer.concat([Buffer.alloc(3), modulus]), true],
    [shorter, false],
    [Buffer.concat([Buffer.alloc(3), shorter]), false],
    [modulus.subarray(0, 128), false],
  ] as const) {
    const jwk = { ...rsa, n: n.toString('base64url') }
    const { keys } = await importJwks({ keys: [ec, jwk] }, algorithms)
    expect(keys.map(({ kid }) => kid)).toEqual(sound ? [ec.kid, rsa.kid] : [ec.kid])
  }
})
test('a key fits what its type and its own alg allow', async () => {
  const { alg: _alg, ...any } = rsa
  const { keys } = await importJwks(
    { keys: [ec, { ...any, kid: 'any' }, rsa] },
    new Set(['ES256', 'RS256', 'PS512']),
  )
  const fitting = keys.map((key) =>
    ['ES256', 'RS256', 'PS512', 'RS512'].filter((alg) => key.fits(alg)),
  )
  expect(fitting).toEqual([['ES256'], ['RS256', 'PS512'], ['RS256']])
})

test('one kid twice: unfit and identical keys go first, and different ones that fit stay apart', async () => {
  const again = { ...rsa, kid: ec.kid }
  const { keys, dropped } = await importJwks(
    { keys: [ec, { ...ec }, { ...again, use: 'enc' }, again] },
    algorithms,
  )
  expect(keys.map(({ kid }) => kid)).toEqual([ec.kid, ec.kid])
  expect(dropped).toEqual([
    { kid: ec.kid, reason: 'it is there twice' },
    { kid: ec.kid, reason: 'its "use" or "key_ops" is not for verifying' },
  ])
})
