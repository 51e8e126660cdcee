import { describe, expect, test } from '@jest/globals'
import express from 'express'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import { type Client, hashClientSecret } from '../../src/issuer/index.ts'
import { systemClock } from '../../src/clock.ts'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { basic, postForm, type Sent } from '../support/http-client.ts'
import {
  audience,
  claimsOf,
  closeKitsAfterEach,
  createKit,
  type Kit,
  type KitOptions,
  serve,
} from '../support/issuer-kit.ts'

closeKitsAfterEach()

const secret = 'a secret of a machine, thirty-two bytes'
const secretHashes = [hashClientSecret(secret)]
const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] }
const grants: Client['grants'] = ['client_credentials']
const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

const clients: Client[] = [
  { clientId: 'web' },
  { clientId: 'server', secretHashes },
  { clientId: 'billing', secretHashes, grants, scopes: ['reports:read', 'reports:write'] },
  { clientId: 'bare', secretHashes, grants },
  { clientId: 'elsewhere', secretHashes, grants, audiences: ['https://other.example.com'] },
  { clientId: 'off', secretHashes, grants, disabled: true },
  { clientId: 'keyed', jwks, grants, scopes: ['reports:read'] },
]

async function kitWith(options: KitOptions = {}): Promise<Kit> {
  return createKit({
    clock: new FakeClock(Date.now()),
    // Tokens of machines are made by the real clock.
    store: new MemorySessionStore({}, systemClock),
    ...options,
    issuer: { clients, ...options.issuer },
  })
}

async function grant(
  kit: Kit,
  fields: Record<string, string> = {},
  headers: Sent['headers'] = basic('billing', secret),
) {
  return postForm(`${kit.base}/token`, { grant_type: 'client_credentials', ...fields }, headers)
}

describe('a machine', () => {
  test('gets a token by its own right, and no refresh token', async () => {
    const kit = await kitWith()
    const answer = await grant(kit)
    expect(answer.status).toBe(200)
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.json).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 600,
      scope: 'reports:read reports:write',
    })
    const claims = claimsOf(answer)
    expect(Object.keys(claims).sort()).toEqual(
      ['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'scope', 'sub'].sort(),
    )
    expect(claims).toMatchObject({ sub: 'billing', client_id: 'billing', aud: audience })
    const called = await kit.call(answer.json.access_token)
    expect(called.json).toMatchObject({ subject: 'billing', clientId: 'billing' })
  })

  test('M02 narrows its scope, and gets no other', async () => {
    const kit = await kitWith()
    expect((await grant(kit, { scope: 'reports:read' })).json.scope).toBe('reports:read')
    for (const scope of ['admin', 'reports:read admin', ' ', '"']) {
      const answer = await grant(kit, { scope })
      expect([answer.status, answer.json.error]).toEqual([400, 'invalid_scope'])
    }
    const bare = await grant(kit, {}, basic('bare', secret))
    expect(bare.json.scope).toBeUndefined()
  })

  test('gets the audiences of its own', async () => {
    const kit = await kitWith()
    const answer = await grant(kit, {}, basic('elsewhere', secret))
    expect(claimsOf(answer)['aud']).toEqual(['https://other.example.com'])
    expect((await kit.call(answer.json.access_token)).status).toBe(401)
  })

  test.each<[string, Record<string, string>, Sent['headers'], number, string]>([
    ['no name', {}, {}, 401, 'invalid_client'],
    ['a wrong secret', {}, basic('billing', 'wrong'), 401, 'invalid_client'],
    ['an unknown name', {}, basic('nobody', secret), 401, 'invalid_client'],
    ['a disabled client', {}, basic('off', secret), 401, 'invalid_client'],
    ['a public client', { client_id: 'web' }, {}, 400, 'unauthorized_client'],
    ['the pages of the issuer', { client_id: 'first-party' }, {}, 400, 'unauthorized_client'],
    ['a client without the grant', {}, basic('server', secret), 400, 'unauthorized_client'],
    [
      'two ways at once',
      { client_id: 'billing', client_secret: secret },
      basic('billing', secret),
      400,
      'invalid_request',
    ],
    [
      'an assertion beside a secret',
      { client_assertion: 'a.b.c', client_assertion_type: assertionType },
      basic('billing', secret),
      400,
      'invalid_request',
    ],
    [
      'an assertion of another type',
      { client_assertion: 'a.b.c', client_assertion_type: 'saml' },
      {},
      401,
      'invalid_client',
    ],
  ])('M01 M03 is refused with %s', async (_name, fields, headers, status, error) => {
    const answer = await grant(await kitWith(), fields, headers)
    expect([answer.status, answer.json.error]).toEqual([status, error])
  })

  test('has no sessions, and other clients are granted nothing where none are known', async () => {
    const kit = await kitWith()
    await expect(kit.startSession({ clientId: 'billing' })).rejects.toThrow(TypeError)
    const answer = await kit.refresh('x', {}, basic('billing', secret))
    expect([answer.status, answer.json.error]).toEqual([400, 'unauthorized_client'])
    const open = await createKit()
    const other = await grant(open, { client_id: 'anything' }, {})
    expect([other.status, other.json.error]).toEqual([400, 'unauthorized_client'])
  })

  test('needs no origin in cookie mode, which sessions go on needing', async () => {
    const kit = await kitWith({ issuer: { cookie: {} } })
    expect((await grant(kit)).status).toBe(200)
    expect((await postForm(`${kit.base}/token`, { grant_type: 'refresh_token' })).status).toBe(403)
  })

  test('M05 that is kicked out is out everywhere, and what it is granted next works, in the same second too', async () => {
    const kit = await kitWith()
    const before = await grant(kit)
    const other = await grant(kit, {}, basic('bare', secret))
    await kit.issuer.kickOut({ client: 'billing' })
    const after = await grant(kit)
    expect(after.status).toBe(200)
    expect((await kit.call(before.json.access_token)).status).toBe(401)
    expect((await kit.call(after.json.access_token)).status).toBe(200)
    expect((await kit.call(other.json.access_token)).status).toBe(200)
  })

  test('is refused with 503, and not forgotten, while the store is away', async () => {
    const kit = await kitWith()
    await kit.issuer.close()
    const answer = await grant(kit)
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
  })
})

