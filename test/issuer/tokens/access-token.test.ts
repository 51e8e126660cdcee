import { describe, expect, test } from '@jest/globals'
import { importJWK, SignJWT } from 'jose'
import { readOwnAccessToken } from '../../../src/issuer/tokens/access-token.ts'
import { SigningKeys } from '../../../src/issuer/keys/signing-keys.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { closeKitsAfterEach, createKit, signingKey } from '../../support/issuer-kit.ts'

closeKitsAfterEach()

const issuer = 'https://login.example.com'
const settings = {
  issuer,
  audience: 'https://api.example.com',
  keys: new SigningKeys([signingKey], new FakeClock(), 600_000),
  accessTokenTtlSeconds: 600,
  claims: undefined,
}
const claims = { iss: issuer, sub: 'u1', jti: '0-a', exp: 5, client_id: 'web' }

async function sign(payload: object, header: object = {}): Promise<string> {
  return new SignJWT({ ...payload })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: signingKey.kid ?? '', ...header })
    .sign(await importJWK(signingKey, 'ES256'))
}

describe('readOwnAccessToken', () => {
  test('V07 reads a token of ours, expired or not', async () => {
    expect(await readOwnAccessToken(await sign(claims), settings)).toEqual({
      claims,
      jti: '0-a',
      subject: 'u1',
      exp: 5,
      clientId: 'web',
    })
  })

  test('reads what the issuer makes', async () => {
    const kit = await createKit()
    const tokens = await kit.startSession()
    const read = await readOwnAccessToken(tokens.access_token, { ...settings, issuer: kit.base })
    expect(read).toMatchObject({ subject: 'u1', clientId: 'first-party' })
  })

  test.each<[string, object, object]>([
    ['of another type', claims, { typ: 'JWT' }],
    ['without a type', claims, { typ: undefined }],
    ['of another issuer', { ...claims, iss: 'https://evil.org' }, {}],
    ['of a list of issuers', { ...claims, iss: [issuer] }, {}],
    ['without jti', { ...claims, jti: undefined }, {}],
    ['without sub', { ...claims, sub: undefined }, {}],
    ['without exp', { ...claims, exp: undefined }, {}],
    ['by an unknown key', claims, { kid: 'unknown' }],
  ])('T23 reads no token %s', async (_name, payload, header) => {
    expect(await readOwnAccessToken(await sign(payload, header), settings)).toBeUndefined()
  })

  test('rejects when our own keys cannot be read: that is not an unknown token', async () => {
    const keys = { jwks: async () => Promise.reject(new Error('no keys')), algorithms: ['ES256'] }
    const token = await sign(claims)
    await expect(readOwnAccessToken(token, { ...settings, keys: keys as never })).rejects.toThrow(
      'no keys',
    )
  })
})
