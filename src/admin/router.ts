import express, {
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Router,
} from 'express'
import { AuthError, isAuthError, isUnavailableError } from '../errors.ts'
import { toErrorBody, writeHeaders } from '../guard/challenge.ts'
import {
  findAuth,
  findChallengeSettings,
  getAuth,
  presentedSchemeOf,
} from '../guard/request-auth.ts'
import { readRequiredScopes } from '../guard/scopes.ts'
import { isIdentifier } from '../identifier.ts'
import type { Issuer } from '../issuer/index.ts'
import { assertOptions, optionError, readString } from '../options.ts'
import type { AuditedRevocations, KickOutResult, Revocations } from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'
import { FieldError, readKickOutRequest, toFieldError } from './kick-out-request.ts'

const where = 'adminRouter'
const defaultScope = 'sessions:admin'
const maxBodySize = '16kb'
const defaultLimit = 50
const maxLimit = 1000
const defaultChallenge = { realm: 'api', resourceMetadataUrl: undefined }

/** What is administered: an issuer with its sessions, or revocations alone. */
export type AdminTarget =
  { revocations: Revocations; issuer?: never } | { issuer: Issuer; revocations?: never }

export interface AdminRouterOptions {
  /**
   * What an admin's token must grant.
   *
   * @defaultValue 'sessions:admin'
   */
  scope?: string
}

interface Administered {
  readonly revocations: AuditedRevocations
  readonly issuer: Issuer | undefined
  kickOut(target: KickOutTarget, options: { reason?: string; by?: string }): Promise<KickOutResult>
}

/** Every implementation of this package is; one that somebody wrote for the guard alone need not be. */
function isAudited(
  revocations: Partial<AuditedRevocations> | undefined,
): revocations is AuditedRevocations {
  return (
    typeof revocations?.listKickOuts === 'function' && typeof revocations.checkNow === 'function'
  )
}

function readTarget(target: unknown): Administered {
  assertOptions(where, target, ['revocations', 'issuer'])
  const { revocations, issuer } = target as Partial<AdminTarget>
  if ((revocations === undefined) === (issuer === undefined)) {
    throw new TypeError(`${where}: pass exactly one of { issuer } and { revocations }`)
  }
  const administered = issuer?.revocations ?? revocations
  if (!isAudited(administered)) {
    throw optionError(
      where,
      issuer ? 'issuer' : 'revocations',
      'must come from createIssuer(), memoryRevocations() or redisRevocations()',
    )
  }
  return {
    revocations: administered,
    issuer,
    kickOut: async (who, options) => (issuer ?? administered).kickOut(who, options),
  }
}

/**
 * Refuses everybody whose token, as verified by a `requireAuth` in front, lacks the scope; without one in front that is
 * everybody. The kick-out of the admin is looked up in the store itself, since this router is what an attacker with an
 * admin's token would use.
 */
function requireAdmin(scope: string, { revocations }: Administered): RequestHandler {
  const required = readRequiredScopes(where, [scope])
  return (req, res, next) => {
    const refuse = (error: AuthError): void => {
      writeHeaders(res, error, findChallengeSettings(req) ?? defaultChallenge, {
        scopes: required,
        scheme: presentedSchemeOf(findAuth(req)),
      })
      next(error)
    }
    const auth = findAuth(req)
    if (!auth) {
      refuse(
        new AuthError('missing_token', 'missing', `${where}: the request has no verified token`),
      )
      return
    }
    if (!required.every((name) => auth.scopes.includes(name))) {
      refuse(
        new AuthError(
          'insufficient_scope',
          'scope',
          `${where}: the token lacks ${required.join(' ')}`,
        ),
      )
      return
    }
    revocations.checkNow(auth.payload).then((verdict) => {
      if (!verdict.revoked) next()
      else refuse(new AuthError('invalid_token', 'revoked', `${where}: the admin was kicked out`))
    }, next)
  }
}

function readLimit(req: Request): number {
  const { limit } = req.query
  if (limit === undefined) return defaultLimit
  const number = typeof limit === 'string' && /^[0-9]{1,4}$/.test(limit) ? Number(limit) : 0
  if (number < 1 || number > maxLimit) {
    throw new FieldError('limit', `must be a whole number, 1 to ${maxLimit}`)
  }
  return number
}

