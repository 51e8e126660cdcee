import { systemClock } from '../clock.ts'
import type { IssuerEvent } from '../events.ts'
import { isIdentifier } from '../identifier.ts'
import {
  assertOptions,
  isOrigin,
  isSecureUrl,
  optionError,
  readBoolean,
  readFunction,
  readNumber,
  readString,
  readStrings,
} from '../options.ts'
import { type KeyStore, readRotation, type RotationOptions } from '../key-store/key-store.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import type { Client } from './http/client.ts'
import { type ClientResolver, Clients } from './http/clients.ts'
import { type CookieOptions, type CookieSettings, readCookieSettings } from './http/cookie.ts'
import { tokenEndpointOf } from './http/endpoints.ts'
import type { ExternalSigningKey } from './keys/external-key.ts'
import type { RingRules } from './keys/key-ring.ts'
import type { SigningJwk } from './keys/signing-key.ts'
import { SigningKeys, toleranceRoomMs } from './keys/signing-keys.ts'
import { memoryStore } from './sessions/memory-session-store.ts'
import { RefreshTokens } from './tokens/refresh-token.ts'
import type { Device, SessionInfo, SessionStore } from './sessions/session-store.ts'
import {
  readSessionOptions,
  sessionDefaults,
  type SessionOptions,
  type SessionSettings,
} from './sessions/session-options.ts'

const where = 'createIssuer'

/** Extra claims of an access token. Asked again at each refresh. */
export type ExtraClaims = (
  session: SessionInfo,
) => Record<string, unknown> | undefined | Promise<Record<string, unknown> | undefined>

/** What a refresh shows of where it comes from. */
export interface RefreshFacts {
  /** By Express' `trust proxy`. */
  ip?: string
  /** The `User-Agent` header, at most 255 characters. */
  userAgent?: string
  /** What the session was started with. */
  device?: Device
}

/** Compares a refresh with its session: `'end'` for one that looks like a thief's. */
export type AssessRisk = (
  session: SessionInfo,
  request: RefreshFacts,
) => 'allow' | 'end' | Promise<'allow' | 'end'>

/** What `createIssuer` is given. */
export interface IssuerOptions {
  /** The `iss` of its tokens and the base of its URLs: `https:`, or `http:` on a loopback host. */
  issuer: string
  /** The `aud` of its tokens. */
  audience: string | string[]
  /**
   * Private JWKs, or `{ publicJwk, sign }` for keys of a key management service. The first signs, all are published. Either
   * this or `keyStore`.
   */
  signingKeys?: (SigningJwk | ExternalSigningKey)[]
  /** Keys that all processes of the issuer share, and that rotate by themselves: `redisKeyStore` or `postgresKeyStore`. */
  keyStore?: KeyStore
  /** With `keyStore`: what its own option `rotation` says, said here. One of the two. */
  rotation?: RotationOptions
  /** 32 bytes or more. Of several the first makes tokens, all verify them. */
  refreshTokenSecret: string | Uint8Array | (string | Uint8Array)[]
  /** Where sessions live. `memoryStore()` unless given, which is for development. */
  store?: SessionStore
  /**
   * 60 to 3600.
   *
   * @defaultValue 600
   */
  accessTokenTtlSeconds?: number
  /** Lifts the limits of `accessTokenTtlSeconds`. The revocations' `retentionSeconds` has to follow. */
  dangerouslyAllowAnyAccessTokenTtl?: boolean
  /** How long sessions live, and how refresh tokens are judged. */
  session?: SessionOptions
  /** Extra claims of access tokens. A `GrantError` that it throws is the answer; any other failure of it is 503. */
  claims?: ExtraClaims
  /**
   * Asked at each refresh, before anything moves. `'end'` ends the session, revokes its access tokens and refuses
   * the refresh (event `session.ended`, reason `suspicious`). A failure of it is 503.
   */
  risk?: AssessRisk
  /**
   * The clients that are known, or a function that looks one up (in a database); that it throws, or takes over 500 ms, is
   * answered with 503. Without it any `client_id` is a public client.
   */
  clients?: Client[] | ClientResolver
  /**
   * Remembers the assertions of clients (`private_key_jwt`): `redisReplayStore(redis)` where the issuer runs in several
   * processes.
   *
   * @defaultValue memoryReplayStore(), of this process
   */
  replay?: ReplayStore
  /** Keeps refresh tokens in a cookie that no script can read. */
  cookie?: CookieOptions
  /**
   * The page of your application that signs people in, published in the metadata as `authorization_endpoint`. The issuer itself
   * has none. Clients of the MCP SDK refuse metadata without it, those of machines included.
   */
  authorizationEndpoint?: string
  /** Origins of web pages that may call this issuer, exactly as browsers send them. */
  allowedOrigins?: string[]
  /** Receives logins, refreshes, refusals and ends of sessions; never a token. */
  onEvent?: (event: IssuerEvent) => void
}

