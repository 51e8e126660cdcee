import { describe, expect, test } from '@jest/globals'
import { generateKeyPair, exportJWK } from 'jose'
import {
  createIssuer,
  generateSigningKey,
  type IssuerOptions,
  memoryStore,
} from '../../src/issuer/index.ts'
import { issuerDefaults, readSettings } from '../../src/issuer/options.ts'
import { audience, secret, signingKey } from '../support/issuer-kit.ts'

const good: IssuerOptions = {
  issuer: 'https://login.example.com',
  audience,
  signingKeys: [signingKey],
  refreshTokenSecret: secret,
}
const { d: _d, ...publicKey } = signingKey
const rsa = await generateSigningKey('RS256')
const weak = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true })
const weakJwk = await exportJWK(weak.privateKey)

describe('createIssuer', () => {
  test.each<[Record<string, unknown>, RegExp]>([
    [{ issuer: undefined }, /"issuer" is missing/],
    [{ issuer: '' }, /"issuer"/],
    [{ issuer: 'login.example.com' }, /"issuer" must be an https: URL/],
    [{ issuer: 'http://login.example.com' }, /"issuer" must be an https: URL/],
    [{ issuer: 'https://login.example.com?a=b' }, /"issuer"/],
    [{ issuer: 'https://login.example.com#a' }, /"issuer"/],
    [{ issuer: 'https://user:password@login.example.com' }, /"issuer"(?!.*user:)/],
    [{ issuer: `https://login.example.com/${'x'.repeat(255)}` }, /"issuer"/],
    [{ audience: undefined }, /"audience" is missing/],
    [{ audience: [] }, /"audience"/],
    [{ audience: ['a', ''] }, /"audience"/],
    [{ signingKeys: undefined }, /"signingKeys" must be a list/],
    [{ signingKeys: [] }, /"signingKeys" must be a list/],
    [{ signingKeys: [publicKey] }, /"signingKeys\[0\]" must be a private JWK/],
    [{ signingKeys: ['key'] }, /"signingKeys\[0\]" must be a private JWK/],
    [{ signingKeys: [{ ...signingKey, alg: 'HS256' }] }, /"signingKeys\[0\]" must have an "alg"/],
    [{ signingKeys: [{ ...signingKey, alg: 'none' }] }, /"signingKeys\[0\]" must have an "alg"/],
    [{ signingKeys: [{ ...signingKey, alg: 'ES384' }] }, /"signingKeys\[0\]" must have an "alg"/],
    [{ signingKeys: [{ ...signingKey, alg: 'RS256' }] }, /"signingKeys\[0\]" must have an "alg"/],
    [{ signingKeys: [{ ...rsa, alg: 'ES256' }] }, /"signingKeys\[0\]" must have an "alg"/],
    [
      { signingKeys: [{ ...signingKey, kty: 'oct', k: 'AA' }] },
      /"signingKeys\[0\]" cannot be read/,
    ],
    [{ signingKeys: [{ ...signingKey, x: 'AA' }] }, /"signingKeys\[0\]" cannot be read/],
    [{ signingKeys: [{ ...weakJwk, n: weakJwk.n?.slice(0, 170) }] }, /2048 bits/],
    [{ signingKeys: [{ ...signingKey, kid: '' }] }, /"kid"/],
    [{ signingKeys: [signingKey, signingKey] }, /the same "kid" twice/],
    [
      {
        signingKeys: [
          { ...signingKey, kid: undefined },
          { ...signingKey, kid: undefined },
        ],
      },
      /the same "kid" twice/,
    ],
    [{ refreshTokenSecret: undefined }, /"refreshTokenSecret".*is the variable set/],
    [{ refreshTokenSecret: 'short' }, /"refreshTokenSecret".*32 bytes or more/],
    [{ store: {} }, /"store" must be a session store/],
    [{ store: null }, /"store" must be a session store/],
    [{ accessTokenTtlSeconds: 59 }, /"accessTokenTtlSeconds".*60 to 3600/],
    [{ accessTokenTtlSeconds: 3601 }, /"accessTokenTtlSeconds".*60 to 3600/],
    [{ accessTokenTtlSeconds: 60.5 }, /"accessTokenTtlSeconds".*whole/],
    [
      { accessTokenTtlSeconds: 90_001, dangerouslyAllowAnyAccessTokenTtl: true },
      /"accessTokenTtlSeconds".*retentionSeconds/,
    ],
    [{ dangerouslyAllowAnyAccessTokenTtl: 'yes' }, /"dangerouslyAllowAnyAccessTokenTtl"/],
    [{ session: { reuseGraceMs: -1 } }, /"session.reuseGraceMs".*0 to 60000/],
    [{ session: { reuseGraceMs: 60_001 } }, /"session.reuseGraceMs".*0 to 60000/],
    [{ session: { idleTtlSeconds: 0 } }, /"session.idleTtlSeconds"/],
    [{ session: { absoluteTtlSeconds: Infinity } }, /"session.absoluteTtlSeconds"/],
    [{ session: { maxPerSubject: 0 } }, /"session.maxPerSubject"/],
    [{ session: { whenFull: 'end-newest' } }, /"session.whenFull" must be one of/],
    [{ session: { idleTtl: 5 } }, /unknown option "idleTtl", did you mean "idleTtlSeconds"/],
    [{ session: [] }, /session: the options must be an object/],
    [{ claims: {} }, /"claims" must be a function/],
    [{ onEvent: 'log' }, /"onEvent" must be a function/],
    [{ audiences: 'a' }, /unknown option "audiences", did you mean "audience"/],
  ])('refuses %j', (options, message) => {
    const create = () => createIssuer({ ...good, ...options })
    expect(create).toThrow(TypeError)
    expect(create).toThrow(message)
    expect(create).toThrow(new RegExp(`^(?![^]*${secret})`))
    expect(create).toThrow(new RegExp(`^(?![^]*${signingKey.d ?? ''})`))
  })

  test.each([
    [{ accessTokenTtlSeconds: 60 }],
    [{ accessTokenTtlSeconds: 3600 }],
    [{ accessTokenTtlSeconds: 5, dangerouslyAllowAnyAccessTokenTtl: true }],
    [
      {
        accessTokenTtlSeconds: 7200,
        dangerouslyAllowAnyAccessTokenTtl: true,
        store: memoryStore({ retentionSeconds: 7210 }),
      },
    ],
    [{ session: { reuseGraceMs: 0, idleTtlSeconds: 1, maxPerSubject: 1 } }],
    [{ session: { reuseGraceMs: 60_000 } }],
    [{ issuer: 'http://localhost:3000' }],
    [{ issuer: 'http://127.0.0.1:3000/tenant' }],
    [{ audience: ['a', 'b'] }],
    [{ signingKeys: [rsa, signingKey] }],
    [{ signingKeys: [{ ...rsa, alg: 'PS512', kid: 'a' }] }],
    [{ signingKeys: [{ ...signingKey, alg: undefined, kid: undefined }] }],
    [{ allowedOrigins: [] }],
    [{ clients: [] }],
  ])('takes %j', (options) => {
    expect(() => createIssuer({ ...good, ...options } as IssuerOptions)).not.toThrow()
  })

  test('has the defaults that the contract promises', () => {
    expect(issuerDefaults).toEqual({
      accessTokenTtlSeconds: 600,
      session: {
        idleTtlSeconds: 604_800,
        absoluteTtlSeconds: 2_592_000,
        reuseGraceMs: 10_000,
        lostAnswerSeconds: 0,
        whenFull: 'end-oldest',
      },
    })
    expect(readSettings(good)).toMatchObject({
      accessTokenTtlSeconds: 600,
      usesDefaultStore: true,
      session: {
        idleTtlMs: 604_800_000,
        absoluteTtlMs: 2_592_000_000,
        reuseGraceMs: 10_000,
        maxPerSubject: undefined,
        whenFull: 'end-oldest',
      },
    })
  })

  test('leaves a token room to be forgotten after it has expired, and not a second less', () => {
    const withRetention = (retentionSeconds: number) => () =>
      createIssuer({ ...good, store: memoryStore({ retentionSeconds }) })
    expect(withRetention(610)).not.toThrow()
    expect(withRetention(609)).toThrow(/retentionSeconds/)
  })
})
