import { normalizeTargetUri } from '../dpop/target-uri.ts'
import { GrantError, UnavailableError } from '../errors.ts'
import { prepareAccessToken, type PreparedToken } from './tokens/access-token.ts'
import { askClaims } from './ask-claims.ts'
import { emitEnded, emitSession, type IssuerContext } from './context.ts'
import { assertGrant } from './http/clients.ts'
import { tokenEndpointOf } from './http/endpoints.ts'
import { endSession } from './revoke.ts'
import { endTampered } from './tampering.ts'
import { type PresentedToken, sessionIdOf } from './tokens/refresh-token.ts'
import { scopeError, splitRequestedScope } from './tokens/scope.ts'
import { maxLostAnswerSeconds } from './sessions/session-options.ts'
import type { RefreshFacts } from './options.ts'
import { type RotateOutcome, type SessionRecord, toSessionInfo } from './sessions/session-store.ts'
import { type IssuedTokens, issueTokens } from './tokens/token-response.ts'

export interface RefreshRequest {
  readonly refreshToken: string
  readonly scope: string | undefined
  /** The client that the request authenticated as, where it said so. */
  readonly clientId: string | undefined
  /** Where the request comes from. */
  readonly facts: RefreshFacts
  /** The DPoP proofs that came along. */
  readonly proofs: readonly string[]
}

function refused(reason: string): GrantError {
  return new GrantError('invalid_grant', reason, 'The refresh token is not valid')
}

type Granted = Extract<RotateOutcome, { counter: number }>

const resultOf = {
  rotated: 'refreshed',
  retried: 'retried',
  retried_late: 'retried_late',
  fast_forwarded: 'fast_forwarded',
} as const

const eventOf = {
  rotated: 'session.refreshed',
  retried: 'refresh.retried',
  retried_late: 'refresh.retried_late',
  fast_forwarded: 'refresh.fast_forwarded',
} as const

/**
 * A session of a client that authenticates must not be refreshed without authentication.
 *
 * @throws GrantError `invalid_client`
 */
async function clientOf(
  request: RefreshRequest,
  session: SessionRecord | undefined,
  context: IssuerContext,
): Promise<string | undefined> {
  if (request.clientId !== undefined || !context.clients.areListed) return request.clientId
  if (session?.clientId === undefined) return undefined
  const { clientId, client } = await context.clients.assertClient(session.clientId, undefined)
  assertGrant(client, 'refresh_token')
  return clientId
}

/**
 * A record that does not fit the seal of its refresh token, or a step-up that is not one of ours, was written without `refreshTokenSecret`. The session ends:
 * without this, write access to the store would be enough to have an access token signed for any user and scope.
 *
 * @throws GrantError `invalid_grant`
 */
async function assertSealed(
  presented: PresentedToken,
  session: SessionRecord,
  context: IssuerContext,
): Promise<void> {
  const { refreshTokens } = context
  if (refreshTokens.fits(presented, session) && refreshTokens.authenticationOf(session)) return
  await endTampered(session.sessionId, context)
  throw refused('tampered')
}

/** What a step-up judges the record by was lost, or the session began before there was one. The refresh does without it. */
async function sealAgain(
  { handle }: PresentedToken,
  session: SessionRecord,
  { store, refreshTokens }: IssuerContext,
): Promise<void> {
  const after = refreshTokens.sealRecord(handle, session)
  const { sessionId } = session
  await store
    .amend?.({ sessionId, field: 'sealed', before: undefined, after })
    .catch(() => undefined)
}

/**
 * The key of a bound session, before anything else is asked or moved: without it a stolen refresh token neither gets a
 * successor within the grace nor ends the session after it.
 *
 * @throws GrantError `invalid_dpop_proof`, `invalid_grant`
 * @see RFC 9449 §5
 */
async function assertKey(
  { proofs }: RefreshRequest,
  session: SessionRecord | undefined,
  context: IssuerContext,
): Promise<void> {
  const thumbprint = session?.authentication.jkt
  if (thumbprint === undefined) throw refused('ended')
  await context.proofs.verify(proofs, {
    method: 'POST',
    uri: (uri) => uri === normalizeTargetUri(tokenEndpointOf(context.issuer)),
    thumbprint,
  })
}

/**
 * Asks the application whether the refresh looks like its user's. It is asked before anything moves: a refusal ends the
 * session, and while it fails the same token still works.
 *
 * @throws GrantError `invalid_grant`
 * @throws UnavailableError when it failed or gave no answer
 */
async function assertNoRisk(
  { facts }: RefreshRequest,
  session: SessionRecord | undefined,
  context: IssuerContext,
): Promise<void> {
  if (!context.risk || !session) return
  let answer: unknown
  try {
    const { device } = session
    answer = await context.risk(toSessionInfo(session), { ...facts, ...(device && { device }) })
  } catch (cause) {
    throw new UnavailableError('sessions', 'The refresh cannot be judged: "risk" failed', { cause })
  }
  if (answer === 'allow') return
  if (answer !== 'end') {
    const message = "The refresh cannot be judged: \"risk\" returned neither 'allow' nor 'end'"
    throw new UnavailableError('sessions', message)
  }
  await endSession(session.sessionId, 'suspicious', context, session.subject)
  throw refused('suspicious')
}