const optionNames = [
  'issuer',
  'audience',
  'signingKeys',
  'keyStore',
  'rotation',
  'refreshTokenSecret',
  'store',
  'accessTokenTtlSeconds',
  'dangerouslyAllowAnyAccessTokenTtl',
  'session',
  'claims',
  'risk',
  'clients',
  'replay',
  'cookie',
  'authorizationEndpoint',
  'allowedOrigins',
  'onEvent',
] as const satisfies readonly (keyof IssuerOptions)[]

/** The default of every option that has one. docs/options.md is compared with these. */
export const issuerDefaults = {
  accessTokenTtlSeconds: 600,
  session: sessionDefaults,
} as const

/** Tolerance of resource servers on both sides, as CONTRACT of `retentionSeconds` asks for. */
const toleranceRoomSeconds = 10

/** Where the keys come from: given, or kept for all processes. */
export type KeySource =
  | { readonly kind: 'given'; readonly keys: SigningKeys }
  | { readonly kind: 'stored'; readonly store: KeyStore; readonly rules: RingRules }

/** Checked options, nothing optional about them. */
export interface IssuerSettings {
  readonly issuer: string
  readonly audience: string | readonly string[]
  readonly keySource: KeySource
  readonly refreshTokens: RefreshTokens
  readonly store: SessionStore
  readonly usesDefaultStore: boolean
  readonly accessTokenTtlSeconds: number
  readonly session: SessionSettings
  readonly claims: ExtraClaims | undefined
  readonly risk: AssessRisk | undefined
  readonly clients: Clients
  readonly cookie: CookieSettings | undefined
  /** The issuer's own origin and those allowed: from where state may be changed in cookie mode. */
  readonly ownOrigin: string
  readonly authorizationEndpoint: string | undefined
  readonly allowedOrigins: ReadonlySet<string>
  readonly onEvent: ((event: IssuerEvent) => void) | undefined
}

function readIssuer(value: unknown): string {
  const issuer = readString(where, 'issuer', value)
  if (issuer === undefined) throw optionError(where, 'issuer', 'is missing')
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  const isBare = url && url.search + url.hash + url.username + url.password === ''
  if (!isBare || !isSecureUrl(url) || !isIdentifier(issuer)) {
    throw optionError(
      where,
      'issuer',
      'must be an https: URL without query, fragment or password (http: only on a loopback host)',
    )
  }
  return issuer
}

function readAccessTokenTtl(options: IssuerOptions, store: SessionStore): number {
  const unlimited = readBoolean(
    where,
    'dangerouslyAllowAnyAccessTokenTtl',
    options.dangerouslyAllowAnyAccessTokenTtl,
    false,
  )
  const ttl = readNumber(where, 'accessTokenTtlSeconds', options.accessTokenTtlSeconds, {
    fallback: issuerDefaults.accessTokenTtlSeconds,
    min: unlimited ? 1 : 60,
    ...(!unlimited && { max: 3600 }),
    integer: true,
  })
  if (ttl + toleranceRoomSeconds > store.retentionSeconds) {
    throw optionError(
      where,
      'accessTokenTtlSeconds',
      `must leave room in the store's "retentionSeconds" (${store.retentionSeconds}): ` +
        'a token must not outlive its own kick-out. Raise retentionSeconds, here and on the resource servers',
    )
  }
  return ttl
}

/** @see RFC 6749 §3.1 */
function readAuthorizationEndpoint(value: unknown): string | undefined {
  const text = readString(where, 'authorizationEndpoint', value)
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && isSecureUrl(url) && !text.includes('#') && url.username + url.password === '') {
    return text
  }
  throw optionError(
    where,
    'authorizationEndpoint',
    'must be an https: URL without fragment or password (http: only on a loopback host)',
  )
}

