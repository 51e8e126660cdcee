import { describe, expect, test } from '@jest/globals'
import { guardDefaults, readSettings } from '../../src/guard/options.ts'
import type { TrustSettings } from '../../src/guard/trusts.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { makeSigner } from '../support/make-token.ts'

const signer = makeSigner('ES256')
const jwks = { keys: [signer.publicJwk] }
const base = { issuer: 'https://issuer.test', audience: 'https://api.test' }
const read = (changes: object) => readSettings({ ...base, ...changes })

function messageOf(changes: object): string {
  try {
    read(changes)
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError)
    return (error as Error).message
  }
  return 'accepted'
}

test('the defaults are those of the contract', () => {
  expect(guardDefaults).toEqual({
    strict: false,
    clockToleranceSeconds: 5,
    credentials: 'required',
    maxCachedTokens: 10_000,
    maxTokenBytes: 8192,
    dangerouslyAllowHttp: false,
    realm: 'api',
    jwksCache: {
      maxAgeSeconds: 600,
      cooldownSeconds: 30,
      timeoutMs: 5000,
      maxStaleSeconds: 86_400,
    },
  })
  expect(read({})).toMatchObject({
    strict: false,
    clockToleranceSeconds: 5,
    maxTokenAgeSeconds: undefined,
    revocations: undefined,
    resourceMetadataUrl: undefined,
    trusts: {
      kind: 'list',
      trusts: [
        {
          audience: ['https://api.test'],
          clientIds: undefined,
          allowIdTokenClaims: [],
          keySet: { source: { kind: 'discovery' }, cache: guardDefaults.jwksCache },
        },
      ],
    },
  })
})

const accepted: [string, unknown[]][] = [
  [
    'issuer',
    [
      'https://a.test',
      'https://a.test/',
      'http://localhost:3000',
      'http://127.0.0.1',
      'http://[::1]:1',
    ],
  ],
  ['audience', ['x', ['x'], ['x', 'y']]],
  ['jwksUri', ['https://a.test/k', new URL('https://a.test/k'), 'http://localhost:1/k', undefined]],
  ['algorithms', [['RS256'], ['EdDSA', 'Ed25519']]],
  ['strict', [true, false, undefined]],
  ['clockToleranceSeconds', [0, 0.5, 600]],
  ['maxTokenAgeSeconds', [1, 1e6]],
  ['credentials', ['required', 'optional']],
  ['getToken', [() => 'x']],
  ['revocations', [memoryRevocations()]],
  ['maxCachedTokens', [0, 1, 10_000_000]],
  ['realm', ['x']],
  ['resourceMetadataUrl', ['https://a.test/m']],
  ['challengeScope', ['a', 'reports:read reports:write']],
  ['scopeIncludes', [() => true]],
  ['jwksCache', [{}, { maxAgeSeconds: 1, cooldownSeconds: 0, timeoutMs: 1, maxStaleSeconds: 0 }]],
  ['onEvent', [() => undefined]],
]
const wrong: [string, unknown[]][] = [
  [
    'issuer',
    [
      '',
      7,
      null,
      [],
      {},
      'issuer',
      'http://a.test',
      'ftp://a.test',
      'https://a.test?x',
      'https://a.test#x',
      undefined,
    ],
  ],
  ['audience', ['', 7, null, [], [''], ['a', 7], [undefined], {}, undefined]],
  ['jwksUri', ['', 'x', 'http://a.test/k', 'file:///k', 7, null]],
  [
    'jwks',
    [
      null,
      {},
      { keys: [] },
      { keys: [{ kty: 'oct' }] },
      { keys: [{ ...signer.publicJwk, d: 'x' }] },
      'x',
    ],
  ],
  ['algorithms', ['RS256', [], ['none'], ['HS256'], ['RS256', 'HS512'], ['rs256'], [7], null]],
  ['strict', ['true', 1, null]],
  ['clockToleranceSeconds', [-1, 601, NaN, Infinity, '5', null]],
  ['maxTokenAgeSeconds', [0, -1, NaN, '5', null]],
  ['credentials', ['none', '', true, null]],
  ['getToken', ['x', {}, null]],
  ['revocations', [{}, null, true, { check: () => undefined }, 'redis://']],
  ['maxCachedTokens', [-1, 1.5, 1e8, NaN, '1', null]],
  ['realm', ['', 7, null]],
  ['resourceMetadataUrl', ['', 7]],
  ['challengeScope', ['', ' ', 7, ['a'], 'a"b', 'a\\b', 'a\tb', 'gr\u00fc\u00df', null]],
  ['scopeIncludes', ['a', {}, null]],
  ['onEvent', ['x', {}]],
]
describe('every option', () => {
  test.each(accepted)('%s is accepted', (option, values) => {
    for (const value of values) expect(messageOf({ [option]: value })).toBe('accepted')
  })
  test.each(wrong)('%s is refused by name when it is wrong', (option, values) => {
    for (const value of values) {
      expect([value, messageOf({ [option]: value })]).toEqual([
        value,
        expect.stringContaining(`"${option}"`),
      ])
    }
  })
  test.each(['maxAgeSeconds', 'cooldownSeconds', 'timeoutMs', 'maxStaleSeconds'])(
    'jwksCache.%s is refused by name when it is wrong',
    (name) => {
      for (const value of [-1, NaN, Infinity, '5', null]) {
        expect(messageOf({ jwksCache: { [name]: value } })).toContain(`"jwksCache.${name}"`)
      }
    },
  )
  test('jwksCache is an object or absent', () => {
    for (const value of [null, 7, [], 'x'])
      expect(messageOf({ jwksCache: value })).toContain('jwksCache')
  })
})

