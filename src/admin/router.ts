import express, {
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Response,
  type Router,
} from 'express'
import { AuthError, isAuthError, isUnavailableError } from '../errors.ts'
import { toErrorBody, writeHeaders } from '../guard/challenge.ts'
import { findAuth, findGuardContext, getAuth, presentedSchemeOf } from '../guard/request-auth.ts'
import { requireScopes } from '../guard/route-guards.ts'
import { readRequiredScopes } from '../guard/scopes.ts'
import { isIdentifier } from '../identifier.ts'
import type { Issuer } from '../issuer/index.ts'
import { assertOptions, optionError, readString } from '../options.ts'
import { type KickOutAuthor, revocationLevels } from '../revocation/revocation.ts'
import {
  type AuditedRevocations,
  type KickOutQuery,
  type KickOutResult,
  type Revocations,
  isUnknownKickOutError,
} from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'
import { FieldError, readKickOutRequest, toFieldError } from './kick-out-request.ts'

const where = 'adminRouter'
const defaultScope = 'sessions:admin'
const maxBodySize = '16kb'
const defaultLimit = 50
const maxLimit = 1000

/** What `adminRouter` is given. */
export interface AdminRouterOptions {
  /** Revocations alone: no list of sessions. Exactly one of `revocations` and `issuer` is given. */
  revocations?: Revocations
  /** An issuer with its sessions: a kick-out ends them too. */
  issuer?: Issuer
  /**
   * What an admin's token must grant.
   *
   * @defaultValue 'sessions:admin'
   */
  scope?: string
  /**
   * The issuers whose users, clients and sessions an admin may kick out: their names, or `'any'` for every issuer that the
   * guard in front trusts.
   *
   * @defaultValue the issuer of the admin's own token
   */
  administers?: string[] | 'any'
}

interface Administered {
  readonly revocations: AuditedRevocations
  readonly issuer: Issuer | undefined
  readonly administers: readonly string[] | 'any' | undefined
  kickOut(
    target: KickOutTarget,
    options: { reason?: string; by: KickOutAuthor | undefined },
  ): Promise<KickOutResult>
}

/** Every implementation of this package is; one that an application wrote for the guard alone need not be. */
function isAudited(
  revocations: Partial<AuditedRevocations> | undefined,
): revocations is AuditedRevocations {
  return (
    typeof revocations?.listKickOuts === 'function' && typeof revocations.checkNow === 'function'
  )
}

function readAdministers(value: unknown): readonly string[] | 'any' | undefined {
  if (value === undefined || value === 'any') return value
  if (!Array.isArray(value) || value.length === 0 || !value.every(isIdentifier)) {
    throw optionError(where, 'administers', "must be a list of issuers, or 'any'")
  }
  return [...value]
}

function readOptions(options: unknown): { administered: Administered; scope: string } {
  assertOptions(where, options, ['revocations', 'issuer', 'scope', 'administers'])
  const { revocations, issuer, scope, administers } = options as AdminRouterOptions
  if ((revocations === undefined) === (issuer === undefined)) {
    throw new TypeError(`${where}: pass exactly one of { issuer } and { revocations }`)
  }
  const kickable = issuer?.revocations ?? revocations
  if (!isAudited(kickable)) {
    throw optionError(
      where,
      issuer ? 'issuer' : 'revocations',
      'must come from createIssuer(), memoryRevocations(), redisRevocations() or postgresRevocations()',
    )
  }
  return {
    administered: {
      revocations: kickable,
      issuer,
      administers: readAdministers(administers),
      kickOut: async (target, { reason, by }) =>
        (issuer ?? kickable).kickOut(target, {
          ...(reason !== undefined && { reason }),
          ...(by && { by }),
        }),
    },
    scope: readString(where, 'scope', scope) ?? defaultScope,
  }
}

/** Refuses a request as the guard in front refuses others: with its challenge, and with an event. */
function refuse(req: Request, res: Response, error: AuthError, scopes: readonly string[]): void {
  const context = findGuardContext(req)
  if (!context) return
  context.rejected(error)
  writeHeaders(res, error, context, { scopes, scheme: presentedSchemeOf(findAuth(req)) })
}

/**
 * Refuses an admin who was kicked out. The store itself is asked, since this router is what an attacker with an admin's token
 * would use.
 */
function requireAdminStillIn(
  required: readonly string[],
  { revocations }: Administered,
): RequestHandler {
  return (req, res, next) => {
    revocations.checkNow(getAuth(req).payload).then((verdict) => {
      if (!verdict.revoked) {
        next()
        return
      }
      const error = new AuthError('invalid_token', 'revoked', `${where}: the admin was kicked out`)
      refuse(req, res, error, required)
      next(error)
    }, next)
  }
}

/** The issuers that this admin rules; `undefined` for all of them. */
function ruledIssuers({ administers }: Administered, req: Request): readonly string[] | undefined {
  return administers === 'any' ? undefined : (administers ?? [getAuth(req).issuer])
}

