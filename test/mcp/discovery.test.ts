import { afterEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import {
  authErrorHandler,
  cutOnKickOut,
  memoryRevocations,
  protectedResourceMetadata,
  requireAuth,
  requireScope,
} from '../../src/index.ts'
import {
  createIssuer,
  generateSigningKey,
  hashClientSecret,
  memoryStore,
} from '../../src/issuer/index.ts'
import { listen } from '../support/http-client.ts'
import { waitUntil } from '../support/wait.ts'
import { Waiting } from './mcp-sdk.ts'
import { type OidcServer, startOidcServer } from './oidc-server.ts'
import { sdkV1 } from './sdk-v1.ts'
import { sdkV2Sessions, sdkV2Stateless } from './sdk-v2.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** An `OAuthClientProvider` as an application writes one: what it is given it keeps. */
function signIn(): { asked: URL[]; registered: unknown[]; [member: string]: unknown } {
  let client: unknown
  let tokens: unknown
  let verifier = ''
  let discovered: unknown
  const asked: URL[] = []
  const registered: unknown[] = []
  const redirectUrl = 'https://assistant.example.com/callback'
  return {
    asked,
    registered,
    redirectUrl,
    clientMetadata: {
      client_name: 'Assistant',
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    clientInformation: () => client,
    saveClientInformation(information: unknown) {
      client = information
      registered.push(information)
    },
    tokens: () => tokens,
    saveTokens: (saved: unknown) => void (tokens = saved),
    redirectToAuthorization: (url: URL) => void asked.push(url),
    saveCodeVerifier: (saved: string) => void (verifier = saved),
    codeVerifier: () => verifier,
    saveDiscoveryState: (saved: unknown) => void (discovered = saved),
    discoveryState: () => discovered,
  }
}

async function openStage(sdk: typeof sdkV1, oidc: OidcServer) {
  const app = express()
  const server = await listen(app)
  const url = `${server.url}/mcp`
  const metadata = protectedResourceMetadata({
    resource: url,
    authorizationServers: [oidc.issuer],
    scopesSupported: ['notes:read', 'notes:write'],
  })
  const revocations = memoryRevocations({ issuer: oidc.issuer })
  const guard = requireAuth({
    issuer: oidc.issuer,
    audience: url,
    revocations,
    resourceMetadataUrl: metadata.url,
    challengeScope: 'notes:read',
  })
  app.use(metadata)
  const stop = sdk.serve(app, [guard, requireScope('notes:read'), cutOnKickOut()], new Waiting())
  app.use(authErrorHandler())
  closing.push(async () => {
    await stop()
    await server.close()
    await guard.close()
    await revocations.close()
  })
  return { url, revocations }
}

describe.each([sdkV1, sdkV2Sessions, sdkV2Stateless])('$name', (sdk) => {
  test('a machine that knows only the URL and its secret finds our issuer, and is out after a kick-out', async () => {
    const secret = 'a secret of a client, thirty-two bytes'
    const login = express()
    const loginServer = await listen(login)
    const app = express()
    const server = await listen(app)
    const url = `${server.url}/mcp`
    const issuer = createIssuer({
      issuer: loginServer.url,
      audience: url,
      signingKeys: [await generateSigningKey('ES256')],
      refreshTokenSecret: 's'.repeat(32),
      store: memoryStore(),
      authorizationEndpoint: `${loginServer.url}/sign-in`,
      clients: [
        {
          clientId: 'assistant',
          secretHashes: [hashClientSecret(secret)],
          grants: ['client_credentials'],
          scopes: ['notes:read'],
        },
      ],
    })
    login.use(issuer.router)
    const metadata = protectedResourceMetadata({
      resource: url,
      authorizationServers: [loginServer.url],
      scopesSupported: ['notes:read'],
    })
    const guard = requireAuth({
      issuer: loginServer.url,
      audience: url,
      revocations: issuer.revocations,
      resourceMetadataUrl: metadata.url,
      challengeScope: 'notes:read',
    })
    app.use(metadata)
    const stop = sdk.serve(app, [guard, requireScope('notes:read'), cutOnKickOut()], new Waiting())
    app.use(authErrorHandler())
    closing.push(async () => {
      await stop()
      await Promise.all([server.close(), loginServer.close(), guard.close(), issuer.close()])
    })
    const client = sdk.client(url, {
      authProvider: sdk.machine({
        clientId: 'assistant',
        clientSecret: secret,
        expectedIssuer: loginServer.url,
      }),
    })
    closing.push(async () => client.close())
    await client.connect()
    expect(await client.whoami()).toEqual({ subject: 'assistant', scopes: ['notes:read'] })
    await client.openStream()
    const { ended } = client.streams
    await issuer.kickOut({ client: 'assistant' })
    await waitUntil(() => client.streams.ended > ended, { what: 'the end of the stream' })
    // The SDK gets another token at once, unless the client is `disabled`.
    const before = client.answers.length
    expect(await client.whoami()).toEqual({ subject: 'assistant', scopes: ['notes:read'] })
    expect(client.answers.slice(before).map(({ status }) => status)).toContain(401)
  })

  test('a client that knows only the URL finds the issuer, signs in, calls a tool, and after a kick-out is asked to sign in', async () => {
    const oidc = await startOidcServer()
    closing.push(async () => oidc.close())
    const { url, revocations } = await openStage(sdk, oidc)
    const provider = signIn()
    const client = sdk.client(url, { authProvider: provider })
    closing.push(async () => client.close())

    await expect(client.connect()).rejects.toThrow(/Unauthorized/)
    const [authorization] = provider.asked
    expect(authorization?.origin).toBe(oidc.issuer)
    expect(Object.fromEntries(authorization!.searchParams)).toMatchObject({
      resource: url,
      scope: 'notes:read',
      code_challenge_method: 'S256',
    })
    expect(provider.registered).toHaveLength(1)

    const callback = await oidc.signIn(authorization!)
    await client.finishAuth(callback.searchParams)
    await client.connect()
    expect(await client.whoami()).toEqual({ subject: 'u1', scopes: ['notes:read'] })
    await client.openStream()

    await revocations.kickOut({ subject: 'u1' })
    await expect(client.whoami()).rejects.toThrow()
    expect(
      client.answers.some(
        ({ status, challenge }) => status === 401 && challenge?.includes('invalid_token'),
      ),
    ).toBe(true)
    expect(provider.asked.length).toBeGreaterThan(1)
  })
})
