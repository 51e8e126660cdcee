import { beforeAll, describe, expect, test } from '@jest/globals'
import * as oauth from 'oauth4webapi'
import type { StartSessionInput, TokenResponse } from '../../src/issuer/index.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type Answer, postForm, send } from '../support/http-client.ts'
import {
  claimsOf,
  closeKitsAfterEach,
  createKit,
  type Kit,
  type KitOptions,
  typesOf,
  loopbackCookieOf,
} from '../support/issuer-kit.ts'
import { makeProofKey, type ProofClaims, type ProofKey, unsigned } from '../support/proofs.ts'

closeKitsAfterEach()

const loginUrl = 'https://login.example.com/login'
const now = () => Math.floor(Date.now() / 1000)
let owner: ProofKey
let thief: ProofKey

beforeAll(async () => {
  owner = await makeProofKey()
  thief = await makeProofKey()
})

async function createBoundKit(options: KitOptions = {}): Promise<Kit> {
  return createKit({ clock: new FakeClock(Date.now()), guard: { dpop: {} }, ...options })
}

const start = async (kit: Kit, key = owner): Promise<TokenResponse> =>
  kit.startSession({ dpop: { proof: key.prove({ htm: 'POST', htu: loginUrl }), url: loginUrl } })

/** A refresh with a proof of a key; the issuer's clock is the real one. */
const refresh = async (
  kit: Kit,
  token: string,
  key: ProofKey,
  claims: ProofClaims = {},
): Promise<Answer> =>
  kit.refresh(
    token,
    {},
    { dpop: key.prove({ htm: 'POST', htu: `${kit.base}/token`, iat: now(), ...claims }) },
  )

const call = async (kit: Kit, token: string, key: ProofKey): Promise<Answer> =>
  send(`${kit.url}/me`, {
    headers: {
      authorization: `DPoP ${token}`,
      dpop: key.prove({ token, htu: `${kit.url}/me`, iat: Math.floor(kit.clock.seconds) }),
    },
  })

const errorOf = ({ status, json }: Answer) => [status, json.error]

test('a login with a proof, an API call, a refresh, an API call: all bound to one key', async () => {
  const kit = await createBoundKit()
  const tokens = await start(kit)
  expect(tokens.token_type).toBe('DPoP')
  expect(claimsOf(tokens)).toMatchObject({ cnf: { jkt: owner.thumbprint } })
  expect(await call(kit, tokens.access_token, owner)).toMatchObject({ status: 200 })
  const refreshed = await refresh(kit, tokens.refresh_token, owner)
  expect(refreshed).toMatchObject({ status: 200, json: { token_type: 'DPoP' } })
  expect(claimsOf(refreshed)).toMatchObject({ cnf: { jkt: owner.thumbprint } })
  expect(await call(kit, refreshed.json.access_token, owner)).toMatchObject({ status: 200 })
  expect(await refresh(kit, refreshed.json.refresh_token, owner)).toMatchObject({ status: 200 })
})

test('a session may be bound by the thumbprint of a key, and others stay plain bearers', async () => {
  const kit = await createBoundKit()
  const bound = await kit.startSession({ dpop: { jkt: owner.thumbprint } })
  expect(await refresh(kit, bound.refresh_token, owner)).toMatchObject({
    json: { token_type: 'DPoP' },
  })
  const plain = await kit.startSession()
  expect(plain.token_type).toBe('Bearer')
  expect(claimsOf(plain)).not.toHaveProperty('cnf')
  const refreshed = await refresh(kit, plain.refresh_token, owner)
  expect(refreshed).toMatchObject({ status: 200, json: { token_type: 'Bearer' } })
  expect(await kit.call(refreshed.json.access_token)).toMatchObject({ status: 200 })
})

test('a stolen access token is refused without the key', async () => {
  const kit = await createBoundKit()
  const { access_token: stolen } = await start(kit)
  expect(await kit.call(stolen)).toMatchObject({ status: 401 })
  expect(await call(kit, stolen, thief)).toMatchObject({ status: 401 })
  const headers = { authorization: `DPoP ${stolen}` }
  expect(await send(`${kit.url}/me`, { headers })).toMatchObject({ status: 401 })
  expect(await call(kit, stolen, owner)).toMatchObject({ status: 200 })
})

