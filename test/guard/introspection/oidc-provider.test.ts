import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import * as dpop from 'dpop'
import express from 'express'
import { exportJWK, generateKeyPair } from 'jose'
import * as oauth from 'oauth4webapi'
import { authErrorHandler, type AuthHandler, requireAuth } from '../../../src/guard/middleware.ts'
import { getAuth } from '../../../src/guard/request-auth.ts'
import type { RequireAuthOptions } from '../../../src/guard/require-auth-options.ts'
import { requireScope } from '../../../src/guard/route-guards.ts'
import { memoryRevocations } from '../../../src/revocation/memory-revocations.ts'
import { basic, bearer, listen, type Listening, postForm, send } from '../../support/http-client.ts'
import {
  api,
  machine,
  type OpaqueIssuer,
  otherApi,
  resourceServer,
  startOpaqueIssuer,
} from '../../support/opaque-issuer.ts'

const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
const named = { kid: 'k1', alg: 'ES256' }
const publicJwk = { ...(await exportJWK(publicKey)), ...named }
const privateJwk = { ...(await exportJWK(privateKey)), ...named }
let as: OpaqueIssuer
const open: (Listening | AuthHandler)[] = []

beforeAll(async () => {
  as = await startOpaqueIssuer({ keys: [publicJwk] })
})
afterEach(async () => {
  as.asked.clear()
  await Promise.all(open.splice(0).map(async (one) => one.close()))
})
afterAll(async () => as.close())

const introspection = { clientId: resourceServer.id, clientSecret: resourceServer.secret }

async function guarded(options: RequireAuthOptions = {}) {
  const guard = requireAuth({ issuer: as.issuer, audience: api, introspection, ...options })
  const app = express()
  app.get('/me', guard, requireScope('reports:read'), (req, res) => {
    const { subject, clientId, scopes, issuer, header, payload, resource } = getAuth(req)
    res.json({ subject, clientId, scopes, issuer, header, payload, resource })
  })
  app.use(authErrorHandler())
  const server = await listen(app)
  open.push(server, guard)
  return { guard, url: `${server.url}/me` }
}

// eslint-disable-next-line @typescript-eslint/no-deprecated -- loopback has no certificate
const loose = { [oauth.allowInsecureRequests]: true }

/** A token by client_credentials, for one of two APIs. */
async function machineToken(resource = api, scope = 'reports:read'): Promise<string> {
  const server = await oauth
    .discoveryRequest(new URL(as.issuer), loose)
    .then(async (answer) => oauth.processDiscoveryResponse(new URL(as.issuer), answer))
  const client = { client_id: machine.id }
  const answer = await oauth.clientCredentialsGrantRequest(
    server,
    client,
    oauth.ClientSecretBasic(machine.secret),
    { scope, resource },
    loose,
  )
  return (await oauth.processClientCredentialsResponse(server, client, answer)).access_token
}

const asks = (): number => as.asked.get('/token/introspection') ?? 0

test('opaque tokens of users and machines are accepted, with what the issuer says of them', async () => {
  const { url } = await guarded()
  const user = await send(url, { headers: bearer(await as.userToken()) })
  expect([user.status, user.json]).toEqual([
    200,
    {
      subject: 'u1',
      clientId: machine.id,
      scopes: ['reports:read'],
      issuer: as.issuer,
      header: { alg: '' },
      resource: `${api}/`,
      payload: {
        iss: as.issuer,
        sub: 'u1',
        aud: api,
        client_id: machine.id,
        scope: 'reports:read',
        token_type: 'Bearer',
        exp: expect.any(Number),
        iat: expect.any(Number),
      },
    },
  ])
  const ofMachine = await send(url, { headers: bearer(await machineToken()) })
  expect([ofMachine.status, ofMachine.json.clientId]).toEqual([200, machine.id])
  const narrow = await send(url, { headers: bearer(await machineToken(api, 'reports:write')) })
  expect([narrow.status, narrow.json.error]).toEqual([403, 'insufficient_scope'])
  const foreign = await send(url, { headers: bearer(await machineToken(otherApi)) })
  expect([foreign.status, foreign.json.error]).toEqual([401, 'invalid_token'])
})

