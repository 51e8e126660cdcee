import type { Response, Router } from 'express'
import { emitterOf } from '../events.ts'
import type {
  AuditedRevocations,
  KickOutOptions,
  KickOutResult,
} from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'
import type { IssuerContext } from './context.ts'
import { readCookie } from './http/cookie.ts'
import { kickOut } from './kick-out.ts'
import { sessionIdOf } from './tokens/refresh-token.ts'
import { revocationsOfIssuer } from './revocations-of-issuer.ts'
import { endSession } from './revoke.ts'
import { createRouter, sendTokens } from './router.ts'
import { type SessionInfo, toSessionInfo } from './sessions/session-store.ts'
import { type IssuerOptions, readSettings } from './options.ts'
import type { SigningJwk } from './tokens/signing-keys.ts'
import { startSession, type StartSessionInput } from './start-session.ts'
import type { IssuedTokens, TokenResponse } from './tokens/token-response.ts'

export { GrantError, type GrantErrorCode, isGrantError } from '../errors.ts'
export type { IssuerEvent, SessionEndReason } from '../events.ts'
export { type Client, hashClientSecret } from './http/clients.ts'
export type { CookieOptions } from './http/cookie.ts'
export { memoryStore, type MemoryStoreOptions } from './sessions/memory-session-store.ts'
export type { Device, SessionInfo, SessionStore } from './sessions/session-store.ts'
export type { SessionOptions } from './sessions/session-options.ts'
export type { ExtraClaims, IssuerOptions } from './options.ts'
export { generateSigningKey, type SigningJwk } from './tokens/signing-keys.ts'
export type { StartSessionInput } from './start-session.ts'
export type { TokenResponse } from './tokens/token-response.ts'

/** A small issuer: sessions, rotating refresh tokens, revoking. Signing people in stays yours. */
export interface Issuer {
  /** `/token`, `/revoke`, `/logout`, keys and metadata. Mount it at the path of the issuer's URL. */
  readonly router: Router
  /** What its resource servers check, where they run in this process; its `kickOut` ends sessions too. */
  readonly revocations: AuditedRevocations
  /**
   * Begins a session for somebody who has just signed in.
   *
   * @throws TypeError for wrong input, `GrantError` when the user has too many sessions, `UnavailableError` when the store failed
   */
  startSession(input: StartSessionInput): Promise<TokenResponse>
  /** Answers a login with its tokens; in cookie mode the refresh token goes into the cookie alone. */
  send(res: Response, tokens: TokenResponse): void
  /** A user's live sessions, the last used first. */
  listSessions(subject: string): Promise<SessionInfo[]>
  /** Ends one session and revokes its access tokens. Resolves to whether there was one. */
  endSession(sessionId: string): Promise<boolean>
  /** Ends the sessions concerned *and* revokes their access tokens, in one step. Safe to repeat. */
  kickOut(target: KickOutTarget, options?: KickOutOptions): Promise<KickOutResult>
  /** Publishes a new key now and signs with it once every resource server can know it. */
  rotateSigningKey(jwk: SigningJwk): Promise<{ kid: string; signsAt: number }>
  /** Closes its store. Afterwards every request that needs it is 503. */
  close(): Promise<void>
}

const insecureDefault =
  'createIssuer was given no "store": sessions are kept in this process and lost with it. ' +
  'Pass memoryStore() if that is meant, or redisStore(redis)'

/**
 * Makes an issuer. Does no I/O before it is used.
 *
 * @throws TypeError for wrong, missing or unknown options
 * @see RFC 6749, RFC 9068, RFC 9700 §4.14
 */
export function createIssuer(options: IssuerOptions): Issuer {
  const settings = readSettings(options)
  const context: IssuerContext = {
    ...settings,
    revocations: revocationsOfIssuer(settings.store.revocations(settings.issuer), settings.issuer),
    emit: emitterOf(settings.onEvent),
  }
  const lifetimes = new WeakMap<TokenResponse, number>()
  if (settings.usesDefaultStore) {
    context.emit({ type: 'store.insecure_default', message: insecureDefault })
  }

  function remember({ response, sessionTtlSeconds }: IssuedTokens): TokenResponse {
    lifetimes.set(response, sessionTtlSeconds)
    return response
  }

  /** Whoever signs in anew leaves the session of the old cookie behind, which may be one that somebody planted. */
  function endPreviousSession(res: Response, tokens: TokenResponse): void {
    if (!context.cookie) return
    let token
    try {
      token = readCookie(res.req.headers.cookie, context.cookie)
    } catch {
      return
    }
    const parts = token === undefined ? undefined : context.refreshTokens.read(token)
    const previous = parts && sessionIdOf(parts)
    if (previous === undefined || previous === tokens.session_id) return
    endSession(previous, 'ended', context).catch(() => undefined)
  }

  return {
    router: createRouter(context),
    revocations: context.revocations,
    startSession: async (input) => remember(await startSession(input, context)),
    send(res, tokens) {
      endPreviousSession(res, tokens)
      const fallback = settings.session.absoluteTtlMs / 1000
      const sessionTtlSeconds = lifetimes.get(tokens) ?? fallback
      sendTokens(res, { response: tokens, sessionTtlSeconds }, context, true)
    },
    listSessions: async (subject) =>
      (await settings.store.list(settings.issuer, subject)).map(toSessionInfo),
    endSession: async (sessionId) => endSession(sessionId, 'ended', context),
    kickOut: async (target, kickOutOptions) => kickOut(target, kickOutOptions, context),
    rotateSigningKey: async (jwk) => settings.keys.rotate(jwk),
    close: async () => settings.store.close(),
  }
}
