import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
// @ts-expect-error -- it comes without types
import OidcProvider from 'oidc-provider'
import { listen } from '../support/http-client.ts'

/** The little of oidc-provider that is used. */
interface Provider {
  callback(): RequestListener
  interactionFinished(req: IncomingMessage, res: ServerResponse, result: object): Promise<void>
  readonly Grant: new (properties: object) => {
    addOIDCScope(scope: string): void
    addResourceScope(resource: string, scope: string): void
    save(): Promise<string>
  }
}

interface GrantContext {
  readonly oidc: {
    readonly client: { readonly clientId: string }
    readonly session: { readonly accountId: string }
    readonly params: { readonly resource?: string; readonly scope?: string }
  }
}

export interface OidcServer {
  readonly issuer: string
  /** Whom the next sign-in is of. */
  subject: string
  /** Goes through the sign-in as a browser does. @returns where the browser is sent back to */
  signIn(authorizationUrl: URL): Promise<URL>
  close(): Promise<void>
}

/** A real OpenID provider: clients register themselves, and access tokens are JWTs for the resource that was asked for. */
export async function startOidcServer(): Promise<OidcServer> {
  let answer: RequestListener = (_req, res) => res.end()
  const server = await listen((req, res) => {
    if (req.url?.startsWith('/interaction/')) {
      void provider.interactionFinished(req, res, { login: { accountId: oidc.subject } })
    } else answer(req, res)
  })
  const issuer = server.url
  const make = OidcProvider as new (issuer: string, settings: object) => Provider
  const provider = new make(issuer, {
    cookies: { keys: ['a key for tests only'] },
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx: unknown, audience: string) => ({
          scope: 'notes:read notes:write',
          audience,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    clientDefaults: { token_endpoint_auth_method: 'none' },
    scopes: ['openid', 'notes:read', 'notes:write'],
    interactions: { url: (_ctx: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    findAccount: (_ctx: unknown, accountId: string) => ({
      accountId,
      claims: () => ({ sub: accountId }),
    }),
    async loadExistingGrant({ oidc: { client, session, params } }: GrantContext) {
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
      grant.addOIDCScope(params.scope ?? '')
      grant.addResourceScope(params.resource ?? '', params.scope ?? '')
      await grant.save()
      return grant
    },
  })
  answer = provider.callback()
  const oidc: OidcServer = {
    issuer,
    subject: 'u1',
    async signIn(authorizationUrl) {
      const cookies = new Map<string, string>()
      let url = authorizationUrl
      while (url.origin === issuer) {
        const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
        const res = await fetch(url, { redirect: 'manual', headers: { cookie } })
        for (const set of res.headers.getSetCookie()) {
          const [, name, value] = /^([^=]+)=([^;]*)/.exec(set) ?? []
          if (name !== undefined) cookies.set(name, value ?? '')
        }
        const location = res.headers.get('location')
        if (location === null) throw new Error(`the sign-in stopped: ${await res.text()}`)
        url = new URL(location, url)
      }
      return url
    },
    close: async () => server.close(),
  }
  return oidc
}
