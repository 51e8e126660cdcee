import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { type JWK, type JWTPayload, SignJWT } from 'jose'
import { systemClock } from '../clock.ts'
import type { JwksDocument } from '../guard/require-auth-options.ts'
import { assertOptions, readChoice, readString, readStrings } from '../options.ts'
import { createMemoryRevocations } from '../revocation/memory-revocations.ts'
import {
  type AuditedRevocations,
  defaultRetentionSeconds,
  type KickOutOptions,
  type KickOutResult,
} from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'

const where = 'createTestIssuer'
const algorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const

export interface TestIssuerOptions {
  /** @defaultValue 'https://issuer.test' */
  issuer?: string
  /** @defaultValue 'https://api.test' */
  audience?: string | string[]
  /** @defaultValue 'ES256' */
  algorithm?: (typeof algorithms)[number]
}

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
  jti?: string
  /** @defaultValue 600 */
  expiresInSeconds?: number
  /** `true`: expired an hour ago. */
  expired?: boolean
  /** `true`: signed by a key that nobody publishes. */
  forged?: boolean
  /** Further claims; `undefined` takes one of the above away. */
  claims?: Record<string, unknown>
  /** Further header parameters. */
  header?: Record<string, unknown>
}

/** An issuer for the tests of an application: keys made on the spot, no network, no server. */
export interface TestIssuer {
  readonly issuer: string
  readonly audience: string | string[]
  /** To spread into `requireAuth`. */
  readonly options: {
    readonly issuer: string
    readonly audience: string | string[]
    readonly jwks: JwksDocument
    readonly revocations: AuditedRevocations
  }
  readonly revocations: AuditedRevocations
  /** Mints an access token as an issuer of this package would. */
  token(options?: TestTokenOptions): Promise<string>
  /** Kicks out what the tokens of this issuer name. */
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
  assertOptions(where, options, ['issuer', 'audience', 'algorithm'])
  const issuer = readString(where, 'issuer', options.issuer) ?? 'https://issuer.test'
  readStrings(where, 'audience', options.audience)
  const audience = options.audience ?? 'https://api.test'
  const algorithm = readChoice(where, 'algorithm', options.algorithm, algorithms, 'ES256')
  const published = makePair(algorithm)
  let unpublished: SigningPair | undefined

  /** As a session store does it: made at the first login, raised by a kick-out. */
  const versions = new Map<string, number>()
  const revocations = createMemoryRevocations(
    { issuer, retentionSeconds: defaultRetentionSeconds },
    {
      clock: systemClock,
      onTarget(target, at, isNow) {
        if (target.level !== 'subject') return { sessionsEnded: 0 }
        const known = versions.get(target.id) ?? 0
        const version = isNow ? Math.max(known, at) + 1 : Math.max(known, at + 1)
        versions.set(target.id, version)
        return { sessionsEnded: 0, version }
      },
    },
  )

  function versionOf(subject: string): number {
    return Math.max(versions.get(subject) ?? 0, Date.now())
  }

  async function token(wanted: TestTokenOptions = {}): Promise<string> {
    const subject = wanted.subject ?? 'user-1'
    const lifetime = wanted.expiresInSeconds ?? 600
    const iat = Math.floor(Date.now() / 1000) - (wanted.expired ? lifetime + 3600 : 0)
    const payload: JWTPayload = {
      iss: wanted.issuer ?? issuer,
      sub: subject,
      aud: wanted.audience ?? audience,
      iat,
      exp: iat + lifetime,
      jti: wanted.jti ?? randomUUID(),
      client_id: wanted.clientId ?? 'test-client',
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
    kickOut: async (target, kickOutOptions) => revocations.kickOut(target, kickOutOptions),
  }
}