/**
 * Which issuer a target means: the admin's own where the body names none.
 *
 * @throws FieldError for an issuer whose tokens the guard in front refuses: a kick-out there would do nothing
 * @throws AuthError `insufficient_scope` for one that the admin does not rule
 */
function readIssuer(administered: Administered, req: Request, named: unknown): string {
  const { issuer: own } = getAuth(req)
  const ruled = ruledIssuers(administered, req)
  const issuer = named ?? own
  if (!isIdentifier(issuer)) throw new FieldError('issuer', 'must be a non-empty string')
  if (ruled?.includes(issuer)) return issuer
  if (!findGuardContext(req)?.trusts(issuer)) {
    throw new FieldError(
      'issuer',
      'is no issuer that this server trusts: it must be exactly the "iss" of the tokens',
    )
  }
  if (ruled) {
    throw new AuthError(
      'insufficient_scope',
      'claim',
      `${where}: the admin does not rule this issuer; the option "administers" can widen that`,
    )
  }
  return issuer
}

function authorOf(req: Request): KickOutAuthor | undefined {
  const { issuer, subject, clientId } = getAuth(req)
  if (subject !== undefined) return { issuer, subject }
  return clientId === '' ? undefined : { issuer, client: clientId }
}

function readLimit({ limit }: Request['query']): number {
  if (limit === undefined) return defaultLimit
  const number = typeof limit === 'string' && /^[0-9]{1,4}$/.test(limit) ? Number(limit) : 0
  if (number < 1 || number > maxLimit) {
    throw new FieldError('limit', `must be a whole number, 1 to ${maxLimit}`)
  }
  return number
}

function readText(query: Request['query'], name: string): string | undefined {
  const value = query[name]
  if (value === undefined || isIdentifier(value)) return value
  throw new FieldError(name, 'must be a non-empty string of at most 255 characters, given once')
}

function readQuery(administered: Administered, req: Request): KickOutQuery {
  const { query } = req
  const [before, by, target] = ['before', 'by', 'target'].map((name) => readText(query, name))
  const level = revocationLevels.find((known) => known === query['level'])
  if (query['level'] !== undefined && !level) {
    throw new FieldError('level', `must be one of ${revocationLevels.join(', ')}`)
  }
  const issuers = ruledIssuers(administered, req)
  return {
    limit: readLimit(query),
    ...(before !== undefined && { before }),
    ...(by !== undefined && { by }),
    ...(level && { level }),
    ...(target !== undefined && { target }),
    ...(issuers && { issuers }),
  }
}

async function postKickOut(administered: Administered, req: Request): Promise<object> {
  const { target, reason } = readKickOutRequest(req.is('application/json') ? req.body : undefined)
  const issuer = readIssuer(administered, req, target.issuer)
  const result = await administered.kickOut(
    { ...target, issuer },
    { ...(reason !== undefined && { reason }), by: authorOf(req) },
  )
  return {
    id: result.id,
    at: result.at,
    sessions_ended: result.sessionsEnded,
    // The list of servers could not be read: how many there are is not known, and none has confirmed.
    servers: Number.isNaN(result.servers) ? null : result.servers,
    confirmed: result.confirmed,
    unconfirmed: result.unconfirmed,
    elapsed_ms: result.elapsedMs,
  }
}

async function getKickOuts(administered: Administered, req: Request): Promise<object> {
  const query = readQuery(administered, req)
  const { kickOuts, next } = await administered.revocations
    .listKickOuts(query)
    .catch((error: unknown) => {
      if (isUnknownKickOutError(error))
        throw new FieldError('before', 'names no kick-out that is still kept')
      throw error
    })
  return {
    kick_outs: kickOuts.map(({ id, at, by, issuer, level, target, reason }) => ({
      id,
      at,
      by: by ?? null,
      issuer,
      level,
      target,
      reason: reason ?? null,
    })),
    next: next ?? null,
  }
}

async function getSessions(administered: Administered, req: Request): Promise<object> {
  const { issuer } = administered
  const { subject } = req.query
  if (!isIdentifier(subject)) throw new FieldError('subject', 'must be a non-empty string')
  if (!issuer) {
    throw new FieldError(
      'subject',
      'cannot be looked up here: this router was made of revocations, which know no sessions. ' +
        'Pass adminRouter({ issuer }) in the process that signs people in',
    )
  }
  readIssuer(administered, req, issuer.revocations.issuer)
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
      .catch((error: unknown) => {
        if (error instanceof AuthError) refuse(req, res, error, [])
        next(error)
      })
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
 * The admin API over HTTP: kick out a user, and list the kick-outs, a user's sessions and the live resource servers. Mount it
 * behind `requireAuth()`. It refuses every token that does not grant the scope.
 *
 * An admin rules the issuer of its own token, see `administers`.
 *
 * @throws TypeError for wrong options
 */
export function adminRouter(options: AdminRouterOptions): Router {
  const { administered, scope } = readOptions(options)
  const required = readRequiredScopes(where, [scope])
  const router = express.Router()
  router.use(requireScopes(where, required), requireAdminStillIn(required, administered))
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
