import { decodeProtectedHeader, jwtVerify, importJWK } from 'jose'
import { describe, expect, test } from '@jest/globals'
import {
  createIssuer,
  type ExternalSigningKey,
  generateSigningKey,
  type IssuerEvent,
} from '../../../src/issuer/index.ts'
import { SigningKeys } from '../../../src/issuer/keys/signing-keys.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { closeKitsAfterEach, createKit, secret } from '../../support/issuer-kit.ts'
import { startKeyService } from '../../support/key-service.ts'

closeKitsAfterEach()

const algorithms = ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256', 'PS256']
const faults = ['fails', 'throws', 'garbage', 'text', 'other key', 'other data'] as const

async function signWith(key: ExternalSigningKey, payload = {}): Promise<string> {
  const signer = await new SigningKeys([key], new FakeClock(), 600_000).signer()
  return signer.sign(payload)
}

describe.each(algorithms)('a key service that signs by %s', (algorithm) => {
  test.each(['der', 'jose'] as const)(
    'in the form %s makes tokens that verify',
    async (form) => {
      const { key, publicJwk } = startKeyService(algorithm, form)
      // A short number in an ECDSA signature comes once in 128.
      const rounds = algorithm === 'ES256' ? 300 : 20
      const verification = await importJWK(publicJwk, algorithm)
      for (let round = 0; round < rounds; round++) {
        const token = await signWith(key, { round })
        const { payload } = await jwtVerify(token, verification, { typ: 'at+jwt' })
        expect(payload).toEqual({ round })
      }
    },
    30_000,
  )
})

describe('what cannot be a signature', () => {
  test.each(faults)('%s: 503, and no token', async (fault) => {
    const service = startKeyService('ES256')
    service.fault = fault
    await expect(signWith(service.key)).rejects.toMatchObject({
      status: 503,
      reason: 'signing',
      headers: { 'Retry-After': '1' },
    })
  })

  test('none within two seconds: 503', async () => {
    const service = startKeyService('ES256')
    service.fault = 'hangs'
    const startedAt = performance.now()
    await expect(signWith(service.key)).rejects.toMatchObject({ status: 503 })
    const tookMs = performance.now() - startedAt
    expect(tookMs).toBeGreaterThan(1900)
    expect(tookMs).toBeLessThan(3000)
  })
})

describe('createIssuer', () => {
  const service = startKeyService('ES256')
  const options = {
    issuer: 'https://login.example.com',
    audience: 'https://api.example.com',
    refreshTokenSecret: secret,
  }

  test.each<[string, unknown, RegExp]>([
    ['without "sign"', { publicJwk: service.publicJwk, sign: 'x' }, /signingKeys\[0\]\.sign/],
    ['without a JWK', { publicJwk: null, sign: () => undefined }, /signingKeys\[0\]\.publicJwk/],
    [
      'of a symmetric key',
      { publicJwk: { kty: 'oct', k: 'AA' }, sign: () => undefined },
      /private/,
    ],
    [
      'of a curve that no JWT has',
      { publicJwk: { kty: 'EC', crv: 'x', x: 'A', y: 'A' }, sign: () => undefined },
      /"alg"/,
    ],
    ['with a misspelt member', { ...service.key, publickey: 1 }, /unknown option "publickey"/],
  ])('refuses a key %s', (_name, key, message) => {
    expect(() => createIssuer({ ...options, signingKeys: [key as never] })).toThrow(message)
    expect(() => createIssuer({ ...options, signingKeys: [key as never] })).toThrow(TypeError)
  })

  test('refuses a private JWK where the public one belongs, and does not print it', async () => {
    const jwk = await generateSigningKey()
    const signingKeys = [{ publicJwk: jwk, sign: service.key.sign }]
    let message = ''
    try {
      createIssuer({ ...options, signingKeys })
    } catch (error) {
      message = String(error)
    }
    expect(message).toMatch(/has a private member/)
    expect(message).not.toContain(jwk.d)
  })

  test('publishes only public members, and emits no signing_key.not_kept', async () => {
    const events: IssuerEvent[] = []
    const kit = await createKit({
      issuer: { signingKeys: [service.key], onEvent: (event) => events.push(event) },
    })
    const tokens = await kit.startSession()
    expect((await kit.call(tokens.access_token)).status).toBe(200)
    const { kid } = decodeProtectedHeader(tokens.access_token)
    expect(kid).toMatch(/^[\w-]{43}$/)
    expect(events.map(({ type }) => type)).not.toContain('signing_key.not_kept')
  })

  test('ready() has it sign, and rejects where its signature does not verify', async () => {
    const own = startKeyService('ES256')
    const kit = await createKit({ issuer: { signingKeys: [own.key] } })
    own.fault = 'other key'
    await expect(kit.issuer.ready()).rejects.toMatchObject({ reason: 'signing' })
    own.fault = 'none'
    await kit.issuer.ready()
    expect(own.asked).toBe(2)
  })

  test('rotateSigningKey takes one that can sign, and refuses one that cannot', async () => {
    const [first, second] = [startKeyService('ES256'), startKeyService('RS256')]
    const kit = await createKit({ issuer: { signingKeys: [first.key] } })
    second.fault = 'fails'
    await expect(kit.issuer.rotateSigningKey(second.key)).rejects.toMatchObject({ status: 503 })
    second.fault = 'none'
    const { kid } = await kit.issuer.rotateSigningKey(second.key)
    expect(kid).toMatch(/^[\w-]{43}$/)
  })
})

describe('while the service is away', () => {
  test('a login is 503, and leaves no session behind', async () => {
    const service = startKeyService('ES256')
    const kit = await createKit({ issuer: { signingKeys: [service.key] } })
    service.fault = 'fails'
    await expect(kit.startSession()).rejects.toMatchObject({ status: 503 })
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })

  test('no refresh token is used up, however long it takes', async () => {
    const service = startKeyService('ES256')
    const clock = new FakeClock(Date.now())
    const kit = await createKit({ clock, issuer: { signingKeys: [service.key] } })
    const { refresh_token: token } = await kit.startSession()
    service.fault = 'fails'
    for (let minute = 0; minute < 3; minute++) {
      const refused = await kit.refresh(token)
      expect(refused.status).toBe(503)
      expect(refused.headers['retry-after']).toBe('1')
      expect(refused.json).toEqual({
        error: 'temporarily_unavailable',
        error_description: 'The server cannot sign access tokens right now',
      })
      clock.advance(60_000)
    }
    service.fault = 'none'
    const renewed = await kit.refresh(token)
    expect(renewed.status).toBe(200)
    expect((await kit.call(renewed.json.access_token as string)).status).toBe(200)
    expect(kit.events.map(({ type }) => type)).not.toContain('refresh.reused')
  })

  test('a refresh asks it once: what was signed before the rotation goes out', async () => {
    const service = startKeyService('ES256')
    const kit = await createKit({
      clock: new FakeClock(Date.now()),
      issuer: { signingKeys: [service.key] },
    })
    const { refresh_token: first } = await kit.startSession({ scope: 'a b' })
    const before = service.asked
    const second = await kit.refresh(first, { scope: 'a' })
    expect(second.json).toMatchObject({ scope: 'a' })
    await kit.refresh(second.json.refresh_token as string)
    expect(service.asked - before).toBe(2)
    expect((await kit.refresh(second.json.refresh_token as string, { scope: 'c' })).status).toBe(
      400,
    )
  })
})