describe('an assertion', () => {
  async function sign(kit: Kit, claims: JWTPayload = {}, header: object = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000)
    const payload = {
      iss: 'keyed',
      sub: 'keyed',
      aud: kit.base,
      iat: now,
      exp: now + 60,
      jti: crypto.randomUUID(),
      ...claims,
    }
    return new SignJWT(payload)
      .setProtectedHeader({ alg: 'ES256', kid: 'k1', ...header })
      .sign(privateKey)
  }

  async function present(kit: Kit, assertion: string, fields: Record<string, string> = {}) {
    const named = { client_assertion: assertion, client_assertion_type: assertionType, ...fields }
    return grant(kit, named, {})
  }

  test.each([
    ['for the issuer', (kit: Kit) => ({ aud: kit.base })],
    ['for the token endpoint', (kit: Kit) => ({ aud: `${kit.base}/token` })],
    ['with a list of one audience', (kit: Kit) => ({ aud: [kit.base] })],
  ])('M04 %s proves the client, once', async (_name, claims) => {
    const kit = await kitWith()
    const assertion = await sign(kit, claims(kit))
    expect((await present(kit, assertion, { client_id: 'keyed' })).status).toBe(200)
    const again = await present(kit, assertion)
    expect([again.status, again.json.error]).toEqual([401, 'invalid_client'])
  })

  const now = (): number => Math.floor(Date.now() / 1000)
  test.each<[string, () => JWTPayload, object]>([
    ['of another issuer', () => ({ iss: 'billing' }), {}],
    ['about another client', () => ({ sub: 'billing', iss: 'billing' }), {}],
    ['for somebody else', () => ({ aud: 'https://login.example.org' }), {}],
    ['for two', () => ({ aud: ['http://a.example', 'http://b.example'] }), {}],
    ['without an audience', () => ({ aud: undefined }) as unknown as JWTPayload, {}],
    ['without exp', () => ({ exp: undefined }) as unknown as JWTPayload, {}],
    ['that has expired', () => ({ exp: now() - 60 }), {}],
    ['that lives for an hour', () => ({ exp: now() + 3600 }), {}],
    ['from the future', () => ({ iat: now() + 100 }), {}],
    ['that is not valid yet', () => ({ nbf: now() + 100 }), {}],
    ['without jti', () => ({ jti: undefined }) as unknown as JWTPayload, {}],
    ['with a number as jti', () => ({ jti: 7 }) as unknown as JWTPayload, {}],
    ['that is an access token', () => ({}), { typ: 'at+jwt' }],
    ['of an unknown key', () => ({}), { kid: 'k2' }],
  ])('M04 %s is refused', async (_name, claims, header) => {
    const kit = await kitWith()
    const answer = await present(kit, await sign(kit, claims(), header))
    expect([answer.status, answer.json.error]).toEqual([401, 'invalid_client'])
  })

  test('M04 for two audiences is refused, though one of them is ours', async () => {
    const kit = await kitWith()
    const answer = await present(kit, await sign(kit, { aud: [kit.base, 'https://b.example'] }))
    expect(answer.status).toBe(401)
  })

  test('M04 that is changed, symmetric or unsigned is refused', async () => {
    const kit = await kitWith()
    const good = await sign(kit)
    const [, payload = '', signature = ''] = good.split('.')
    const encode = (header: object): string =>
      Buffer.from(JSON.stringify(header)).toString('base64url')
    const forged = [
      `${good.slice(0, -6)}AAAAAA`,
      `${encode({ alg: 'none' })}.${payload}.`,
      `${encode({ alg: 'HS256', kid: 'k1' })}.${payload}.${signature}`,
      'x',
      'a.b.c',
      'x'.repeat(10_000),
    ]
    for (const assertion of forged) expect((await present(kit, assertion)).status).toBe(401)
    expect((await present(kit, good)).status).toBe(200)
  })

  test('is verified with keys from an address, and is 503 while that is away', async () => {
    let fetches = 0
    let isAway = true
    const app = express().get('/jwks', (_req, res) => {
      fetches++
      if (isAway) res.status(500).end()
      else res.json(jwks)
    })
    const jwksUri = `${(await serve(app)).url}/jwks`
    const keyed = { clientId: 'keyed', jwksUri, grants }
    const away = await kitWith({ issuer: { clients: [keyed] } })
    for (let round = 0; round < 20; round++) {
      expect((await present(away, await sign(away))).status).toBe(503)
    }
    expect(fetches).toBe(1)
    isAway = false
    const kit = await kitWith({ issuer: { clients: () => keyed } })
    for (let round = 0; round < 5; round++) {
      expect((await present(kit, await sign(kit))).status).toBe(200)
    }
    expect(fetches).toBe(2)
  })
})

