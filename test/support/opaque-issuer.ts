import type { RequestListener } from 'node:http'
// @ts-expect-error -- it comes without types
import OidcProvider from 'oidc-provider'
import { listen } from './http-client.ts'

interface Savable {
  save(): Promise<string>
}
interface SavedClient {
  readonly clientId: string
}
/** The little of oidc-provider that is used here. */
interface Provider {
  callback(): RequestListener
  readonly Client: { find(id: string): Promise<SavedClient> }
  readonly AccessToken: new (properties: object) => Savable & {
    resourceServer: object
    setThumbprint(prop: 'jkt', value: string): void
  }
  readonly ResourceServer: new (identifier: string, data: object) => object
}

export const api = 'https://api.example.com'
export const otherApi = 'https://other.example.com'
export const machine = { id: 'billing', secret: 'the secret of a machine, thirty-two bytes' }
export const resourceServer = { id: 'api', secret: 'the secret: of an API/with % characters' }

/** A real authorization server whose access tokens are opaque. */
export interface OpaqueIssuer {
  readonly issuer: string
  /** Requests so far, by path. */
  readonly asked: Map<string, number>
  /** An access token of a user. */
  userToken(user?: { subject?: string; jkt?: string; scope?: string }): Promise<string>
  close(): Promise<void>
}

const keysPath = '/keys-of-keyed-api'

function info(name: string) {
  return {
    audience: name,
    scope: 'reports:read reports:write',
    accessTokenFormat: 'opaque',
    accessTokenTTL: 600,
  }
}

/** @param keyed - the public keys of the client `keyed-api`, which authenticates with them */
export async function startOpaqueIssuer(keyed?: object): Promise<OpaqueIssuer> {
  let answer: RequestListener = (_req, res) => res.end()
  const asked = new Map<string, number>()
  const server = await listen((req, res) => {
    const path = req.url ?? ''
    asked.set(path, (asked.get(path) ?? 0) + 1)
    if (path === keysPath)
      res.setHeader('content-type', 'application/json').end(JSON.stringify(keyed))
    else answer(req, res)
  })
  const bare = { redirect_uris: [], response_types: [], grant_types: [] }
  const make = OidcProvider as new (issuer: string, settings: object) => Provider
  const provider = new make(server.url, {
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      dPoP: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx: unknown, name: string) => info(name),
      },
    },
    scopes: ['reports:read', 'reports:write'],
    ttl: { AccessToken: 600, ClientCredentials: 600 },
    cookies: { keys: ['a key for tests only'] },
    clients: [
      {
        ...bare,
        client_id: machine.id,
        client_secret: machine.secret,
        grant_types: ['client_credentials'],
        scope: 'reports:read reports:write',
      },
      { ...bare, client_id: resourceServer.id, client_secret: resourceServer.secret },
      {
        ...bare,
        client_id: 'posting-api',
        client_secret: resourceServer.secret,
        token_endpoint_auth_method: 'client_secret_post',
      },
      ...(keyed
        ? [
            {
              ...bare,
              client_id: 'keyed-api',
              token_endpoint_auth_method: 'private_key_jwt',
              token_endpoint_auth_signing_alg: 'ES256',
              jwks_uri: server.url + keysPath,
            },
          ]
        : []),
    ],
  })
  answer = provider.callback()
  return {
    issuer: server.url,
    asked,
    async userToken({ subject = 'u1', jkt, scope = 'reports:read' } = {}) {
      const token = new provider.AccessToken({
        client: await provider.Client.find(machine.id),
        accountId: subject,
        scope,
        gty: 'authorization_code',
      })
      token.resourceServer = new provider.ResourceServer(api, info(api))
      if (jkt !== undefined) token.setThumbprint('jkt', jkt)
      return token.save()
    },
    close: async () => server.close(),
  }
}
