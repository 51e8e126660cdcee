import express, { type Request, type Response, type Router } from 'express'
import type { Issuer } from 'express-kickout/issuer'
import {
  allowInsecureRequests,
  AuthorizationResponseError,
  authorizationCodeGrantRequest,
  type AuthorizationServer,
  calculatePKCECodeChallenge,
  ClientSecretBasic,
  discoveryRequest,
  generateRandomCodeVerifier,
  generateRandomNonce,
  generateRandomState,
  getValidatedIdTokenClaims,
  OperationProcessingError,
  processAuthorizationCodeResponse,
  processDiscoveryResponse,
  ResponseBodyError,
  validateAuthResponse,
} from 'oauth4webapi'
import type { Registration } from './acme.ts'

export interface ProviderSignInOptions {
  registration: Registration
  issuer: Issuer
  /** Ours: the page there is where the provider sends people back to. */
  issuerUrl: string
}

/** What has to be the same at the end of a sign-in as at its beginning. */
interface Attempt {
  state: string
  nonce: string
  verifier: string
}

const attemptCookie = 'provider_sign_in'
const attemptSeconds = 600
/** What an account of the provider may do here. */
const scope = 'notes:read notes:write'
/** `http:` on loopback, in this demo only. */
const insecure = { [allowInsecureRequests]: true }

/** An account of the provider is not the user of ours who happens to have the same id. */
export function subjectOf(registration: Registration, sub: string): string {
  return `${registration.name.toLowerCase()}:${sub}`
}

/**
 * Signing in by an OpenID provider (authorization code with PKCE). The page asks where to go, comes back with a code, and
 * posts it; the answer is that of any other sign-in, so nothing else knows the difference.
 */
export function providerSignInRouter({
  registration,
  issuer,
  issuerUrl,
}: ProviderSignInOptions): Router {
  const router = express.Router()
  const client = { client_id: registration.clientId }
  const redirectUri = `${issuerUrl}/`
  let server: AuthorizationServer | undefined

  async function discover(): Promise<AuthorizationServer> {
    const url = new URL(registration.issuer)
    server ??= await processDiscoveryResponse(url, await discoveryRequest(url, insecure))
    return server
  }

  /** The provider does not answer: our failure, which says nothing about the user who wants to sign in. */
  function answerAway(res: Response): void {
    res.status(503).set('Retry-After', '1')
    res.json({ error: `${registration.name} cannot be reached` })
  }

  router.post('/', async (_req, res) => {
    const as = await discover().catch(() => undefined)
    if (!as) {
      answerAway(res)
      return
    }
    const { authorization_endpoint: endpoint = '' } = as
    const attempt: Attempt = {
      state: generateRandomState(),
      nonce: generateRandomNonce(),
      verifier: generateRandomCodeVerifier(),
    }
    const url = new URL(endpoint)
    url.search = new URLSearchParams({
      response_type: 'code',
      scope: 'openid',
      client_id: client.client_id,
      redirect_uri: redirectUri,
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: await calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: 'S256',
    }).toString()
    // The browser keeps it. It is of use to this browser alone, and to no script in it.
    res.cookie(attemptCookie, Buffer.from(JSON.stringify(attempt)).toString('base64url'), {
      ...{ httpOnly: true, sameSite: 'strict', secure: issuerUrl.startsWith('https:') },
      ...{ path: '/login/provider', maxAge: attemptSeconds * 1000 },
    })
    res.json({ url: url.href })
  })

  router.post('/finish', express.json({ limit: '8kb' }), async (req, res) => {
    const { answer, device } = (req.body ?? {}) as { answer?: unknown; device?: unknown }
    res.clearCookie(attemptCookie, { path: '/login/provider' })
    let sub: string | undefined
    try {
      sub = await findSubject(readAttempt(req), answer)
    } catch (error) {
      if (!isRefusal(error)) {
        answerAway(res)
        return
      }
    }
    if (sub === undefined) {
      res.status(401).json({ error: `${registration.name} did not sign you in. Try again` })
      return
    }
    const tokens = await issuer.startSession({
      subject: subjectOf(registration, sub),
      scope,
      clientId: 'notes-page',
      device: { name: typeof device === 'string' && device !== '' ? device : 'Unnamed device' },
    })
    issuer.send(res, tokens)
  })

  /** Who has signed in, by the code of the answer. */
  async function findSubject(attempt: Attempt | undefined, answer: unknown) {
    if (!attempt || typeof answer !== 'string') return undefined
    const as = await discover()
    const parameters = validateAuthResponse(as, client, new URLSearchParams(answer), attempt.state)
    const response = await authorizationCodeGrantRequest(
      ...([as, client, ClientSecretBasic(registration.clientSecret), parameters] as const),
      ...([redirectUri, attempt.verifier, insecure] as const),
    )
    const tokens = await processAuthorizationCodeResponse(as, client, response, {
      expectedNonce: attempt.nonce,
      requireIdToken: true,
    })
    return getValidatedIdTokenClaims(tokens)?.sub
  }

  return router
}

function readAttempt({ headers }: Request): Attempt | undefined {
  const value = /(?:^|; )provider_sign_in=([\w-]+)/.exec(headers.cookie ?? '')?.[1] ?? ''
  try {
    const attempt = JSON.parse(Buffer.from(value, 'base64url').toString()) as Partial<Attempt>
    const { state, nonce, verifier } = attempt
    return state && nonce && verifier ? { state, nonce, verifier } : undefined
  } catch {
    return undefined
  }
}

/** What the provider has refused, or what does not belong to this sign-in. */
function isRefusal(error: unknown): boolean {
  return [AuthorizationResponseError, ResponseBodyError, OperationProcessingError].some(
    (kind) => error instanceof kind,
  )
}
