import { describe, expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair } from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { systemClock } from '../../src/clock.ts'
import { type Client, generateSigningKey, hashClientSecret } from '../../src/issuer/index.ts'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type Answer, basic, postForm, send, type Sent } from '../support/http-client.ts'
import {
  audience,
  claimsOf,
  closeKitsAfterEach,
  createKit,
  type Kit,
  type KitOptions,
} from '../support/issuer-kit.ts'

closeKitsAfterEach()

const secret = 'a secret of a client, thirty-two bytes'
const secretHashes = [hashClientSecret(secret)]
const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
const named = { kid: 'k1', alg: 'ES256' }
const jwks = { keys: [{ ...(await exportJWK(publicKey)), ...named }] }
const privateJwk = { ...(await exportJWK(privateKey)), ...named }
const otherApi = 'https://other.example.com'
const grants: Client['grants'] = ['client_credentials']

const clients: Client[] = [
  { clientId: 'web' },
  { clientId: 'public-api', introspect: true },
  { clientId: 'server', secretHashes },
  { clientId: 'billing', secretHashes, grants, scopes: ['reports:read'] },
  { clientId: 'abroad', secretHashes, grants, audiences: [otherApi] },
  { clientId: 'api', secretHashes, introspect: true },
  { clientId: 'other-api', secretHashes, introspect: true, audiences: [otherApi] },
  { clientId: 'off-api', secretHashes, introspect: true, disabled: true },
  {
    clientId: 'keyed',
    jwks,
    introspect: true,
    grants: ['client_credentials', 'refresh_token'],
    scopes: ['reports:read'],
  },
]

async function kitWith(options: KitOptions = {}): Promise<Kit> {
  return createKit({
    clock: new FakeClock(Date.now()),
    // Introspection goes by the real clock.
    store: new MemorySessionStore({}, systemClock),
    ...options,
    issuer: { clients, ...options.issuer },
  })
}

const asApi = basic('api', secret)

async function ask(kit: Kit, token: string, headers: Sent['headers'] = asApi): Promise<Answer> {
  return postForm(`${kit.base}/introspect`, { token }, headers)
}

async function machineToken(kit: Kit, clientId = 'billing'): Promise<string> {
  const form = { grant_type: 'client_credentials' }
  const answer = await postForm(`${kit.base}/token`, form, basic(clientId, secret))
  return answer.json.access_token as string
}

/** Exactly this and nothing else, whatever the reason. */
async function expectInactive(kit: Kit, token: string, headers?: Sent['headers']): Promise<void> {
  const answer = await ask(kit, token, headers)
  expect([answer.status, answer.text]).toEqual([200, '{"active":false}'])
}

