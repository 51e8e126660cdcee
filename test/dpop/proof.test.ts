import fc from 'fast-check'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { InvalidProof, proofAlgorithms, ProofVerifier } from '../../src/dpop/proof.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { encodeJson, type SigningAlgorithm } from '../support/make-token.ts'
import { makeProofKey, type ProofKey, unsigned } from '../support/proofs.ts'

const clock = new FakeClock(Date.UTC(2026, 0, 1))
const htu = 'https://api.test/reports'
const token = 'an.access.token'
const policy = { algorithms: proofAlgorithms, maxAgeSeconds: 60, clockToleranceSeconds: 5 }
const now = () => clock.seconds

let key: ProofKey
let other: ProofKey

beforeAll(async () => {
  key = await makeProofKey('ES256', now)
  other = await makeProofKey('ES256', now)
})

const verify = async (proof: string, changes: object = {}) =>
  new ProofVerifier(policy, clock).verify(proof, {
    ...{ method: 'GET', uri: htu, accessToken: token, thumbprint: key.thumbprint },
    ...changes,
  })

describe('a proof', () => {
  test('is good for the request that it was made for', async () => {
    const proof = key.prove({ token, htu, jti: 'j', nonce: 'n' })
    expect(await verify(proof)).toEqual({
      jti: 'j',
      issuedAtMs: clock.now(),
      thumbprint: key.thumbprint,
      nonce: 'n',
    })
  })

  test.each(['ES256', 'ES384', 'ES512', 'EdDSA', 'PS256', 'RS256'] as SigningAlgorithm[])(
    'may be signed with %s',
    async (alg) => {
      const { prove, thumbprint } = await makeProofKey(alg, now)
      expect(await verify(prove({ token, htu }), { thumbprint })).toMatchObject({ thumbprint })
    },
  )

  test('may be signed with the same RSA key by two algorithms', async () => {
    const { prove, thumbprint, jwk, signer } = await makeProofKey('RS256', now)
    const verifier = new ProofVerifier(policy, clock)
    const target = { method: 'GET', uri: htu, thumbprint }
    await verifier.verify(prove({ htu }), target)
    const { signWith } = await import('../support/make-token.ts')
    const header = encodeJson({ typ: 'dpop+jwt', alg: 'PS256', jwk })
    const input = `${header}.${encodeJson({ jti: 'j', htm: 'GET', htu, iat: now() })}`
    const signature = signWith('PS256', signer.privateKey, input).toString('base64url')
    expect(await verifier.verify(`${input}.${signature}`, target)).toMatchObject({ jti: 'j' })
  })

  test('is accepted from the tolerance before its time to the tolerance after it', async () => {
    const at = (seconds: number) => verify(key.prove({ token, htu, iat: now() + seconds }))
    for (const seconds of [-65, -60, 0, 5]) expect(await at(seconds)).toBeDefined()
    await expect(at(-66)).rejects.toThrow('too old')
    await expect(at(6)).rejects.toThrow('in the future')
  })
})