test.each([
  ['audiance', 'audience'],
  ['Issuer', 'issuer'],
  ['revocation', 'revocations'],
  ['clockTolerance', 'clockToleranceSeconds'],
  ['algorithm', 'algorithms'],
  ['jwkUri', 'jwksUri'],
])('suggests for %s the option %s', (unknown, known) => {
  expect(messageOf({ [unknown]: 'x' })).toContain(
    `unknown option "${unknown}", did you mean "${known}"?`,
  )
})
test('lists the known ones where none is near', () => {
  expect(messageOf({ thingumajig: 1 })).toMatch(
    /unknown option "thingumajig"; known are issuer, .*onEvent/,
  )
  expect(messageOf({ jwksCache: { maxAge: 1 } })).toContain('did you mean "maxAgeSeconds"?')
})
test('never prints a value that may be a secret', () => {
  const secret = 'hunter2-hunter2'
  const names = [...new Set([...accepted, ...wrong].map(([option]) => option))]
  for (const option of names) {
    for (const value of [secret, [secret], { [Symbol('x')]: secret }, `redis://x:${secret}@h`]) {
      expect(messageOf({ [option]: value })).not.toContain('hunter2')
    }
  }
})

/** The listed issuers of checked options. */
function trustsOf(options: object): readonly TrustSettings[] {
  const { trusts } = read(options)
  return trusts.kind === 'list' ? trusts.trusts : []
}

describe('issuers and keys', () => {
  test('any text is an issuer where the keys are given', () => {
    for (const issuer of ['accounts', 'http://a.test', 'urn:x']) {
      expect(trustsOf({ issuer, jwks })[0]?.keySet.issuer).toBe(issuer)
    }
  })
  test('keys beside an address are a first set; beside a list neither has a place', () => {
    const jwksUri = 'https://a.test/k'
    expect(trustsOf({ jwks, jwksUri })[0]?.keySet.source).toMatchObject({
      kind: 'address',
      url: new URL(jwksUri),
      first: jwks,
    })
    const list = [{ issuer: 'https://a.test' }]
    expect(messageOf({ issuer: list, jwks })).toContain('"jwks" must not stand beside a list')
    expect(messageOf({ issuer: list, jwksUri })).toContain('"jwksUri" must not stand beside a list')
    expect(messageOf({ issuer: () => undefined, jwksUri })).toContain('or a function')
    expect(messageOf({ issuer: [{ ...list[0], jwks, jwksUri }] })).toBe('accepted')
  })
  test('an issuer listed twice, an empty list and an unknown member are mistakes', () => {
    const a = { issuer: 'https://a.test' }
    expect(messageOf({ issuer: [a, { ...a, jwks }] })).toContain('lists an issuer twice')
    expect(messageOf({ issuer: [] })).toContain('empty list')
    expect(messageOf({ issuer: [{ ...a, jwksUrl: 'x' }] })).toContain('did you mean "jwksUri"?')
    expect(messageOf({ issuer: ['https://a.test'] })).toContain('issuer[0]')
    expect(messageOf({ issuer: [a, { issuer: 'https://a.test/' }] })).toBe('accepted')
  })
  test('a listed issuer has the audience of the guard unless it has its own', () => {
    const issuer = [{ issuer: 'https://a.test' }, { issuer: 'https://b.test', audience: ['own'] }]
    expect(trustsOf({ issuer }).map(({ audience }) => audience)).toEqual([
      ['https://api.test'],
      ['own'],
    ])
    expect(messageOf({ issuer, audience: undefined })).toContain('"issuer[0].audience" is missing')
  })
  test('given keys are copied: changing the document later changes nothing', () => {
    const document = { keys: [{ ...signer.publicJwk }] }
    const { source } = trustsOf({ jwks: document })[0]!.keySet
    document.keys.length = 0
    expect(source).toMatchObject({ kind: 'given', jwks: { keys: [{ kid: signer.kid }] } })
  })
  test('what is missing or wrong is named together with its variable', () => {
    expect(messageOf({ issuer: undefined })).toContain('ISSUER_BASE_URL')
    expect(messageOf({ issuer: 'x' })).toContain('ISSUER_BASE_URL')
    expect(messageOf({ audience: undefined })).toContain('AUDIENCE')
    expect(messageOf({ jwksUri: 'x' })).toContain('JWKS_URI')
  })
})