describe('a stolen refresh token', () => {
  /** The attempts of a thief who has the token and any key but the owner's. */
  async function expectRefused(kit: Kit, stolen: string): Promise<void> {
    const before = [...kit.events]
    expect(errorOf(await kit.refresh(stolen))).toEqual([400, 'invalid_dpop_proof'])
    expect(errorOf(await refresh(kit, stolen, thief))).toEqual([400, 'invalid_grant'])
    const forged = { jwk: owner.jwk }
    const dpop = thief.prove({ htm: 'POST', htu: `${kit.base}/token` }, forged)
    expect(errorOf(await kit.refresh(stolen, {}, { dpop }))).toEqual([400, 'invalid_dpop_proof'])
    expect(kit.events).toEqual(before)
  }

  test('gets nothing and changes nothing: the current one', async () => {
    const kit = await createBoundKit()
    const { refresh_token: current } = await start(kit)
    await expectRefused(kit, current)
    expect(await refresh(kit, current, owner)).toMatchObject({ status: 200 })
    expect(typesOf(kit).at(-1)).toBe('session.refreshed')
  })

  test('gets nothing within the grace, where a bearer would get the successor', async () => {
    const kit = await createBoundKit()
    const { refresh_token: previous } = await start(kit)
    const { json } = await refresh(kit, previous, owner)
    await expectRefused(kit, previous)
    const retried = await refresh(kit, previous, owner)
    expect(retried.json.refresh_token).toBe(json.refresh_token)
    expect(await refresh(kit, json.refresh_token, owner)).toMatchObject({ status: 200 })
  })

  test('gets nothing after the grace, and does not end the session of the owner', async () => {
    const kit = await createBoundKit()
    const { refresh_token: old } = await start(kit)
    const { json } = await refresh(kit, old, owner)
    kit.clock.advance(10_001)
    await expectRefused(kit, old)
    expect(await refresh(kit, json.refresh_token, owner)).toMatchObject({ status: 200 })
    // The owner's own key shows that the holder of the key used the token twice.
    expect(errorOf(await refresh(kit, old, owner))).toEqual([400, 'invalid_grant'])
    expect(typesOf(kit)).toContain('refresh.reused')
  })

  test('gets nothing by a proof that was used before', async () => {
    const kit = await createBoundKit()
    const { refresh_token: stolen } = await start(kit)
    const dpop = owner.prove({ htm: 'POST', htu: `${kit.base}/token` })
    const { json } = await kit.refresh(stolen, {}, { dpop })
    expect(errorOf(await kit.refresh(stolen, {}, { dpop }))).toEqual([400, 'invalid_dpop_proof'])
    kit.clock.advance(10_001)
    expect(errorOf(await kit.refresh(stolen, {}, { dpop }))).toEqual([400, 'invalid_dpop_proof'])
    expect(await refresh(kit, json.refresh_token, owner)).toMatchObject({ status: 200 })
  })

  test('of an ended session is an invalid grant, whatever the key', async () => {
    const kit = await createBoundKit()
    const tokens = await start(kit)
    await kit.issuer.endSession(tokens.session_id)
    expect(errorOf(await refresh(kit, tokens.refresh_token, owner))).toEqual([400, 'invalid_grant'])
  })

  test('can be revoked without a proof, as a lost device has to be', async () => {
    const kit = await createBoundKit()
    const tokens = await start(kit)
    expect((await kit.revoke(tokens.refresh_token)).status).toBe(200)
    expect(await call(kit, tokens.access_token, owner)).toMatchObject({ status: 401 })
  })
})

type Attack = [string, (kit: Kit) => Record<string, string | string[]>]
const good = (kit: Kit, claims: ProofClaims = {}, header = {}) =>
  owner.prove({ htm: 'POST', htu: `${kit.base}/token`, ...claims }, header)
const attacks: Attack[] = [
  ['two headers', (kit) => ({ dpop: [good(kit), good(kit)] })],
  ['two in one header', (kit) => ({ dpop: `${good(kit)}, ${good(kit)}` })],
  ['an empty one', () => ({ dpop: '' })],
  ['another method', (kit) => ({ dpop: good(kit, { htm: 'GET' }) })],
  ['another path', (kit) => ({ dpop: good(kit, { htu: `${kit.base}/revoke` }) })],
  ['the host of the Host header', (kit) => ({ host: 'evil.test', dpop: good(kit, { htu: 'http://evil.test/token' }) })],
  ['a forwarded host', (kit) => ({ 'x-forwarded-host': 'evil.test', dpop: good(kit, { htu: 'http://evil.test/token' }) })],
  ['an old iat', (kit) => ({ dpop: good(kit, { iat: now() - 70 }) })],
  ['a future iat', (kit) => ({ dpop: good(kit, { iat: now() + 10 }) })],
  ['a jti of 256 characters', (kit) => ({ dpop: good(kit, { jti: 'j'.repeat(256) }) })],
  ['no jti', (kit) => ({ dpop: good(kit, { jti: undefined }) })],
  ['typ JWT', (kit) => ({ dpop: good(kit, {}, { typ: 'JWT' }) })],
  ['alg none', (kit) => ({ dpop: unsigned({ typ: 'dpop+jwt', alg: 'none', jwk: owner.jwk }, { jti: 'j', htm: 'POST', htu: `${kit.base}/token`, iat: now() }) })],
  ['a private jwk', (kit) => ({ dpop: good(kit, {}, { jwk: owner.signer.privateKey.export({ format: 'jwk' }) }) })],
] // prettier-ignore

test.each(attacks)('at /token a proof is refused and nothing changes: %s', async (_name, make) => {
  const kit = await createBoundKit()
  const { refresh_token: token } = await start(kit)
  const answer = await kit.refresh(token, {}, make(kit))
  expect(errorOf(answer)).toEqual([400, 'invalid_dpop_proof'])
  expect(typesOf(kit)).toEqual(['session.started'])
  expect(await refresh(kit, token, owner)).toMatchObject({ status: 200 })
})