async function postKickOut(administered: Administered, req: Request): Promise<object> {
  const { target, reason } = readKickOutRequest(req.is('application/json') ? req.body : undefined)
  const by = getAuth(req).subject
  const result = await administered.kickOut(target, {
    ...(reason !== undefined && { reason }),
    ...(by !== undefined && { by }),
  })
  return {
    id: result.id,
    at: result.at,
    sessions_ended: result.sessionsEnded,
    servers: result.servers,
    confirmed: result.confirmed,
    elapsed_ms: result.elapsedMs,
  }
}

async function getKickOuts({ revocations }: Administered, req: Request): Promise<object> {
  const records = await revocations.listKickOuts(readLimit(req))
  return {
    kick_outs: records.map(({ id, at, by, issuer, level, target, reason }) => ({
      id,
      at,
      by: by ?? null,
      issuer,
      level,
      target,
      reason: reason ?? null,
    })),
  }
}

async function getSessions({ issuer }: Administered, req: Request): Promise<object> {
  const { subject } = req.query
  if (!isIdentifier(subject)) throw new FieldError('subject', 'must be a non-empty string')
  if (!issuer) {
    throw new FieldError(
      'subject',
      'cannot be looked up here: sessions are known where adminRouter({ issuer }) is mounted',
    )
  }
  const sessions = await issuer.listSessions(subject)
  return {
    sessions: sessions.map((session) => ({
      session_id: session.sessionId,
      subject: session.subject,
      client_id: session.clientId ?? null,
      scope: session.scopes.join(' '),
      device: session.device ?? null,
      started_at: session.startedAt,
      last_seen_at: session.lastSeenAt,
      expires_at: session.expiresAt,
    })),
  }
}

async function getServers({ revocations }: Administered): Promise<object> {
  const servers = await revocations.listServers()
  return {
    servers: servers.map(({ serverId, state, stalenessMs, applied }) => ({
      server_id: serverId,
      state,
      staleness_ms: Math.round(stalenessMs),
      applied,
    })),
  }
}

type Answer = (administered: Administered, req: Request) => Promise<object>

function answering(answer: Answer, administered: Administered): RequestHandler {
  return (req, res, next) => {
    res.set('Cache-Control', 'no-store')
    answer(administered, req)
      .then((body) => res.json(body))
      .catch(next)
  }
}

const answerError: ErrorRequestHandler = (error: unknown, _req, res, next) => {
  const field = toFieldError(error)
  const status = (error as { status?: unknown } | null | undefined)?.status
  const isBodyError =
    !isAuthError(error) && typeof status === 'number' && status >= 400 && status < 500
  if (res.headersSent) {
    next(error)
  } else if (field || isBodyError) {
    const description = field?.message ?? '"body" cannot be read as JSON'
    res.status(400).json({ error: 'invalid_request', error_description: description })
  } else if (isAuthError(error) || isUnavailableError(error)) {
    for (const [name, value] of Object.entries(error.headers)) res.set(name, value)
    res.status(error.status).json(toErrorBody(error))
  } else {
    next(error)
  }
}

/**
 * The admin's side over HTTP: kick somebody out, see what was kicked out, who is signed in where, and which resource
 * servers are live. Mount it behind `requireAuth()`; it refuses everybody whose token does not grant the scope.
 *
 * @throws TypeError for wrong options
 */
export function adminRouter(target: AdminTarget, options: AdminRouterOptions = {}): Router {
  const administered = readTarget(target)
  assertOptions(where, options, ['scope'])
  const scope = readString(where, 'scope', options.scope) ?? defaultScope
  const router = express.Router()
  router.use(requireAdmin(scope, administered))
  router.post(
    '/kick-outs',
    express.json({ limit: maxBodySize }),
    answering(postKickOut, administered),
  )
  router.get('/kick-outs', answering(getKickOuts, administered))
  router.get('/sessions', answering(getSessions, administered))
  router.get('/servers', answering(getServers, administered))
  router.use(answerError)
  return router
}