test('E08 a kick-out is in force at the next use of a cached answer, without asking the issuer again', async () => {
  const revocations = memoryRevocations()
  const { url } = await guarded({ revocations })
  const headers = bearer(await as.userToken())
  const other = bearer(await as.userToken({ subject: 'u2' }))
  for (const token of [headers, headers, other]) {
    expect((await send(url, { headers: token })).status).toBe(200)
  }
  expect(asks()).toBe(2)
  await revocations.kickOut({ issuer: as.issuer, subject: 'u1' })
  const out = await send(url, { headers })
  expect([out.status, out.json.error]).toEqual([401, 'invalid_token'])
  expect((await send(url, { headers: other })).status).toBe(200)
  expect(asks()).toBe(2)
})

test('a token that the issuer took back is refused once its answer is no longer kept', async () => {
  const { url } = await guarded({ introspection: { ...introspection, cacheSeconds: 0 } })
  const token = await machineToken()
  expect((await send(url, { headers: bearer(token) })).status).toBe(200)
  const revoked = await postForm(
    `${as.issuer}/token/revocation`,
    { token },
    basic(machine.id, machine.secret),
  )
  expect(revoked.status).toBe(200)
  const { guard } = await guarded({ introspection: { ...introspection, cacheSeconds: 0 } })
  expect((await send(url, { headers: bearer(token) })).status).toBe(401)
  const asking = guard.authenticate({ headers: {}, rawHeaders: [] }, { token })
  await expect(asking).rejects.toMatchObject({ status: 401, reason: 'inactive' })
})

test.each<[string, object]>([
  ['client_secret_basic', introspection],
  [
    'client_secret_post',
    { clientId: 'posting-api', clientSecret: resourceServer.secret, auth: 'post' },
  ],
  ['private_key_jwt', { clientId: 'keyed-api', privateKey: privateJwk }],
])('%s proves who asks, each time', async (_name, how) => {
  const { url, guard } = await guarded({
    introspection: { ...how, cacheSeconds: 0 } as RequireAuthOptions['introspection'] & object,
  })
  await guard.ready()
  const headers = bearer(await as.userToken())
  for (let round = 0; round < 3; round++) {
    expect((await send(url, { headers })).status).toBe(200)
  }
})

test('E03 an issuer that refuses us is our failure: 503, and never a 401 to the user', async () => {
  const { url, guard } = await guarded({
    introspection: { ...introspection, clientSecret: 'another secret' },
  })
  const token = await as.userToken()
  const answer = await send(url, { headers: bearer(token) })
  expect([
    answer.status,
    answer.headers['retry-after'],
    answer.headers['www-authenticate'],
  ]).toEqual([503, '1', undefined])
  const asking = guard.authenticate({ headers: {}, rawHeaders: [] }, { token })
  await expect(asking).rejects.toMatchObject({
    reason: 'introspection',
    message: expect.stringMatching(/answered 401.*clientId/),
  })
  await expect(asking).rejects.not.toMatchObject({ message: expect.stringContaining(token) })
})

test('E07 a token that is bound to a key needs a proof of it, and a guard without DPoP refuses it', async () => {
  const keys = await dpop.generateKeyPair('ES256')
  const jkt = await dpop.calculateThumbprint(keys.publicKey)
  const token = await as.userToken({ jkt })
  const plain = await guarded()
  const { url } = await guarded({ dpop: {} })
  const proof = await dpop.generateProof(keys, url, 'GET', undefined, token)
  const good = await send(url, { headers: { authorization: `DPoP ${token}`, dpop: proof } })
  expect([good.status, good.json.payload.token_type, good.json.payload.cnf]).toEqual([
    200,
    'DPoP',
    { jkt },
  ])
  const replayed = await send(url, { headers: { authorization: `DPoP ${token}`, dpop: proof } })
  expect(replayed.status).toBe(401)
  for (const where of [url, plain.url]) {
    const asBearer = await send(where, { headers: bearer(token) })
    expect([asBearer.status, asBearer.json.error]).toEqual([401, 'invalid_token'])
  }
})
