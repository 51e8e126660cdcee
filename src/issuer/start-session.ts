import { normalizeTargetUri } from '../dpop/target-uri.ts'
import { GrantError } from '../errors.ts'
import { isIdentifier, maxIdentifierLength } from '../identifier.ts'
import { assertOptions, optionError, readOptions } from '../options.ts'
import { firstParty } from './http/clients.ts'
import { type AuthenticationInput, readAuthentication } from './authentication.ts'
import { readExtraClaims } from './tokens/access-token.ts'
import { emitEnded, emitSession, type IssuerContext } from './context.ts'
import { newHandle, sessionIdOf } from './tokens/refresh-token.ts'
import { endSession } from './revoke.ts'
import { parseScope } from './tokens/scope.ts'
import type { Device } from './sessions/session-store.ts'
import { type IssuedTokens, issueTokens } from './tokens/token-response.ts'

const where = 'startSession'
const thumbprint = /^[A-Za-z0-9_-]{43}$/

/** Who has just signed in. */
export interface StartSessionInput extends AuthenticationInput {
  /** The user, as `sub`: at most 255 characters. */
  subject: string
  /** What the session grants, separated by spaces. */
  scope?: string
  /**
   * The client that the session is for; one of `clients` where there is such a list.
   *
   * @defaultValue 'first-party'
   */
  clientId?: string
  /** For the user to recognise the session by. Longer texts are cut. */
  device?: Device
  /** Binds the session to a key: its tokens are useless without that key. Without it they are plain bearer tokens. */
  dpop?: SessionKey
}

/**
 * The key that a session is bound to: by a proof that came with the login, or by its thumbprint (RFC 7638, SHA-256), where
 * the application has seen a proof itself.
 */
export type SessionKey =
  | {
      /** The value of the `DPoP` header of the login. Without one the login is refused: `invalid_dpop_proof`. */
      proof: string | undefined
      /** The URL of the login route, as clients see it. */
      url: string
      /**
       * The method of the login.
       *
       * @defaultValue 'POST'
       */
      method?: string
    }
  | { jkt: string }

const inputNames = [
  'subject',
  'scope',
  'clientId',
  'device',
  'acr',
  'amr',
  'authTime',
  'dpop',
] as const
const deviceNames = ['name', 'ip', 'userAgent'] as const

function assertIdentifier(name: string, value: unknown): string {
  if (!isIdentifier(value)) {
    throw optionError(
      where,
      name,
      `must be a non-empty string of at most ${maxIdentifierLength} well-formed characters`,
    )
  }
  return value
}

function readScopes(value: unknown): readonly string[] {
  if (value === undefined || value === '') return []
  const scopes = typeof value === 'string' ? parseScope(value) : undefined
  if (!scopes)
    throw optionError(where, 'scope', "must be a string such as 'reports:read reports:write'")
  return scopes
}

/** Device texts often are what a browser says of itself, so they are cut to size rather than refused. */
function readDevice(value: unknown): Device | undefined {
  if (value === undefined) return undefined
  const given = readOptions(`${where}: device`, value, deviceNames)
  const device: Device = {}
  for (const name of deviceNames) {
    const text = given[name]
    if (text === undefined) continue
    if (typeof text !== 'string') throw optionError(where, `device.${name}`, 'must be a string')
    device[name] = text.slice(0, maxIdentifierLength).toWellFormed()
  }
  return device
}

/** @see RFC 9449 §5 */
async function readKey(value: unknown, context: IssuerContext): Promise<{ jkt?: string }> {
  if (value === undefined) return {}
  const dpop = readOptions(`${where}: dpop`, value, ['proof', 'url', 'method', 'jkt'])
  const { jkt } = dpop
  if (jkt !== undefined) {
    if (dpop['proof'] === undefined && typeof jkt === 'string' && thumbprint.test(jkt)) {
      return { jkt }
    }
    throw optionError(
      where,
      'dpop.jkt',
      'must be a SHA-256 thumbprint (43 characters), and must not stand beside "proof"',
    )
  }
  const { proof, url, method = 'POST' } = dpop
  const uri = typeof url === 'string' ? normalizeTargetUri(url) : undefined
  if (uri === undefined) {
    throw optionError(
      where,
      'dpop.url',
      'must be the URL of the login route as clients see it, without query or fragment',
    )
  }
  if (typeof method !== 'string') throw optionError(where, 'dpop.method', 'must be a string')
  // What the header holds comes from the client, and so does its absence.
  const proofs = typeof proof === 'string' ? [proof] : []
  return { jkt: await context.proofs.verify(proofs, { method, uri }) }
}

/**
 * Begins a session: one record in the store, one refresh token, one access token.
 *
 * @throws TypeError for wrong input, and for `claims` that name one of ours; whatever `claims` throws
 * @throws GrantError `access_denied` when the user has too many sessions and none is to be ended; `invalid_dpop_proof`
 * @throws UnavailableError when the store failed; safe to repeat, the other session then idles out
 */
export async function startSession(
  input: StartSessionInput,
  context: IssuerContext,
): Promise<IssuedTokens> {
  assertOptions(where, input, inputNames)
  const subject = assertIdentifier('subject', input.subject)
  const clientId = assertIdentifier('clientId', input.clientId ?? firstParty)
  if (!(await context.clients.mayHaveSessions(clientId))) {
    throw optionError(
      where,
      'clientId',
      `"${clientId}" is not in the "clients" of createIssuer, or may have no sessions`,
    )
  }
  const scopes = readScopes(input.scope)
  const { acr, amr, authTime } = input
  const authentication = readAuthentication(where, { acr, amr, authTime })
  const key = await readKey(input.dpop, context)
  const { issuer, store } = context
  // Without a key nothing is begun.
  await context.keys.signer()
  const parts = { partition: store.partitionOf(issuer, subject), handle: newHandle(), counter: 0 }
  const started = await store.start({
    sessionId: sessionIdOf(parts),
    issuer,
    subject,
    clientId,
    scopes,
    device: readDevice(input.device),
    authentication: { ...authentication, ...key },
    ...context.session,
  })
  if (started.outcome === 'full') {
    throw new GrantError(
      'access_denied',
      'session_limit',
      'The user has as many sessions as allowed',
    )
  }
  const { session } = started
  context.storeClock.note(session.lastSeenAt)
  for (const ended of started.ended) emitEnded(context, ended, 'limit', subject)
  emitSession(context, 'session.started', session)
  try {
    const extra = await readExtraClaims(session, context.claims)
    const [tokens] = await Promise.all([
      issueTokens(session, parts, scopes, session.startedAt, extra, context),
      // A step-up knows no refresh token, whose seal tells whether the record is as it was; this takes its place.
      store.amend?.({
        sessionId: session.sessionId,
        field: 'sealed',
        before: undefined,
        after: context.refreshTokens.sealRecord(parts.handle, session),
      }),
    ])
    return tokens
  } catch (error) {
    // The client never gets a token of this session, so the session must not be listed nor counted.
    await endSession(session.sessionId, 'app', context, subject).catch(() => undefined)
    throw error
  }
}