describe('startSession', () => {
  const wrong: [string, unknown, RegExp][] = [
    ['no object', 'proof', /startSession: dpop: the options must be an object/],
    ['a jkt that is none', { jkt: 'x' }, /"dpop.jkt" must be a SHA-256 thumbprint/],
    ['both at once', { jkt: 'a'.repeat(43), proof: 'x' }, /"dpop.jkt"/],
    ['no url', { proof: 'x' }, /"dpop.url" must be the URL of the login route/],
    ['a relative url', { proof: 'x', url: '/login' }, /"dpop.url"/],
    ['a method that is none', { proof: 'x', url: loginUrl, method: 1 }, /"dpop.method" must be a string/],
    ['an unknown name', { key: 'x' }, /unknown option "key"/],
  ] // prettier-ignore
  test.each(wrong)('is a TypeError with %s', async (_name, dpop, message) => {
    const kit = await createBoundKit()
    const attempt = kit.startSession({ dpop } as Partial<StartSessionInput>)
    await expect(attempt).rejects.toThrow(TypeError)
    await expect(attempt).rejects.toThrow(message)
  })

  test('refuses a login without a good proof, and begins no session', async () => {
    const kit = await createBoundKit()
    const proofs = [
      undefined,
      '',
      'x',
      owner.prove({ htm: 'GET', htu: loginUrl }),
      owner.prove({ htm: 'POST', htu: `${loginUrl}2` }),
    ]
    for (const proof of proofs) {
      const attempt = kit.startSession({ dpop: { proof, url: loginUrl } })
      await expect(attempt).rejects.toMatchObject({ code: 'invalid_dpop_proof', status: 400 })
    }
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })

  test('refuses a proof of a login that was used before', async () => {
    const kit = await createBoundKit()
    const dpop = { proof: owner.prove({ htm: 'PUT', htu: loginUrl }), url: loginUrl, method: 'PUT' }
    expect(await kit.startSession({ dpop })).toMatchObject({ token_type: 'DPoP' })
    await expect(kit.startSession({ dpop })).rejects.toMatchObject({ reason: 'replay' })
  })
})

test('claims of the application cannot name a key', async () => {
  const kit = await createBoundKit({ issuer: { claims: () => ({ cnf: { jkt: 'x' } }) } })
  await expect(start(kit)).rejects.toThrow(/must not set "cnf"/)
})

test('in cookie mode a page of another origin may send its proof', async () => {
  const origin = 'https://page.example.com'
  const kit = await createBoundKit({ issuer: { cookie: {}, allowedOrigins: [origin] } })
  const preflight = await send(`${kit.base}/token`, { method: 'OPTIONS', headers: { origin } })
  expect(preflight.headers['access-control-allow-headers']).toBe(
    'Authorization, Content-Type, DPoP',
  )
  const tokens = await start(kit)
  const headers = { origin, cookie: `${loopbackCookieOf(kit)}=${tokens.refresh_token}` }
  const form = { grant_type: 'refresh_token' }
  expect(errorOf(await postForm(`${kit.base}/token`, form, headers))).toEqual([
    400,
    'invalid_dpop_proof',
  ])
  const dpop = owner.prove({ htm: 'POST', htu: `${kit.base}/token` })
  // Pages send their access token along with every request.
  const authorization = `DPoP ${tokens.access_token}`
  const answer = await postForm(`${kit.base}/token`, form, { ...headers, dpop, authorization })
  expect(answer).toMatchObject({ status: 200, json: { token_type: 'DPoP' } })
  expect(answer.json).not.toHaveProperty('refresh_token')
})

test('oauth4webapi refreshes with its key, by the metadata, and fails with a swapped one', async () => {
  const kit = await createBoundKit()
  const loose = { [oauth.allowInsecureRequests]: true } // eslint-disable-line @typescript-eslint/no-deprecated -- loopback
  const url = new URL(kit.base)
  const found = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...loose })
  const server = await oauth.processDiscoveryResponse(url, found)
  expect(server.dpop_signing_alg_values_supported).toEqual(
    expect.arrayContaining(['ES256', 'Ed25519', 'PS256', 'RS256']),
  )
  const client = { client_id: 'first-party' }
  const keys = await oauth.generateKeyPair('ES256', { extractable: true })
  const { x, y } = await crypto.subtle.exportKey('jwk', keys.publicKey)
  const { calculateJwkThumbprint } = await import('jose')
  const jkt = await calculateJwkThumbprint({ kty: 'EC', crv: 'P-256', x: x ?? '', y: y ?? '' })
  const tokens = await kit.startSession({ dpop: { jkt } })
  const ask = async (pair: typeof keys) =>
    oauth.processRefreshTokenResponse(
      server,
      client,
      await oauth.refreshTokenGrantRequest(server, client, oauth.None(), tokens.refresh_token, {
        DPoP: oauth.DPoP({}, pair),
        ...loose,
      }),
    )
  await expect(ask(await oauth.generateKeyPair('ES256'))).rejects.toMatchObject({
    error: 'invalid_grant',
  })
  expect(await ask(keys)).toMatchObject({ token_type: 'dpop' })
})
