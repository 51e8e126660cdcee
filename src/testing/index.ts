import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import type { JWK, JWTPayload } from 'jose'
import { SignJWT } from 'jose/jwt/sign'
import { systemClock } from '../clock.ts'
import { UnavailableError } from '../errors.ts'
import { eventSourceOf, lendEvents } from '../events.ts'
import type { JwksDocument } from '../guard/require-auth-options.ts'
import { assertOptions, readChoice, readString, readStrings } from '../options.ts'
import { createMemoryRevocations } from '../revocation/memory-revocations.ts'
import type {
  AuditedRevocations,
  KickOutOptions,
  KickOutResult,
} from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'

const where = 'createTestIssuer'
const algorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const

/** What `createTestIssuer` is given. */
export interface TestIssuerOptions {
  /** @defaultValue 'https://issuer.test' */
  issuer?: string
  /** @defaultValue 'https://api.test' */
  audience?: string | string[]
  /** @defaultValue 'ES256' */
  algorithm?: (typeof algorithms)[number]
  /**
   * How long its kick-outs are kept, seconds.
   *
   * @defaultValue 90000
   */
  retentionSeconds?: number
  /** Revocations to use instead of its own, such as those of the application on a real Redis. */
  revocations?: AuditedRevocations
}

/** What a token of the test issuer says. */
export interface TestTokenOptions {
  /** @defaultValue 'user-1' */
  subject?: string
  /** Separated by spaces. */
  scope?: string
  /** The test issuer's unless given. */
  audience?: string | string[]
  /** The test issuer's unless given. */
  issuer?: string
  /** @defaultValue 'test-client' */
  clientId?: string
  /** A session of its own unless given. */
  sessionId?: string
  /** An id of its own unless given. */
  jti?: string
  /** @defaultValue 600 */
  expiresInSeconds?: number
  /** `true`: expired an hour ago. */
  expired?: boolean
  /** `true`: signed by a key that the issuer does not publish. */
  forged?: boolean
  /** Further claims; `undefined` takes one of the above away. */
  claims?: Record<string, unknown>
  /** Further header parameters. */
  header?: Record<string, unknown>
}

/** An issuer for the tests of an application: keys made on the spot, no network, no server. */
export interface TestIssuer {
  /** The `iss` of its tokens. */
  readonly issuer: string
  /** The `aud` of its tokens. */
  readonly audience: string | string[]
  /** To spread into `requireAuth`. */
  readonly options: {
    readonly issuer: string
    readonly audience: string | string[]
    readonly jwks: JwksDocument
    readonly revocations: AuditedRevocations
  }
  /** What its `kickOut` acts on, for `adminRouter`. */
  readonly revocations: AuditedRevocations
  /** Mints an access token as an issuer of this package would. */
  token(options?: TestTokenOptions): Promise<string>
  /**
   * `true`: from now on every request is 503, as when the freshness of kick-outs cannot be proved. `false`: as before.
   *
   * @defaultValue true
   */
  unavailable(isUnavailable?: boolean): void
  /**
   * Kicks out what the tokens of this issuer name. A token that is made afterwards is in, unless it names the very session
   * or `jti` that is out.
   */
  kickOut(target: KickOutTarget, options?: KickOutOptions): Promise<KickOutResult>
}

interface SigningPair {
  readonly privateKey: KeyObject
  readonly publicJwk: JWK
}

const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const

function makePair(algorithm: (typeof algorithms)[number]): SigningPair {
  const pair =
    algorithm === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : algorithm === 'RS256' || algorithm === 'PS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: curves[algorithm] })
  const kid = randomUUID()
  return {
    privateKey: pair.privateKey,
    publicJwk: {
      ...(pair.publicKey.export({ format: 'jwk' }) as JWK),
      kid,
      alg: algorithm,
      use: 'sig',
    },
  }
}

/**
 * Makes an issuer for tests. Spread `options` into `requireAuth` and mint what a test needs with `token`.
 *
 * @throws TypeError for wrong options
 */