describe('clients from a function', () => {
  test('are asked for each time, so that one may be turned off', async () => {
    const client: Client = { clientId: 'billing', secretHashes, grants }
    const kit = await kitWith({
      issuer: { clients: async (id) => Promise.resolve(id === 'billing' ? client : undefined) },
    })
    expect((await grant(kit)).status).toBe(200)
    expect((await grant(kit, {}, basic('nobody', secret))).status).toBe(401)
    client.disabled = true
    expect((await grant(kit)).status).toBe(401)
    await expect(kit.startSession({ clientId: 'nobody' })).rejects.toThrow(TypeError)
    expect((await kit.refresh((await kit.startSession()).refresh_token)).status).toBe(200)
  })

  test.each<[string, () => unknown]>([
    ['throws', () => JSON.parse('{')],
    ['rejects', async () => Promise.reject(new Error('database'))],
    ['hangs', async () => new Promise(() => undefined)],
    ['knows no better than null', () => null],
    ['answers with another client', () => ({ clientId: 'other', secretHashes })],
    ['answers with nonsense', () => ({ clientId: 'billing', secretHashes: 'x' })],
  ])('M06 are 503, never 401, while the function %s', async (_name, resolve) => {
    const kit = await kitWith({ issuer: { clients: resolve as () => Client } })
    const startedAt = performance.now()
    const answer = await grant(kit)
    expect([answer.status, answer.json.error]).toEqual([503, 'temporarily_unavailable'])
    expect(performance.now() - startedAt).toBeLessThan(900)
  })
})

describe('oauth4webapi', () => {
  test.each<[string, string, oauth.ClientAuth]>([
    ['client_secret_basic', 'billing', oauth.ClientSecretBasic(secret)],
    ['client_secret_post', 'billing', oauth.ClientSecretPost(secret)],
    ['private_key_jwt', 'keyed', oauth.PrivateKeyJwt({ key: privateKey, kid: 'k1' })],
  ])('is granted a token by %s', async (method, clientId, auth) => {
    const kit = await kitWith()
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- loopback has no certificate
    const insecure = { [oauth.allowInsecureRequests]: true }
    const url = new URL(kit.base)
    const found = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...insecure })
    const server = await oauth.processDiscoveryResponse(url, found)
    expect(server.grant_types_supported).toContain('client_credentials')
    expect(server.token_endpoint_auth_methods_supported).toContain(method)
    const client = { client_id: clientId }
    const response = await oauth.clientCredentialsGrantRequest(
      server,
      client,
      auth,
      { scope: 'reports:read' },
      insecure,
    )
    const tokens = await oauth.processClientCredentialsResponse(server, client, response)
    expect((await kit.call(tokens.access_token)).status).toBe(200)
  })
})
