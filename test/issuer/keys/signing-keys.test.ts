import { describe, expect, test } from '@jest/globals'
import { generateSigningKey } from '../../../src/issuer/keys/signing-key.ts'
import {
  publishAheadMs,
  SigningKeys,
  toleranceRoomMs,
} from '../../../src/issuer/keys/signing-keys.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const lifetimeMs = 600_000
const [a, b, c] = [
  await generateSigningKey('ES256'),
  await generateSigningKey('EdDSA'),
  await generateSigningKey('ES384'),
]

async function kidsOf(keys: SigningKeys): Promise<(string | undefined)[]> {
  return (await keys.jwks()).keys.map(({ kid }) => kid)
}

describe('generateSigningKey', () => {
  test.each([
    'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519',
  ])('%s makes a private key that signs', async (algorithm) => {
    const jwk = await generateSigningKey(algorithm)
    expect(jwk).toMatchObject({ alg: algorithm, use: 'sig', kid: expect.any(String) })
    const keys = new SigningKeys([jwk], new FakeClock(), lifetimeMs)
    expect(await keys.signer()).toMatchObject({ kid: jwk.kid, algorithm })
  }) // prettier-ignore

  test.each(['HS256', 'none', 'ES256K', 'RS1', ''])('refuses %s', async (algorithm) => {
    await expect(generateSigningKey(algorithm)).rejects.toThrow(TypeError)
  })

  test('makes ES256 unless told otherwise', async () => {
    expect(await generateSigningKey()).toMatchObject({ alg: 'ES256', crv: 'P-256' })
  })
})

describe('the published set', () => {
  test('has no private member, whatever the JWK came with', async () => {
    const jwk = { ...a, d: a.d ?? '', oth: [], k: 'secret', ext: true, key_ops: ['sign'], x5c: [] }
    const { keys } = await new SigningKeys([jwk as never], new FakeClock(), lifetimeMs).jwks()
    expect(keys).toEqual([
      { kty: 'EC', crv: 'P-256', x: a.x, y: a.y, kid: a.kid, alg: 'ES256', use: 'sig' },
    ])
    const rsa = await generateSigningKey('RS256')
    const published = await new SigningKeys([rsa], new FakeClock(), lifetimeMs).jwks()
    expect(Object.keys(published.keys[0] ?? {}).sort()).toEqual(
      ['alg', 'e', 'kid', 'kty', 'n', 'use'].sort(),
    )
  })

  test('is not changed by a JWK that is changed after it was given', async () => {
    const jwk = { ...a }
    const keys = new SigningKeys([jwk], new FakeClock(), lifetimeMs)
    jwk.kid = 'another'
    expect(await kidsOf(keys)).toEqual([a.kid])
  })

  test('names a key without a kid by its thumbprint', async () => {
    const { kid: _kid, ...nameless } = a
    expect(await kidsOf(new SigningKeys([nameless], new FakeClock(), lifetimeMs))).toEqual([a.kid])
  })
})

describe('rotate', () => {
  test('publishes now, signs once resource servers can know the key, drops the old when it is done', async () => {
    const clock = new FakeClock()
    const keys = new SigningKeys([a], clock, lifetimeMs)
    expect(await keys.rotate(b)).toEqual({ kid: b.kid, signsAt: clock.now() + publishAheadMs })
    expect(await kidsOf(keys)).toEqual([b.kid, a.kid])
    expect((await keys.jwks()).keys.map(({ alg }) => alg)).toEqual(['EdDSA', 'ES256'])
    clock.advance(publishAheadMs - 1)
    expect((await keys.signer()).kid).toBe(a.kid)
    clock.advance(1)
    expect((await keys.signer()).kid).toBe(b.kid)
    clock.advance(lifetimeMs + toleranceRoomMs - 1)
    expect(await kidsOf(keys)).toEqual([b.kid, a.kid])
    clock.advance(1)
    expect(await kidsOf(keys)).toEqual([b.kid])
  })

  test('twice in a row lets each key have its turn', async () => {
    const clock = new FakeClock()
    const keys = new SigningKeys([a], clock, lifetimeMs)
    await keys.rotate(b)
    clock.advance(300_000)
    await keys.rotate(c)
    clock.advance(publishAheadMs - 300_000)
    expect((await keys.signer()).kid).toBe(b.kid)
    clock.advance(300_000)
    expect((await keys.signer()).kid).toBe(c.kid)
    expect(await kidsOf(keys)).toEqual([c.kid, b.kid, a.kid])
    clock.advance(lifetimeMs + toleranceRoomMs)
    expect(await kidsOf(keys)).toEqual([c.kid])
  })

  test('at once with the same key publishes it once: a set with a kid twice is refused everywhere', async () => {
    const keys = new SigningKeys([a], new FakeClock(), lifetimeMs)
    const outcomes = await Promise.allSettled([keys.rotate(b), keys.rotate(b), keys.rotate(c)])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await kidsOf(keys)).toEqual([c.kid, b.kid, a.kid])
  })

  test.each([
    ['the key that signs', a],
    ['another key under its kid', { ...b, kid: a.kid ?? '' }],
    ['a public key', { ...b, d: undefined }],
    ['no key', undefined],
    ['a broken key', { ...b, x: 'AA' }],
  ])('refuses %s, and changes nothing', async (_name, jwk) => {
    const keys = new SigningKeys([a], new FakeClock(), lifetimeMs)
    await expect(keys.rotate(jwk as never)).rejects.toThrow(TypeError)
    expect(await kidsOf(keys)).toEqual([a.kid])
    await keys.rotate(b)
    expect(await kidsOf(keys)).toEqual([b.kid, a.kid])
  })
})
