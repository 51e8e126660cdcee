import type { RequestHandler, Response, Router } from 'express'
import { systemClock } from '../clock.ts'
import { type Emit, emitterOf, type IssuerEvent } from '../events.ts'
import type {
  AuditedRevocations,
  KickOutOptions,
  KickOutResult,
} from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'
import { ClientChecks } from './client-checks.ts'
import type { IssuerContext } from './context.ts'
import { readCookie } from './http/cookie.ts'
import { RequestsUnderWay } from './http/requests-under-way.ts'
import type { ExternalSigningKey } from './keys/external-key.ts'
import { kidMadeHere, type SigningJwk } from './keys/signing-key.ts'
import type { IssuerKeys, RotatedKey } from './keys/signing-keys.ts'
import { StoredSigningKeys } from './keys/stored-signing-keys.ts'
import { kickOut } from './kick-out.ts'
import { Proofs } from './proofs.ts'
import { sessionIdOf } from './tokens/refresh-token.ts'
import { revocationsOfIssuer } from './revocations-of-issuer.ts'
import { endSession } from './revoke.ts'
import { createCrossOrigin, createRouter, sendTokens } from './router.ts'
import { MemorySessionStore } from './sessions/memory-session-store.ts'
import { StoreClock } from './sessions/store-clock.ts'
import { type SessionInfo, toSessionInfo } from './sessions/session-store.ts'
import { type IssuerOptions, type IssuerSettings, readSettings } from './options.ts'
import { startSession, type StartSessionInput } from './start-session.ts'
import { stepUp, type StepUpInput } from './step-up.ts'
import { IssuerCounters, type IssuerStats } from './stats.ts'
import type { TokenResponse } from './tokens/token-response.ts'

export { GrantError, type GrantErrorCode, isGrantError } from '../errors.ts'
export type { IssuerEvent, SessionEndReason } from '../events.ts'
export { type Client, type ClientGrant, hashClientSecret } from './http/client.ts'
export type { ClientResolver } from './http/clients.ts'
export type { CookieOptions } from './http/cookie.ts'
export { memoryStore, type MemoryStoreOptions } from './sessions/memory-session-store.ts'
export type { KeyStore, RotationOptions } from '../key-store/key-store.ts'
export type { ExternalSigningKey } from './keys/external-key.ts'
export { generateSigningKey, type SigningJwk } from './keys/signing-key.ts'
export type { JWK } from 'jose'
export type { RotatedKey } from './keys/signing-keys.ts'
export type { Device, SessionInfo, SessionStore } from './sessions/session-store.ts'
export type { SessionOptions } from './sessions/session-options.ts'
export type { AssessRisk, ExtraClaims, IssuerOptions, RefreshFacts } from './options.ts'
export type { SessionKey, StartSessionInput } from './start-session.ts'
export type { StepUpInput } from './step-up.ts'
export type { IssuerStats, RefreshResult } from './stats.ts'
export type { TokenResponse } from './tokens/token-response.ts'

/** The part of a request that names the browser's session. */
export interface CookieRequest {
  /** The request's headers. */
  readonly headers: { readonly cookie?: string | undefined }
}

/** A small issuer: sessions, rotating refresh tokens, revoking. Signing people in stays yours. */
export interface Issuer {
  /** `/token`, `/revoke`, `/introspect`, `/logout`, keys and metadata. Mount it at the path of the issuer's URL. */
  readonly router: Router
  /** What its resource servers check, where they run in this process; its `kickOut` ends sessions too. */
  readonly revocations: AuditedRevocations
  /**
   * Begins a session for a user who has just signed in.
   *
   * @param options - `req`: in cookie mode, the session of that browser's cookie ends before `maxPerSubject` is counted
   * @throws TypeError for wrong input, `GrantError` when the user has too many sessions, `UnavailableError` when the store failed
   */
  startSession(input: StartSessionInput, options?: { req?: CookieRequest }): Promise<TokenResponse>
  /**
   * The user of a session has signed in again, or in a stronger way (RFC 9470): the answer's access token says so, and so
   * does each later one of the session. `authTime` never goes back. `refresh_token` is the session's current one, as the
   * client has it.
   *
   * @param sessionId - `sessionId` of `req.auth`
   * @throws TypeError for wrong input, `GrantError` when the session is over, `UnavailableError` when the store failed
   */
  stepUp(sessionId: string, input: StepUpInput): Promise<TokenResponse>
  /**
   * For a login route of your own that a page on another origin calls: the exact CORS and the origin check of `/token`.
   * It answers preflights, and 403 `access_denied` for an origin that is not in `allowedOrigins`.
   */
  readonly crossOrigin: RequestHandler
  /**
   * Answers a login or a step-up with its tokens; in cookie mode the refresh token goes into the cookie alone, which a
   * browser that has a cookie of this very session keeps as it is.
   */
  send(res: Response, tokens: TokenResponse): void
  /** A user's live sessions, the last used first. */
  listSessions(subject: string): Promise<SessionInfo[]>
  /**
   * Ends one session and revokes its access tokens. Resolves to whether there was one.
   *
   * @param options - `subject`: ends it only where it is this user's, as a route that ends one's own devices must
   */
  endSession(sessionId: string, options?: { subject?: string }): Promise<boolean>
  /** Ends the sessions concerned *and* revokes their access tokens, in one step. Safe to repeat. */
  kickOut(target: KickOutTarget, options?: KickOutOptions): Promise<KickOutResult>
  /**
   * Publishes a new key now and signs with it once every resource server can know it: after 1200 seconds, or
   * `rotation.publishAheadSeconds`. With `signingKeys` it concerns this process alone. With `keyStore` it concerns all of
   * them, and a key is made where none is given.
   *
   * @throws TypeError for an unfit key, `UnavailableError` where the key store failed
   */
  rotateSigningKey(key?: SigningJwk | ExternalSigningKey): Promise<RotatedKey>
  /**
   * Does ahead what the first request would: imports the keys or reads them from the key store, has an external key make a
   * signature, and connects to the store.
   *
   * @throws Error where a store must not be used as it is set up, or `encryptionKey` is another one than before;
   * `UnavailableError` where a store or an external key cannot be reached
   */
  ready(): Promise<void>
  /** What it has done since it was made, as numbers for a metric. */
  stats(): IssuerStats
  /** Closes its store, and its key store. Afterwards every request that needs it is 503. */
  close(): Promise<void>
}

