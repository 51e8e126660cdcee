import { GrantError, UnavailableError } from '../errors.ts'
import { isIdentifier } from '../identifier.ts'
import { assertOptions, optionError } from '../options.ts'
import { askClaims } from './ask-claims.ts'
import { type AuthenticationInput, readAuthentication } from './authentication.ts'
import { emitSession, type IssuerContext } from './context.ts'
import { endTampered } from './tampering.ts'
import type {
  AmendOutcome,
  Authentication,
  SessionRecord,
  SessionStore,
} from './sessions/session-store.ts'
import { type IssuedTokens, issueTokens } from './tokens/token-response.ts'

const where = 'stepUp'

/** How the user has just signed in again. One of the three at least; what is left out stays as it was. */
export type StepUpInput = AuthenticationInput

/** Of step-ups of one session that meet, one comes through at a time, and the others try again. */
const maxAttempts = 50

function refused(reason: string): GrantError {
  return new GrantError('invalid_grant', reason, 'The session is over')
}

interface Opened {
  readonly session: SessionRecord
  /** Of the refresh tokens of the session. */
  readonly handle: Buffer
  readonly authentication: Authentication
}

/**
 * Reads a session without a refresh token. Its record is compared with what it was sealed with when the session began: write
 * access to the store must not be enough to have an access token signed for any user and scope.
 *
 * @throws GrantError `invalid_grant`
 */
async function openSession(sessionId: string, context: IssuerContext): Promise<Opened> {
  const { store, refreshTokens, issuer } = context
  const session = await store.find(sessionId)
  if (session?.issuer !== issuer) throw refused('ended')
  // The store has lost it, or the session is older than step-ups; the next refresh makes it again.
  if (session.sealed === undefined) throw refused('unsealed')
  const handle = refreshTokens.openRecord(session.sealed, session)
  const authentication = refreshTokens.authenticationOf(session)
  if (handle && authentication) return { session, handle, authentication }
  await endTampered(sessionId, context)
  throw refused('tampered')
}

/** What the user has proved by now. The moment never goes back: an older proof that comes late makes nothing older. */
function merge(before: Authentication, given: Authentication): Authentication {
  const { authTime } = before
  const latest = Math.max(authTime ?? -Infinity, given.authTime ?? -Infinity)
  return { ...before, ...given, ...(Number.isFinite(latest) && { authTime: latest }) }
}

type AmendingStore = SessionStore & Required<Pick<SessionStore, 'amend'>>

function canAmend(store: SessionStore): store is AmendingStore {
  return store.amend !== undefined
}

type Amended = Extract<AmendOutcome, { outcome: 'amended' }>

/**
 * Writes the step-up into the session, unless another one came first: then it is made again, on top of that one.
 *
 * @throws GrantError `invalid_grant`
 * @throws UnavailableError
 */
async function amend(
  store: AmendingStore,
  sessionId: string,
  given: Authentication,
  context: IssuerContext,
): Promise<Amended & { readonly handle: Buffer }> {
  const { refreshTokens } = context
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const { session, handle, authentication } = await openSession(sessionId, context)
    const amended = await store.amend({
      sessionId,
      field: 'stepUp',
      before: session.stepUp,
      after: refreshTokens.makeStepUp(session, merge(authentication, given)),
    })
    if (amended.outcome === 'amended') return { ...amended, handle }
    if (amended.outcome !== 'changed') throw refused(amended.outcome)
  }
  throw new UnavailableError('sessions', 'The session is being stepped up by others, too often')
}

/**
 * Raises a session: the user has signed in again, or in a stronger way. The access token of the answer says so, and so does
 * every later one of the session. Its refresh token is the current one of the session, which the client has already.
 *
 * A kick-out comes before it, and it is refused, or after it, and its tokens are out: the access token names the session and
 * the version that the kick-out ends.
 *
 * @throws TypeError for wrong input
 * @throws GrantError `invalid_grant` when the session is over; what `claims` throws
 * @throws UnavailableError when the store, or `claims`, failed; safe to repeat
 * @see RFC 9470 §5
 */
export async function stepUp(
  sessionId: string,
  input: StepUpInput,
  context: IssuerContext,
): Promise<IssuedTokens> {
  if (!isIdentifier(sessionId)) {
    throw optionError(where, 'sessionId', 'must be the id of a session, as `sid` of its tokens')
  }
  assertOptions(where, input, ['acr', 'amr', 'authTime'])
  const { acr, amr, authTime } = input
  const given = readAuthentication(where, { acr, amr, authTime })
  if (Object.keys(given).length === 0) {
    throw new TypeError(
      `${where}: give "acr", "amr" or "authTime", such as ${where}(sessionId, { authTime: Math.floor(Date.now() / 1000) })`,
    )
  }
  const { store } = context
  if (!canAmend(store)) {
    throw new TypeError(
      `${where}: the "store" of createIssuer has no "amend", so it has no step-up`,
    )
  }
  // Without a key nothing moves.
  await context.keys.signer()
  // While `claims` fails nothing has moved.
  const extra = await askClaims((await openSession(sessionId, context)).session, context)
  const { session, handle, now } = await amend(store, sessionId, given, context)
  context.storeClock.note(now)
  const partition = store.partitionOf(session.issuer, session.subject)
  const parts = { partition, handle, counter: session.counter }
  const tokens = await issueTokens(session, parts, session.scopes, now, extra, context)
  emitSession(context, 'session.stepped_up', session)
  return tokens
}
