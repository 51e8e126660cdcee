import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import express, { type Request, type Response } from 'express'
import { generateSigningKey } from 'express-kickout/issuer'
import helmet from 'helmet'
import { listen } from '../listen.ts'
import { errorPage, signedOutPage, signInPage, signOutPage } from './acme-pages.ts'

/** What a provider tells an application that registers with it. */
export interface Registration {
  name: string
  issuer: string
  clientId: string
  clientSecret: string
  /** Where people sign out of the provider. */
  signOutUrl: string
}

export interface Acme {
  registration: Registration
  close(): Promise<void>
}

/** People who have their account there, and none here. */
export const acmeAccounts: readonly { id: string; name: string }[] = [
  { id: 'dora', name: 'Dora' },
  { id: 'emil', name: 'Emil' },
]

/** The little of oidc-provider, which comes without types, that is used here. */
interface Provider {
  callback(): RequestListener
  interactionDetails(req: IncomingMessage, res: ServerResponse): Promise<{ uid: string }>
  interactionFinished(req: IncomingMessage, res: ServerResponse, result: object): Promise<void>
  readonly Grant: new (facts: object) => {
    addOIDCScope(scope: string): void
    save(): Promise<string>
  }
}
interface ProviderContext {
  body?: string
  type?: string
  oidc: {
    provider: Provider
    client: { clientId: string }
    account: { accountId: string }
  }
}

const clientId = 'notes'
const styles = fileURLToPath(new URL('./acme.css', import.meta.url))

/**
 * Acme: the identity provider of another company, on an origin of its own, made of the package oidc-provider. It stands in for
 * Keycloak, Auth0 or Okta. It asks for no password.
 *
 * @param loginUrl - of the login service, which is registered there as a client with a back-channel logout address
 */
export async function startAcme(port: number, loginUrl: string): Promise<Acme> {
  const { server, url } = await listen(port, '127.0.0.1')
  const clientSecret = randomBytes(32).toString('base64url')
  const provider = await createProvider(url, await settings(loginUrl, clientSecret))

  const app = express()
  app.use(pagePolicy(loginUrl))
  app.get('/acme.css', (_req, res) => {
    res.sendFile(styles)
  })
  app.get('/interaction/:uid', async (req: Request, res: Response) => {
    const { uid } = await provider.interactionDetails(req, res)
    res.type('html').send(signInPage(uid, acmeAccounts))
  })
  app.post('/interaction/:uid', express.urlencoded({ extended: false }), async (req, res) => {
    const { account } = (req.body ?? {}) as { account?: unknown }
    if (!acmeAccounts.some(({ id }) => id === account)) {
      res.status(400).type('html').send(errorPage('There is no such account'))
      return
    }
    await provider.interactionFinished(req, res, { login: { accountId: account } })
  })
  app.use(provider.callback())
  server.on('request', app)

  return {
    registration: {
      ...{ name: 'Acme', issuer: url, clientId, clientSecret },
      signOutUrl: `${url}/session/end?client_id=${clientId}`,
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** Its pages are forms without scripts; a form leads to the login service in the end, by redirects. */
function pagePolicy(loginUrl: string): RequestListener {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'self'", loginUrl],
        frameAncestors: ["'none'"],
      },
    },
  }) as RequestListener
}

async function settings(loginUrl: string, clientSecret: string): Promise<object> {
  return {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [`${loginUrl}/`],
        backchannel_logout_uri: `${loginUrl}/backchannel-logout`,
        backchannel_logout_session_required: true,
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [await generateSigningKey('ES256')] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    findAccount: (_ctx: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id }),
    }),
    // The login service belongs to the same company as Acme, so the user is not asked for consent.
    async loadExistingGrant({ oidc }: ProviderContext) {
      const { provider, client, account } = oidc
      const grant = new provider.Grant({
        clientId: client.clientId,
        accountId: account.accountId,
      })
      grant.addOIDCScope('openid')
      await grant.save()
      return grant
    },
    interactions: { url: (_ctx: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource(ctx: ProviderContext, form: string) {
          ctx.body = signOutPage(form)
        },
        postLogoutSuccessSource(ctx: ProviderContext) {
          ctx.body = signedOutPage()
        },
      },
    },
    renderError(ctx: ProviderContext, out: { error_description?: string; error: string }) {
      ctx.type = 'html'
      ctx.body = errorPage(out.error_description ?? out.error)
    },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 3600, IdToken: 600, Interaction: 600, Session: 3600 },
    // Without the refusal of loopback addresses that it has for production.
    fetch: async (address: string, { dispatcher: _none, ...init }: Record<string, unknown>) =>
      fetch(address, init),
  } // prettier-ignore
}

/** oidc-provider says on the console that this is no set-up for production, which is so. */
async function createProvider(issuer: string, options: object): Promise<Provider> {
  const { info, warn } = console
  console.info = console.warn = () => undefined
  try {
    // @ts-expect-error -- it comes without types
    const { Provider: Made } = (await import('oidc-provider')) as {
      Provider: new (issuer: string, options: object) => Provider
    }
    return new Made(issuer, options)
  } finally {
    Object.assign(console, { info, warn })
  }
}