/** How long requests under way have to be answered while the issuer is closed. */
const drainMs = 1_000

const insecureDefault =
  'createIssuer was given no "store": sessions are kept in this process and lost with it. ' +
  'Pass memoryStore() if that is meant, or redisStore(redis)'

function toKeys({ keySource, issuer }: IssuerSettings, emit: Emit<IssuerEvent>): IssuerKeys {
  if (keySource.kind === 'given') return keySource.keys
  const { store, rules } = keySource
  return new StoredSigningKeys(issuer, store, rules, { clock: systemClock, emit })
}

/**
 * Makes an issuer. Does no I/O before it is used.
 *
 * @throws TypeError for wrong, missing or unknown options
 * @see RFC 6749, RFC 9068, RFC 9700 §4.14
 */
export function createIssuer(options: IssuerOptions): Issuer {
  const settings = readSettings(options)
  const emit = emitterOf(settings.onEvent)
  const shared = settings.store.revocations(settings.issuer)
  const revocations = revocationsOfIssuer(shared, settings.issuer)
  const context: IssuerContext = {
    ...settings,
    revocations,
    clientChecks: new ClientChecks(async (claims) => revocations.checkNow(claims)),
    emit,
    keys: toKeys(settings, emit),
    storeClock: new StoreClock(),
    proofs: new Proofs(),
    requests: new RequestsUnderWay(),
    counters: new IssuerCounters(),
  }
  // Where sessions are lost at a restart, new keys lose nothing more.
  const lostAnyway = settings.store instanceof MemorySessionStore
  for (const key of lostAnyway ? [] : (options.signingKeys ?? [])) {
    const kid = kidMadeHere(key)
    if (kid !== undefined) emit({ type: 'signing_key.not_kept', kid })
  }
  if (settings.usesDefaultStore) {
    context.emit({ type: 'store.insecure_default', message: insecureDefault })
  }

  /** The session of the cookie that a browser sent. A new login leaves it behind; an attacker may have planted it. */
  function previousSessionOf(req: CookieRequest): string | undefined {
    if (!context.cookie) return undefined
    try {
      const token = readCookie(req.headers.cookie, context.cookie)
      const parts = token === undefined ? undefined : context.refreshTokens.read(token)
      return parts && sessionIdOf(parts)
    } catch {
      return undefined
    }
  }

  async function endPreviousSession(previous: string | undefined, current?: string): Promise<void> {
    if (previous === undefined || previous === current) return
    await endSession(previous, 'replaced', context)
  }

  return {
    router: createRouter(context),
    revocations: context.revocations,
    crossOrigin: createCrossOrigin(context),
    async startSession(input, { req } = {}) {
      if (req) await endPreviousSession(previousSessionOf(req))
      return (await startSession(input, context)).response
    },
    send(res, tokens) {
      const previous = previousSessionOf(res.req)
      endPreviousSession(previous, tokens.session_id).catch(() => undefined)
      // Computed rather than remembered with the object, so that a copy of it sends the same cookie.
      const { idleTtlMs, absoluteTtlMs } = settings.session
      const sessionTtlSeconds = Math.min(idleTtlMs, absoluteTtlMs) / 1000
      // A refresh in another tab may have moved the cookie on since the step-up: it is the newer one.
      const cookie = previous !== tokens.session_id
      sendTokens(res, { response: tokens, sessionTtlSeconds }, context, { sessionId: true, cookie })
    },
    stepUp: async (sessionId, input) => (await stepUp(sessionId, input, context)).response,
    listSessions: async (subject) =>
      (await settings.store.list(settings.issuer, subject)).map(toSessionInfo),
    async endSession(sessionId, { subject } = {}) {
      if (subject === undefined) return endSession(sessionId, 'app', context)
      const session = await settings.store.find(sessionId)
      if (session?.issuer !== settings.issuer || session.subject !== subject) return false
      return endSession(sessionId, 'app', context, subject)
    },
    kickOut: async (target, kickOutOptions) => kickOut(target, kickOutOptions, context),
    rotateSigningKey: async (key) => context.keys.rotate(key),
    async ready() {
      await Promise.all([context.keys.ready(), settings.store.ready?.()])
    },
    stats: () => context.counters.toStats(),
    async close() {
      // A refresh whose answer is cut off is one that the browser has to repeat.
      await context.requests.settled(drainMs)
      settings.clients.close()
      await Promise.all([settings.store.close(), context.keys.close()])
    },
  }
}
