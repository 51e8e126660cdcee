import { randomBytes } from 'node:crypto'
import express from 'express'
import { Provider } from 'oidc-provider'
import { redisAdapterOn } from './oidc-provider-redis.mjs'

const client = {
  client_id: 'web',
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: ['https://app.example.com/callback'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
  id_token_signed_response_alg: 'ES256',
}

/** The same answer as ours: a JWT access token of RFC 9068, a rotated refresh token, no ID token. */
export function issuer({ redisPort, ...config }) {
  return providerOn(redisAdapterOn(redisPort), config)
}

/** A provider on an adapter. */
export function providerOn(adapter, { issuer: iss, audience, scope, privateJwk, machine }) {
  const resourceServer = {
    audience,
    scope,
    accessTokenFormat: 'jwt',
    accessTokenTTL: 600,
    jwt: { sign: { alg: privateJwk.alg } },
  }
  const provider = new Provider(iss, {
    adapter,
    clients: [
      client,
      ...(machine
        ? [
            {
              client_id: machine.clientId,
              client_secret: machine.secret,
              grant_types: ['client_credentials'],
              redirect_uris: [],
              response_types: [],
              id_token_signed_response_alg: 'ES256',
              scope,
            },
          ]
        : []),
    ],
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    jwks: { keys: [privateJwk] },
    scopes: ['offline_access', scope],
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    rotateRefreshToken: true,
    ttl: { Grant: 2_592_000, RefreshToken: 604_800, AccessToken: 600 },
    features: {
      clientCredentials: { enabled: machine !== undefined },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resourceServer,
      },
    },
  })
  const app = express()
  app.use(provider.callback())

  return {
    app,
    path: '/token',
    form: { client_id: client.client_id },
    async startSession(accountId) {
      const grant = new provider.Grant({ accountId, clientId: client.client_id })
      grant.addResourceScope(audience, scope)
      const grantId = await grant.save()
      const token = new provider.RefreshToken({
        accountId,
        client: await provider.Client.find(client.client_id),
        grantId,
        gty: 'authorization_code',
        resource: audience,
        scope,
      })
      return token.save()
    },
  }
}
