import express, {
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Response,
  type Router,
} from 'express'
import { GrantError, isGrantError, isUnavailableError, type KickoutError } from '../errors.ts'
import { headerValues } from '../raw-headers.ts'
import { maxIdentifierLength } from '../identifier.ts'
import type { IssuerContext } from './context.ts'
import type { RefreshFacts } from './options.ts'
import { readCookie, toClearCookie, toSetCookie } from './http/cookie.ts'
import { assertGrant, assertIntrospects } from './http/clients.ts'
import { FormParameters } from './http/form.ts'
import { toMetadata } from './http/metadata.ts'
import { assertCookieCanBeSet, assertOwnPage, corsOrigin } from './http/origin.ts'
import { introspect } from './introspect.ts'
import { grantToMachine } from './machine-token.ts'
import { refresh } from './refresh.ts'
import { sessionIdOf } from './tokens/refresh-token.ts'
import { endSession, revoke } from './revoke.ts'
import type { IssuedTokens, TokenResponse } from './tokens/token-response.ts'

const formType = 'application/x-www-form-urlencoded'
const maxFormSize = '16kb'
/** Half the cache age of resource servers: a cache in between may hold the keys this much longer. */
const publicCacheControl = 'public, max-age=300'

/** Sends what must not be kept: `res.json` would hash it for an `ETag`. */
function sendUncached(res: Response, body: object): void {
  res.set('Content-Type', 'application/json; charset=utf-8').end(JSON.stringify(body))
}

/** Puts tokens on a response: in cookie mode the refresh token goes into the cookie and nowhere else. */
export function sendTokens(
  res: Response,
  { response, sessionTtlSeconds }: IssuedTokens,
  context: IssuerContext,
  withParts: { readonly sessionId: boolean; readonly cookie: boolean },
): void {
  const { refresh_token: refreshToken, session_id: sessionId } = response
  res.set('Cache-Control', 'no-store')
  if (context.cookie && withParts.cookie) {
    res.append('Set-Cookie', toSetCookie(refreshToken, sessionTtlSeconds, context.cookie))
  }
  const body: Partial<TokenResponse> = {
    access_token: response.access_token,
    token_type: response.token_type,
    expires_in: response.expires_in,
  }
  if (!context.cookie) body.refresh_token = refreshToken
  if (response.scope !== undefined) body.scope = response.scope
  if (withParts.sessionId) body.session_id = sessionId
  sendUncached(res, body)
}

function readForm(req: Request): FormParameters {
  return new FormParameters(req.is(formType) ? req.body : undefined)
}

/** The refresh token of a request: from the cookie in cookie mode, else from the form; never from either. */
function readRefreshToken(req: Request, form: FormParameters, context: IssuerContext): string {
  if (!context.cookie) return form.require('refresh_token')
  if (form.get('refresh_token') !== undefined) {
    throw new GrantError(
      'invalid_request',
      'body_token',
      'Send the refresh token in the cookie, not in the body',
    )
  }
  const token = readCookie(req.headers.cookie, context.cookie)
  if (token === undefined) {
    throw new GrantError('invalid_request', 'missing', 'The request has no refresh cookie')
  }
  return token
}

function isForMachine(req: Request): boolean {
  const body: unknown = req.is(formType) ? req.body : undefined
  return (body as { grant_type?: unknown } | undefined)?.grant_type === 'client_credentials'
}

function factsOf(req: Request): RefreshFacts {
  const userAgent = req.headers['user-agent']?.slice(0, maxIdentifierLength)
  return {
    ...(req.ip !== undefined && { ip: req.ip }),
    ...(userAgent !== undefined && { userAgent }),
  }
}

function tokenHandler(context: IssuerContext): RequestHandler {
  return async (req, res) => {
    // A machine has no cookie that another site could make it send.
    if (context.cookie && !isForMachine(req)) assertOwnPage(req.headers, context)
    const form = readForm(req)
    const grantType = form.require('grant_type')
    if (grantType !== 'refresh_token' && grantType !== 'client_credentials') {
      throw new GrantError(
        'unsupported_grant_type',
        'grant_type',
        'Only refresh_token and client_credentials are supported',
      )
    }
    const requester = await context.clients.authenticate(req.headers.authorization, form)
    const proofs = headerValues(req.rawHeaders, 'dpop')
    const scope = form.get('scope')
    if (grantType === 'client_credentials') {
      sendUncached(res, await grantToMachine(requester, { scope, proofs }, context))
      return
    }
    if (requester?.client) assertGrant(requester.client, grantType)
    const clientId = requester?.clientId
    const refreshToken = readRefreshToken(req, form, context)
    // A refusal leaves the cookie alone: the answer to a login in another tab may have set it while this request was
    // under way. Only /logout clears it.
    const facts = factsOf(req)
    const tokens = await refresh({ refreshToken, scope, clientId, proofs, facts }, context)
    sendTokens(res, tokens, context, { sessionId: false, cookie: true })
  }
}

function revokeHandler(context: IssuerContext): RequestHandler {
  return async (req, res) => {
    const form = readForm(req)
    const requester = await context.clients.authenticate(req.headers.authorization, form)
    const clientId = requester?.clientId
    await revoke({ token: form.require('token'), clientId }, context)
    res.status(200).end()
  }
}

function introspectHandler(context: IssuerContext): RequestHandler {
  return async (req, res) => {
    const { authorization } = req.headers
    const form = readForm(req)
    const requester = await context.clients.authenticate(authorization, form)
    const client = assertIntrospects(requester, authorization)
    sendUncached(res, await introspect(form.require('token'), client, context))
  }
}