type Make = () => string
const attacks: [string, Make][] = [
  ['nothing', () => ''],
  ['no JWS', () => 'proof'],
  ['two parts', () => 'a.b'],
  ['a header that is no JSON', () => 'e30x.e30.AA'],
  ['typ JWT', () => key.prove({ token, htu }, { typ: 'JWT' })],
  ['typ at+jwt', () => key.prove({ token, htu }, { typ: 'at+jwt' })],
  ['no typ', () => key.prove({ token, htu }, { typ: undefined })],
  ['alg none', () => unsigned({ typ: 'dpop+jwt', alg: 'none', jwk: key.jwk }, { jti: 'j', htm: 'GET', htu, iat: now() })],
  ['alg HS256 with the public key as the secret', () => key.prove({ token, htu }, { alg: 'HS256' })],
  ['another alg than the key has', () => key.prove({ token, htu }, { alg: 'ES384' })],
  ['no jwk', () => key.prove({ token, htu }, { jwk: undefined })],
  ['a jwk that is a text', () => key.prove({ token, htu }, { jwk: JSON.stringify(key.jwk) })],
  ['a jwk that is a list', () => key.prove({ token, htu }, { jwk: [key.jwk] })],
  ['a jwk that is null', () => key.prove({ token, htu }, { jwk: null })],
  ['a symmetric jwk', () => key.prove({ token, htu }, { jwk: { kty: 'oct', k: 'c2VjcmV0' } })],
  ['a private jwk', () => key.prove({ token, htu }, { jwk: key.signer.privateKey.export({ format: 'jwk' }) })],
  ['a jwk off its curve', () => key.prove({ token, htu }, { jwk: { ...key.jwk, x: key.jwk.y } })],
  ['a jwk of an unknown type', () => key.prove({ token, htu }, { jwk: { kty: 'AKP', pub: 'AA' } })],
  ['a key in "kid" or "jku" instead', () => key.prove({ token, htu }, { jwk: undefined, kid: 'x', jku: 'https://evil.test' })],
  ['a critical extension', () => key.prove({ token, htu }, { crit: ['b64'], b64: false })],
  ['a changed signature', () => key.prove({ token, htu }).slice(0, -8) + 'AAAAAAAA'],
  ['the signature of another key', () => other.prove({ token, htu }, { jwk: key.jwk })],
  ['another key', () => other.prove({ token, htu })],
  ['another method', () => key.prove({ token, htu, htm: 'POST' })],
  ['the method in lower case', () => key.prove({ token, htu, htm: 'get' })],
  ['no htm', () => key.prove({ token, htu, htm: undefined })],
  ['another path', () => key.prove({ token, htu: 'https://api.test/report' })],
  ['a path of another case', () => key.prove({ token, htu: 'https://api.test/Reports' })],
  ['another host', () => key.prove({ token, htu: 'https://api.test.evil/reports' })],
  ['another port', () => key.prove({ token, htu: 'https://api.test:8443/reports' })],
  ['another scheme', () => key.prove({ token, htu: 'http://api.test/reports' })],
  ['a query', () => key.prove({ token, htu: `${htu}?a=b` })],
  ['a fragment', () => key.prove({ token, htu: `${htu}#a` })],
  ['an encoded slash', () => key.prove({ token, htu: 'https://api.test%2Freports' })],
  ['a slash at the end', () => key.prove({ token, htu: `${htu}/` })],
  ['a backslash', () => key.prove({ token, htu: 'https://api.test\\reports' })],
  ['a list of URIs', () => key.prove({ token, htu: [htu] })],
  ['no htu', () => key.prove({ token })],
  ['no iat', () => key.prove({ token, htu, iat: undefined })],
  ['an iat that is a text', () => key.prove({ token, htu, iat: `${now()}` })],
  ['an old iat', () => key.prove({ token, htu, iat: now() - 66 })],
  ['a future iat', () => key.prove({ token, htu, iat: now() + 6 })],
  ['an iat in milliseconds', () => key.prove({ token, htu, iat: clock.now() })],
  ['an exp that has passed', () => key.prove({ token, htu, exp: now() - 60 })],
  ['an nbf to come', () => key.prove({ token, htu, nbf: now() + 60 })],
  ['no jti', () => key.prove({ token, htu, jti: undefined })],
  ['an empty jti', () => key.prove({ token, htu, jti: '' })],
  ['a jti of 256 characters', () => key.prove({ token, htu, jti: 'j'.repeat(256) })],
  ['a jti that is a number', () => key.prove({ token, htu, jti: 1 })],
  ['no ath', () => key.prove({ htu })],
  ['the ath of another token', () => key.prove({ token: `${token}x`, htu })],
  ['the token itself as ath', () => key.prove({ htu, ath: token })],
  ['a nonce that is a number', () => key.prove({ token, htu, nonce: 1 })],
  ['8 KiB', () => key.prove({ token, htu, padding: 'x'.repeat(6144) })],
  ['a claim set that is a list', () => key.signer.signText(JSON.stringify({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }), '[]')],
] // prettier-ignore

describe('a proof is refused that has', () => {
  test.each(attacks)('%s', async (_name, make) => {
    const error: unknown = await verify(make()).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InvalidProof)
    // Neither the proof nor what jose quotes of it.
    expect((error as Error).message.length).toBeLessThan(90)
    expect(error).not.toHaveProperty('cause')
  })

  test('any text at all, or any JSON in its parts', async () => {
    const refused = async (proof: string, changes?: object): Promise<void> => {
      const error: unknown = await verify(proof, changes).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(InvalidProof)
    }
    const json = fc.json()
    const parts = fc.tuple(json, json, fc.base64String())
    await fc.assert(
      fc.asyncProperty(fc.string(), parts, fc.jsonValue(), async (text, [a, b, c], jwk) => {
        await refused(text)
        await refused(
          `${Buffer.from(a).toString('base64url')}.${Buffer.from(b).toString('base64url')}.${c.replace(/[^A-Za-z0-9]/g, '')}`,
        )
        await refused(key.prove({ token, htu }, { jwk }), { thumbprint: undefined })
      }),
      { numRuns: 200 },
    )
  })

  test('but a jti of 255 characters is accepted', async () => {
    const jti = 'j'.repeat(255)
    expect(await verify(key.prove({ token, htu, jti }))).toMatchObject({ jti })
  })

  test('and that another key made it is told apart, before its signature is verified', async () => {
    const proof = other.prove({ token, htu }).slice(0, -8) + 'AAAAAAAA'
    await expect(verify(proof)).rejects.toMatchObject({ isOfAnotherKey: true })
    await expect(verify(key.prove({ htu }))).rejects.toMatchObject({ isOfAnotherKey: false })
  })
})