export function createTestIssuer(options: TestIssuerOptions = {}): TestIssuer {
  assertOptions(where, options, [
    'issuer',
    'audience',
    'algorithm',
    'retentionSeconds',
    'revocations',
  ])
  const issuer = readString(where, 'issuer', options.issuer) ?? 'https://issuer.test'
  readStrings(where, 'audience', options.audience)
  const audience = options.audience ?? 'https://api.test'
  const algorithm = readChoice(where, 'algorithm', options.algorithm, algorithms, 'ES256')
  const published = makePair(algorithm)
  let unpublished: SigningPair | undefined

  const inner =
    options.revocations ??
    createMemoryRevocations(
      {
        issuer,
        ...(options.retentionSeconds !== undefined && {
          retentionSeconds: options.retentionSeconds,
        }),
      },
      { clock: systemClock },
    )
  let isUnavailable = false
  const revocations = withOutages(inner, () => isUnavailable)

  /** As a session store does it: a session that begins after a kick-out of its user has a higher version. */
  const versions = new Map<string, number>()
  /** From which second on tokens of a client, or of anyone (no name), are in again: `iat` has whole seconds. */
  const seconds = new Map<string | undefined, number>()
  inner.onKickOut(({ level, issuer: of, id, at, version }) => {
    if (of !== issuer) return
    if (level === 'subject') versions.set(id, Math.max(versions.get(id) ?? 0, version ?? at + 1))
    if (level === 'client' || level === 'everyone')
      seconds.set(level === 'client' ? id : undefined, Math.floor(at / 1000) + 1)
  })

  function versionOf(subject: string): number {
    return Math.max(versions.get(subject) ?? 0, Date.now())
  }

  function issuedAt(clientId: string): number {
    const now = Math.floor(Date.now() / 1000)
    return Math.max(now, seconds.get(clientId) ?? 0, seconds.get(undefined) ?? 0)
  }

  async function token(wanted: TestTokenOptions = {}): Promise<string> {
    const subject = wanted.subject ?? 'user-1'
    const lifetime = wanted.expiresInSeconds ?? 600
    const clientId = wanted.clientId ?? 'test-client'
    const iat = issuedAt(clientId) - (wanted.expired ? lifetime + 3600 : 0)
    const payload: JWTPayload = {
      iss: wanted.issuer ?? issuer,
      sub: subject,
      aud: wanted.audience ?? audience,
      iat,
      exp: iat + lifetime,
      jti: wanted.jti ?? randomUUID(),
      client_id: clientId,
      sid: wanted.sessionId ?? randomUUID(),
      session_version: versionOf(subject),
      ...(wanted.scope !== undefined && { scope: wanted.scope }),
      ...wanted.claims,
    }
    const { privateKey, publicJwk } = wanted.forged
      ? (unpublished ??= makePair(algorithm))
      : published
    const kid = published.publicJwk.kid ?? publicJwk.kid ?? ''
    return new SignJWT(JSON.parse(JSON.stringify(payload)) as JWTPayload)
      .setProtectedHeader({ alg: algorithm, typ: 'at+jwt', kid, ...wanted.header })
      .sign(privateKey)
  }

  return {
    issuer,
    audience,
    options: { issuer, audience, jwks: { keys: [published.publicJwk] }, revocations },
    revocations,
    token,
    unavailable(wanted = true) {
      isUnavailable = wanted
    },
    kickOut: async (target, kickOutOptions) =>
      inner.kickOut({ ...target, issuer: target.issuer ?? issuer }, kickOutOptions),
  }
}

/** The same revocations, whose checks fail as long as the test says so. */
function withOutages(inner: AuditedRevocations, isAway: () => boolean): AuditedRevocations {
  const assertThere = (): void => {
    if (isAway()) {
      const options = { retryAfterSeconds: 1 }
      throw new UnavailableError('revocations', `${where}: unavailable(true) was called`, options)
    }
  }
  const view: AuditedRevocations = {
    ...(inner.issuer !== undefined && { issuer: inner.issuer }),
    retentionSeconds: inner.retentionSeconds,
    kickOut: async (target, options) => inner.kickOut(target, options),
    check(claims) {
      assertThere()
      return inner.check(claims)
    },
    async checkNow(claims) {
      assertThere()
      return inner.checkNow(claims)
    },
    onKickOut: (listener) => inner.onKickOut(listener),
    status: () => (isAway() ? { ...inner.status(), state: 'stale' } : inner.status()),
    ready: async () => inner.ready(),
    close: async () => inner.close(),
    listKickOuts: async (query) => inner.listKickOuts(query),
    listServers: async () => inner.listServers(),
  }
  return lendEvents(view, eventSourceOf(inner))
}