function readOrigins(value: unknown): ReadonlySet<string> {
  const isEmpty = value === undefined || (Array.isArray(value) && value.length === 0)
  const list = isEmpty ? [] : (readStrings(where, 'allowedOrigins', value) ?? [])
  for (const origin of list) {
    if (!isOrigin(origin)) {
      throw optionError(
        where,
        'allowedOrigins',
        "must hold origins as browsers send them, such as 'https://app.example.com' or 'tauri://localhost': no path, no slash at the end, no wildcard",
      )
    }
  }
  return new Set(list)
}

function assertStore(store: unknown): asserts store is SessionStore {
  const candidate = store as Partial<SessionStore> | null
  if (typeof candidate?.rotate !== 'function' || typeof candidate.start !== 'function') {
    throw optionError(where, 'store', 'must be a session store: memoryStore() or redisStore(redis)')
  }
}

function isReplayStore(store: unknown): store is ReplayStore {
  return typeof (store as Partial<ReplayStore> | null)?.claim === 'function'
}

function readReplayStore(store: unknown): ReplayStore | undefined {
  if (store === undefined || isReplayStore(store)) return store
  throw optionError(
    where,
    'replay',
    'must be a replay store: memoryReplayStore() or redisReplayStore(redis)',
  )
}

function isKeyStore(store: unknown): store is KeyStore {
  const { read, replace } = (store ?? {}) as Partial<KeyStore>
  return typeof read === 'function' && typeof replace === 'function'
}

function readKeySource(
  { signingKeys, keyStore: store, rotation: given }: IssuerOptions,
  tokenLifetimeMs: number,
): KeySource {
  if (store === undefined) {
    if (given !== undefined) throw optionError(where, 'rotation', 'needs the option "keyStore"')
    const keys = new SigningKeys(signingKeys, systemClock, tokenLifetimeMs)
    return { kind: 'given', keys }
  }
  if (signingKeys !== undefined) {
    throw optionError(where, 'keyStore', 'must not stand beside "signingKeys": remove one of them')
  }
  if (!isKeyStore(store)) {
    const makers = 'redisKeyStore(redis, options) or postgresKeyStore(pool, options)'
    throw optionError(where, 'keyStore', `must be a key store: ${makers}`)
  }
  const rotation = given === undefined ? store.rotation : readRotation(where, given)
  const { keepMs = tokenLifetimeMs + toleranceRoomMs } = rotation
  if (keepMs < tokenLifetimeMs) {
    throw optionError(
      where,
      'rotation.keepSeconds',
      `must be at least "accessTokenTtlSeconds" (${tokenLifetimeMs / 1000}): tokens must not outlive their key`,
    )
  }
  return { kind: 'stored', store, rules: { ...rotation, keepMs } }
}

/**
 * Checks options and completes them.
 *
 * @throws TypeError that names the option
 */
export function readSettings(options: IssuerOptions): IssuerSettings {
  assertOptions(where, options, optionNames)
  const issuer = readIssuer(options.issuer)
  const audience = readStrings(where, 'audience', options.audience)
  if (audience === undefined) throw optionError(where, 'audience', 'is missing')
  // `null` is not "no store given": the application has failed to create it.
  const store = options.store === undefined ? memoryStore() : options.store
  assertStore(store)
  const accessTokenTtlSeconds = readAccessTokenTtl(options, store)
  const { origin } = new URL(issuer)
  return {
    issuer,
    audience: Array.isArray(options.audience) ? audience : (audience[0] ?? ''),
    keySource: readKeySource(options, accessTokenTtlSeconds * 1000),
    refreshTokens: new RefreshTokens(options.refreshTokenSecret, issuer),
    store,
    usesDefaultStore: options.store === undefined,
    accessTokenTtlSeconds,
    session: readSessionOptions(options.session),
    claims: readFunction(where, 'claims', options.claims),
    risk: readFunction(where, 'risk', options.risk),
    clients: new Clients(options.clients, {
      issuer,
      tokenEndpoint: tokenEndpointOf(issuer),
      replay: readReplayStore(options.replay),
    }),
    cookie: readCookieSettings(options.cookie, issuer),
    ownOrigin: origin,
    authorizationEndpoint: readAuthorizationEndpoint(options.authorizationEndpoint),
    allowedOrigins: readOrigins(options.allowedOrigins),
    onEvent: readFunction(where, 'onEvent', options.onEvent),
  }
}