describe('POST /introspect', () => {
  test('says of an access token what it says, and whether it is bound', async () => {
    const kit = await kitWith()
    const tokens = await kit.startSession({
      clientId: 'web',
      scope: 'reports:read',
      acr: 'gold',
      authTime: 1_700_000_000,
    })
    const answer = await ask(kit, tokens.access_token)
    expect([answer.status, answer.headers['cache-control']]).toEqual([200, 'no-store'])
    expect(answer.json).toEqual({
      ...claimsOf(tokens),
      active: true,
      token_type: 'Bearer',
      acr: 'gold',
      auth_time: 1_700_000_000,
      client_id: 'web',
      scope: 'reports:read',
      sid: tokens.session_id,
    })
    const jkt = 'x'.repeat(43)
    const bound = await kit.startSession({ clientId: 'web', dpop: { jkt } })
    expect((await ask(kit, bound.access_token)).json).toMatchObject({
      active: true,
      token_type: 'DPoP',
      cnf: { jkt },
    })
    expect((await ask(kit, await machineToken(kit))).json).toMatchObject({
      active: true,
      sub: 'billing',
      client_id: 'billing',
      scope: 'reports:read',
    })
  })

  test('says of the current refresh token that it is one, and nothing of those before', async () => {
    const kit = await kitWith()
    const first = await kit.startSession({ clientId: 'web', scope: 'reports:read' })
    const answer = await ask(kit, first.refresh_token)
    expect(answer.json).toEqual({
      active: true,
      token_use: 'refresh',
      iss: kit.base,
      sub: 'u1',
      aud: audience,
      exp: expect.any(Number),
      iat: expect.any(Number),
      sid: first.session_id,
      client_id: 'web',
      scope: 'reports:read',
    })
    const second = await kit.refresh(first.refresh_token, { client_id: 'web' })
    await expectInactive(kit, first.refresh_token)
    expect((await ask(kit, second.json.refresh_token)).json.active).toBe(true)
    await kit.issuer.endSession(first.session_id)
    await expectInactive(kit, second.json.refresh_token)
  })

  test('knows nothing of tokens that are unknown, forged, changed, expired, foreign or of another kind', async () => {
    const kit = await kitWith()
    const { access_token: good, refresh_token: refresh } = await kit.startSession({
      clientId: 'web',
    })
    const [header, payload, signature = ''] = good.split('.')
    const elsewhere = await kitWith({
      issuer: { signingKeys: [await generateSigningKey('ES256')] },
    })
    const foreign = await elsewhere.startSession({ clientId: 'web' })
    const shortLived = await kitWith({
      issuer: { accessTokenTtlSeconds: 1, dangerouslyAllowAnyAccessTokenTtl: true },
    })
    const expiring = await shortLived.startSession({ clientId: 'web' })
    const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')
    for (const token of [
      'x',
      'a.b.c',
      'ö',
      `${good}x`,
      `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
      `${none}.${payload}.`,
      foreign.access_token,
      foreign.refresh_token,
      `${refresh.slice(0, -4)}AAAA`,
      'x'.repeat(10_000),
    ]) {
      await expectInactive(kit, token)
    }
    const { exp } = claimsOf(expiring) as { exp: number }
    await new Promise((resolve) => setTimeout(resolve, exp * 1000 - Date.now()))
    await expectInactive(shortLived, expiring.access_token)
  })

  test.each<[string, (kit: Kit, session: string) => Promise<unknown>]>([
    ['session', async (kit, session) => kit.issuer.kickOut({ session })],
    ['user', async (kit) => kit.issuer.kickOut({ subject: 'u1' })],
    ['client', async (kit) => kit.issuer.kickOut({ client: 'web' })],
    ['everyone', async (kit) => kit.issuer.kickOut({ everyone: true })],
  ])('of a kicked out %s knows neither token', async (_name, kickOut) => {
    const kit = await kitWith()
    const tokens = await kit.startSession({ clientId: 'web' })
    await kickOut(kit, tokens.session_id)
    await expectInactive(kit, tokens.access_token)
    await expectInactive(kit, tokens.refresh_token)
  })

  test('tells a client of tokens for its own audiences alone', async () => {
    const kit = await kitWith()
    const tokens = await kit.startSession({ clientId: 'web' })
    const asOther = basic('other-api', secret)
    await expectInactive(kit, tokens.access_token, asOther)
    await expectInactive(kit, tokens.refresh_token, asOther)
    const abroad = await machineToken(kit, 'abroad')
    await expectInactive(kit, abroad)
    expect((await ask(kit, abroad, asOther)).json).toMatchObject({ active: true, sub: 'abroad' })
  })

  test.each<[string, Record<string, string>, Sent['headers']]>([
    ['nobody', {}, {}],
    ['a wrong secret', {}, basic('api', 'wrong')],
    ['an unknown client', {}, basic('nobody', secret)],
    ['a client without the right', {}, basic('server', secret)],
    ['a public client with the right', { client_id: 'public-api' }, {}],
    ['a public client', { client_id: 'web' }, {}],
    ['a disabled client', {}, basic('off-api', secret)],
    ['the pages of the issuer', { client_id: 'first-party' }, {}],
    ['an access token, which proves no client', {}, { authorization: 'Bearer x' }],
  ])('answers %s with 401, whatever the token', async (_name, fields, headers) => {
    const kit = await kitWith()
    const { access_token: token } = await kit.startSession({ clientId: 'web' })
    for (const sent of [token, 'unknown']) {
      const answer = await postForm(`${kit.base}/introspect`, { token: sent, ...fields }, headers)
      expect([answer.status, answer.json.error]).toEqual([401, 'invalid_client'])
      expect(answer.headers['cache-control']).toBe('no-store')
    }
    expect(kit.refusals).toContainEqual(
      expect.objectContaining({ endpoint: '/introspect', code: 'invalid_client' }),
    )
  })

  test('answers a request that is malformed with 400, and 405', async () => {
    const kit = await kitWith()
    const url = `${kit.base}/introspect`
    for (const body of ['', 'token=', 'token=a&token=b', 'token[a]=b', 'tokens=a']) {
      const answer = await postForm(url, body, asApi)
      expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
    }
    const json = await send(url, {
      method: 'POST',
      headers: { ...asApi, 'content-type': 'application/json' },
      body: '{"token":"a"}',
    })
    expect(json.status).toBe(400)
    expect((await send(url, { headers: asApi })).status).toBe(405)
    expect((await postForm(url, `token=${'a'.repeat(17_000)}`, asApi)).status).toBe(413)
    const twice = await postForm(
      url,
      { token: 'a', client_id: 'api', client_secret: secret },
      asApi,
    )
    expect([twice.status, twice.json.error]).toEqual([400, 'invalid_request'])
  })

  test('is 503, and says neither yes nor no, while the store is away', async () => {
    const kit = await kitWith()
    const tokens = await kit.startSession({ clientId: 'web' })
    await kit.store.close()
    for (const token of [tokens.access_token, tokens.refresh_token]) {
      const answer = await ask(kit, token)
      expect([answer.status, answer.json.error]).toEqual([503, 'temporarily_unavailable'])
    }
    await expectInactive(kit, 'unknown')
  })
})

// eslint-disable-next-line @typescript-eslint/no-deprecated -- loopback has no certificate
const loose = { [oauth.allowInsecureRequests]: true }

describe('oauth4webapi', () => {
  test.each<[string, string, oauth.ClientAuth]>([
    ['client_secret_basic', 'api', oauth.ClientSecretBasic(secret)],
    ['client_secret_post', 'api', oauth.ClientSecretPost(secret)],
    ['private_key_jwt', 'keyed', oauth.PrivateKeyJwt({ key: privateKey, kid: 'k1' })],
  ])('introspects by %s what the metadata says', async (method, clientId, auth) => {
    const kit = await kitWith()
    const url = new URL(kit.base)
    const found = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...loose })
    const server = await oauth.processDiscoveryResponse(url, found)
    expect(server.introspection_endpoint_auth_methods_supported).toContain(method)
    expect(server.introspection_endpoint_auth_methods_supported).not.toContain('none')
    const client = { client_id: clientId }
    const { access_token: token } = await kit.startSession({ clientId: 'web' })
    const ask = async (one: string) =>
      oauth.processIntrospectionResponse(
        server,
        client,
        await oauth.introspectionRequest(server, client, auth, one, loose),
      )
    expect(await ask(token)).toMatchObject({ active: true, sub: 'u1' })
    const revoked = await oauth.revocationRequest(
      server,
      { client_id: 'web' },
      oauth.None(),
      token,
      loose,
    )
    await oauth.processRevocationResponse(revoked)
    expect(await ask(token)).toEqual({ active: false })
  })
})

describe('openid-client', () => {
  async function configured(kit: Kit, clientId: string, auth: openid.ClientAuth) {
    return openid.discovery(new URL(kit.base), clientId, undefined, auth, {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests], // eslint-disable-line @typescript-eslint/no-deprecated -- loopback
    })
  }

  test('gets, refreshes, introspects and revokes tokens', async () => {
    const kit = await kitWith()
    const api = await configured(kit, 'api', openid.ClientSecretBasic(secret))
    const server = await configured(kit, 'server', openid.ClientSecretPost(secret))
    const session = await kit.startSession({ clientId: 'server', scope: 'reports:read' })
    const tokens = await openid.refreshTokenGrant(server, session.refresh_token)
    expect(tokens.scope).toBe('reports:read')
    expect((await kit.call(tokens.access_token)).status).toBe(200)
    const told = await openid.tokenIntrospection(api, tokens.access_token)
    expect(told).toMatchObject({ active: true, sub: 'u1', client_id: 'server' })
    await openid.tokenRevocation(server, tokens.refresh_token ?? '')
    for (const token of [tokens.access_token, tokens.refresh_token ?? '']) {
      expect(await openid.tokenIntrospection(api, token)).toEqual({ active: false })
    }
    expect((await kit.call(tokens.access_token)).status).toBe(401)
    await expect(
      openid.refreshTokenGrant(server, tokens.refresh_token ?? ''),
    ).rejects.toMatchObject({ error: 'invalid_grant' })
    await expect(openid.tokenIntrospection(server, 'x')).rejects.toMatchObject({ status: 401 })
  })

  test('is granted tokens for a machine by private_key_jwt, and introspects them', async () => {
    const kit = await kitWith()
    const config = await configured(
      kit,
      'keyed',
      openid.PrivateKeyJwt({ key: privateKey, kid: 'k1' }),
    )
    const { access_token: token } = await openid.clientCredentialsGrant(config, {
      scope: 'reports:read',
    })
    expect((await kit.call(token)).json).toMatchObject({ clientId: 'keyed' })
    expect(await openid.tokenIntrospection(config, token)).toMatchObject({
      active: true,
      client_id: 'keyed',
    })
    await kit.issuer.kickOut({ client: 'keyed' })
    expect(await openid.tokenIntrospection(config, token)).toEqual({ active: false })
    expect((await kit.call(token)).status).toBe(401)
    const next = await openid.clientCredentialsGrant(config)
    expect(await openid.tokenIntrospection(config, next.access_token)).toMatchObject({
      active: true,
    })
  })
})

describe('a guard that introspects at this issuer', () => {
  const introspection = { clientId: 'keyed', privateKey: privateJwk, jwt: true }

  test('accepts access tokens, and refuses refresh tokens and what was kicked out', async () => {
    const kit = await kitWith({ discovery: true, guard: { introspection } })
    const tokens = await kit.startSession({ clientId: 'web', scope: 'reports:read' })
    const called = await kit.call(tokens.access_token)
    expect([called.status, called.json.scopes, called.json.payload.token_type]).toEqual([
      200,
      ['reports:read'],
      'Bearer',
    ])
    expect((await kit.call(tokens.refresh_token)).status).toBe(401)
    await kit.issuer.kickOut({ subject: 'u1' })
    expect((await kit.call(tokens.access_token)).status).toBe(401)
    const again = await kit.startSession({ clientId: 'web' })
    expect((await kit.call(again.access_token)).status).toBe(200)
  })
})