async function rotate(
  sessionId: string,
  { counter, isBound }: PresentedToken,
  clientId: string | undefined,
  request: RefreshRequest,
  context: IssuerContext,
): Promise<Granted> {
  const outcome = await context.store.rotate({
    sessionId,
    counter,
    clientId,
    scopes: splitRequestedScope(request.scope),
    graceMs: context.session.reuseGraceMs,
    // Without the key of a bound session its token is worth nothing, so a lost answer may be asked for late.
    lostAnswerMs: isBound ? maxLostAnswerSeconds * 1000 : context.session.lostAnswerMs,
    idleTtlMs: context.session.idleTtlMs,
  })
  switch (outcome.outcome) {
    case 'rotated':
    case 'retried':
    case 'retried_late':
    case 'fast_forwarded':
      context.storeClock.note(outcome.session.lastSeenAt)
      return outcome
    case 'reused':
      emitSession(context, 'refresh.reused', outcome.session)
      emitEnded(context, sessionId, 'reused', outcome.session.subject)
      throw refused('reused')
    case 'scope':
      throw scopeError()
    case 'ended':
    case 'expired':
      throw refused(outcome.outcome)
    case 'client':
      throw refused('client')
  }
}

/**
 * Exchanges a refresh token for new tokens: MAC, key, client, reuse, expiry and scope, in this order, so that neither expiry
 * nor scope hides a theft. A forged token is refused before the store is asked.
 *
 * @throws GrantError `invalid_grant`, `invalid_scope`, `invalid_client`, `invalid_dpop_proof`
 * @throws UnavailableError when the store, or the `claims` of the application, failed: repeat with the same token
 * @see RFC 6749 §6, RFC 9700 §4.14
 */
export async function refresh(
  request: RefreshRequest,
  context: IssuerContext,
): Promise<IssuedTokens> {
  try {
    return await exchange(request, context)
  } catch (error) {
    context.counters.refused(error)
    throw error
  }
}

/** What `claims` returned has grown beyond what guards accept. */
function rethrowTooLarge(cause: unknown): never {
  if (cause instanceof TypeError) throw new UnavailableError('sessions', cause.message, { cause })
  throw cause
}

/**
 * A signature that another service makes is asked for *before* the rotation: while that service is away nothing has moved,
 * and the same refresh token still works when it is back, however long that takes.
 *
 * @throws UnavailableError
 */
async function prepare(
  session: SessionRecord,
  request: RefreshRequest,
  extra: Record<string, unknown>,
  context: IssuerContext,
): Promise<PreparedToken | undefined> {
  const scopes = splitRequestedScope(request.scope) ?? session.scopes
  // The store will refuse it.
  if (!scopes.every((scope) => session.scopes.includes(scope))) return undefined
  const now = context.storeClock.estimate()
  return prepareAccessToken(session, scopes, now, extra, context).catch(rethrowTooLarge)
}

async function exchange(request: RefreshRequest, context: IssuerContext): Promise<IssuedTokens> {
  const parts = context.refreshTokens.read(request.refreshToken)
  if (!parts) throw refused('unknown')
  const sessionId = sessionIdOf(parts)
  // Without a key nothing moves.
  const { isExternal } = await context.keys.signer()
  // One look-up more, only where it matters what the session is before it is rotated.
  const before =
    parts.isBound || context.clients.areListed || context.claims || context.risk || isExternal
      ? await context.store.find(sessionId)
      : undefined
  if (before) await assertSealed(parts, before, context)
  if (parts.isBound) await assertKey(request, before, context)
  const clientId = await clientOf(request, before, context)
  // A superseded token is judged by the store first, so that failing claims hide no theft. It is either a retry, which
  // moves nothing, or the end of the session.
  const isSuperseded = before !== undefined && parts.counter < before.counter
  if (!isSuperseded) await assertNoRisk(request, before, context)
  const askedBefore = isSuperseded ? {} : await askClaims(before, context)
  const prepared =
    before && isExternal && !isSuperseded
      ? await prepare(before, request, askedBefore, context)
      : undefined
  const { outcome, session, counter, now } = await rotate(
    sessionId,
    parts,
    clientId,
    request,
    context,
  )
  await assertSealed(parts, session, context)
  if (session.sealed === undefined) await sealAgain(parts, session, context)
  if (isSuperseded) await assertNoRisk(request, session, context)
  const extra = isSuperseded ? await askClaims(session, context) : askedBefore
  const scopes = splitRequestedScope(request.scope) ?? session.scopes
  const next = { ...parts, counter }
  const tokens = await issueTokens(session, next, scopes, now, extra, context, prepared).catch(
    rethrowTooLarge,
  )
  context.counters.granted(resultOf[outcome])
  emitSession(context, eventOf[outcome], session)
  return tokens
}