function logoutHandler(context: IssuerContext): RequestHandler {
  return async (req, res) => {
    const { cookie } = context
    if (!cookie) {
      throw new GrantError(
        'invalid_request',
        'cookie_mode',
        'Use /revoke: there is no refresh cookie',
        {
          status: 404,
        },
      )
    }
    assertOwnPage(req.headers, context)
    const token = readCookie(req.headers.cookie, cookie)
    const parts = token === undefined ? undefined : context.refreshTokens.read(token)
    if (parts) await endSession(sessionIdOf(parts), 'logout', context)
    res.append('Set-Cookie', toClearCookie(cookie))
    res.status(204).end()
  }
}

/** Exact origins only; a preflight is answered here and changes nothing. */
function cors(context: IssuerContext): RequestHandler {
  return (req, res, next) => {
    if (context.allowedOrigins.size > 0) res.vary('Origin')
    const origin = corsOrigin(req.headers, context)
    if (origin !== undefined) {
      res.set('Access-Control-Allow-Origin', origin)
      res.set('Access-Control-Expose-Headers', 'Retry-After, WWW-Authenticate')
      if (context.cookie) res.set('Access-Control-Allow-Credentials', 'true')
    }
    if (req.method !== 'OPTIONS') {
      next()
      return
    }
    if (origin !== undefined) {
      res.set('Access-Control-Allow-Methods', 'GET, POST')
      res.set('Access-Control-Allow-Headers', 'Authorization, Content-Type, DPoP')
      res.set('Access-Control-Max-Age', '600')
    }
    res.status(204).end()
  }
}

/** The CORS and the origin check of `/token`, for a route of the application. */
export function createCrossOrigin(context: IssuerContext): RequestHandler {
  const answerCors = cors(context)
  return function crossOrigin(req, res, next) {
    answerCors(req, res, () => {
      try {
        if (context.cookie) assertCookieCanBeSet(req.headers, context)
      } catch (refusal) {
        noteRefusal(refusal, req.path, context)
        answerError(refusal, req, res, next)
        return
      }
      next()
    })
  }
}

function onlyMethod(method: 'GET' | 'POST'): RequestHandler {
  return (_req, res) => {
    res.set('Allow', method === 'GET' ? 'GET, HEAD' : method)
    res.status(405).json({ error: 'invalid_request', error_description: `Use ${method}` })
  }
}

/** Errors of the body parser are about what the client sent. */
function toKickoutError(error: unknown): KickoutError | undefined {
  if (isGrantError(error) || isUnavailableError(error)) return error
  const status = (error as { status?: unknown } | null | undefined)?.status
  return typeof status === 'number' && status >= 400 && status < 500
    ? new GrantError('invalid_request', 'body', 'The body cannot be read', { status })
    : undefined
}

const answerError: ErrorRequestHandler = (error: unknown, _req, res, next) => {
  const known = toKickoutError(error)
  if (!known || res.headersSent) {
    next(error)
    return
  }
  for (const [name, value] of Object.entries(known.headers)) res.set(name, value)
  res.set('Cache-Control', 'no-store')
  res.status(known.status).json({ error: known.code, error_description: known.description })
}

/** Tells the application of a refusal. A failure of ours is no refusal. */
function noteRefusal(error: unknown, endpoint: string, { emit }: IssuerContext): void {
  const known = toKickoutError(error)
  if (isGrantError(known))
    emit({ type: 'grant.rejected', endpoint, code: known.code, reason: known.reason })
}

/** Express 4 does not wait for promises, so a rejection is handed over by hand. */
function settled(handler: RequestHandler, path: string, context: IssuerContext): RequestHandler {
  return (req, res, next) => {
    res.set('Cache-Control', 'no-store')
    Promise.resolve(handler(req, res, next)).catch((error: unknown) => {
      noteRefusal(error, path, context)
      next(error)
    })
  }
}

function published(document: () => unknown): RequestHandler {
  return (_req, res, next) => {
    Promise.resolve(document())
      .then((body) => res.set('Cache-Control', publicCacheControl).json(body))
      .catch(next)
  }
}

/**
 * The HTTP side of the issuer. Mount it at the path of the issuer's URL.
 *
 * @see RFC 6749 §6 (`/token`), RFC 7009 (`/revoke`), RFC 7662 (`/introspect`), RFC 7517 and RFC 8414 (`/.well-known`)
 */
export function createRouter(context: IssuerContext): Router {
  const router = express.Router()
  const form = express.urlencoded({ extended: false, limit: maxFormSize, parameterLimit: 50 })
  const posts = {
    '/token': tokenHandler,
    '/revoke': revokeHandler,
    '/introspect': introspectHandler,
    '/logout': logoutHandler,
  }
  const documents = {
    '/.well-known/jwks.json': async () => context.keys.jwks(),
    '/.well-known/oauth-authorization-server': () => toMetadata(context),
  }
  // One route for each path: Express matches the path once, not once for each handler.
  for (const [path, handler] of Object.entries(posts)) {
    router
      .route(path)
      .all(context.requests.handler, cors(context))
      .post(form, settled(handler(context), path, context))
      .all(onlyMethod('POST'))
  }
  for (const [path, document] of Object.entries(documents)) {
    router.route(path).all(cors(context)).get(published(document)).all(onlyMethod('GET'))
  }
  router.use(answerError)
  return router
}
