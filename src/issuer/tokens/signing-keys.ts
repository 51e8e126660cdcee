import { createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import type { Clock } from '../../clock.ts'

/** A private JWK: the key that access tokens are signed with. */
export type SigningJwk = JWK

const algorithms = [
  'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519',
] as const // prettier-ignore

const algorithmOfCurve: Readonly<Record<string, string>> = {
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
  Ed25519: 'EdDSA',
}

const publicMembers = ['kty', 'crv', 'n', 'e', 'x', 'y'] as const
const minModulusLength = 342 // base64url characters of 2048 bits

/** How long a new key is published before it signs: the cache age of resource servers, and a refresh that failed once. */
export const publishAheadMs = 660_000

type CryptoKey = Exclude<Awaited<ReturnType<typeof importJWK>>, Uint8Array>

export interface Signer {
  readonly kid: string
  readonly algorithm: string
  readonly key: CryptoKey
}

interface Entry {
  readonly algorithm: string
  readonly signsFromMs: number
  /** Set when another key has taken over: until then tokens signed with this one may be about. */
  publishedUntilMs: number
  readonly loaded: () => Promise<{ signer: Signer; publicJwk: JWK }>
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined
  return async () => (made ??= make())
}

function keyError(option: string, expectation: string): TypeError {
  return new TypeError(`createIssuer: option "${option}" ${expectation}`)
}

function readAlgorithm(option: string, jwk: JWK): string {
  const byType = jwk.kty === 'RSA' ? 'RS256' : algorithmOfCurve[jwk.crv ?? '']
  const algorithm = jwk.alg ?? byType
  const fits =
    jwk.kty === 'RSA'
      ? /^[RP]S/.test(algorithm ?? '')
      : algorithm === byType || (algorithm === 'Ed25519' && byType === 'EdDSA')
  if (algorithm === undefined || !fits || !algorithms.some((known) => known === algorithm)) {
    throw keyError(
      option,
      `must have an "alg" of ${algorithms.join(', ')} that fits its key type, or a key type that implies one`,
    )
  }
  return algorithm
}

/** Found out at creation rather than at the first login. What the parser says is left out: it may quote the key. */
function assertReadable(option: string, key: JWK): void {
  let own: JsonWebKey | undefined
  try {
    own = createPublicKey(createPrivateKey({ key: { ...key }, format: 'jwk' })).export({
      format: 'jwk',
    })
  } catch {
    // Below: it has no public part.
  }
  if (!own || publicMembers.some((member) => own[member] !== key[member])) {
    throw keyError(option, 'cannot be read: some of its members are missing or do not fit together')
  }
}

function toEntry(option: string, jwk: unknown, signsFromMs: number): Entry {
  if (typeof jwk !== 'object' || jwk === null || typeof (jwk as JWK).d !== 'string') {
    throw keyError(
      option,
      'must be a private JWK (it has no "d"); make one with generateSigningKey(\'ES256\')',
    )
  }
  const key = structuredClone(jwk) as JWK
  const algorithm = readAlgorithm(option, key)
  if (key.kty === 'RSA' && (key.n?.length ?? 0) < minModulusLength) {
    throw keyError(option, 'must be an RSA key of 2048 bits or more')
  }
  assertReadable(option, key)
  if (key.kid !== undefined && (typeof key.kid !== 'string' || key.kid === '')) {
    throw keyError(option, 'has a "kid" that is not a non-empty string')
  }
  const loaded = once(async () => {
    const kid = key.kid ?? (await calculateJwkThumbprint(key))
    const publicPart = Object.fromEntries(
      publicMembers.flatMap((member) => (key[member] === undefined ? [] : [[member, key[member]]])),
    ) as JWK
    return {
      signer: { kid, algorithm, key: (await importJWK(key, algorithm)) as CryptoKey },
      publicJwk: { ...publicPart, kid, alg: algorithm, use: 'sig' },
    }
  })
  return { algorithm, signsFromMs, publishedUntilMs: Number.POSITIVE_INFINITY, loaded }
}

/** The keys of an issuer: one signs, all are published. */
export class SigningKeys {
  readonly #clock: Clock
  readonly #tokenLifetimeMs: number
  #entries: Entry[]
  #rotation: Promise<unknown> = Promise.resolve()

  /** @throws TypeError for a missing or unfit key */
  constructor(jwks: unknown, clock: Clock, tokenLifetimeMs: number) {
    if (!Array.isArray(jwks) || jwks.length === 0) {
      throw keyError(
        'signingKeys',
        "must be a list of private JWKs; make one with generateSigningKey('ES256')",
      )
    }
    this.#entries = jwks.map((jwk, index) =>
      toEntry(`signingKeys[${index}]`, jwk, Number.NEGATIVE_INFINITY),
    )
    // Without a `kid` it is the key itself that gives one.
    const kids = jwks.map(({ kid, n, x }: JWK) => kid ?? n ?? x)
    if (new Set(kids).size < kids.length) throw keyError('signingKeys', 'has the same "kid" twice')
    this.#clock = clock
    this.#tokenLifetimeMs = tokenLifetimeMs
  }

  /** The algorithms that tokens may bear right now. */
  get algorithms(): string[] {
    return [...new Set(this.#published().map(({ algorithm }) => algorithm))]
  }

  async signer(): Promise<Signer> {
    const now = this.#clock.now()
    const entry = this.#entries.find(({ signsFromMs }) => signsFromMs <= now)
    if (!entry) throw new Error('There is no signing key')
    return (await entry.loaded()).signer
  }

  /** Imports every key ahead of the first request. */
  async ready(): Promise<void> {
    await Promise.all(this.#entries.map(async (entry) => entry.loaded()))
  }

  /** The public key set, RFC 7517 §5. */
  async jwks(): Promise<{ keys: JWK[] }> {
    const loaded = await Promise.all(this.#published().map(async (entry) => entry.loaded()))
    return { keys: loaded.map(({ publicJwk }) => publicJwk) }
  }

  /**
   * Publishes a key now and signs with it once every resource server can know it. The keys of before stay published until
   * the last token that they signed has expired.
   *
   * @throws TypeError for an unfit key
   */
  async rotate(jwk: SigningJwk): Promise<{ kid: string; signsAt: number }> {
    // One after the other: two at a time would not see each other's `kid`, and a set with one twice is refused everywhere.
    const rotation = this.#rotation.then(async () => this.#rotate(jwk))
    this.#rotation = rotation.catch(() => undefined)
    return rotation
  }

  async #rotate(jwk: SigningJwk): Promise<{ kid: string; signsAt: number }> {
    const signsAt = this.#clock.now() + publishAheadMs
    const entry = toEntry('rotateSigningKey', jwk, signsAt)
    const { signer } = await entry.loaded()
    const { keys } = await this.jwks()
    if (keys.some(({ kid }) => kid === signer.kid)) {
      throw keyError('rotateSigningKey', 'has the "kid" of a key that is published already')
    }
    for (const older of this.#entries) {
      older.publishedUntilMs = Math.min(older.publishedUntilMs, signsAt + this.#tokenLifetimeMs)
    }
    this.#entries = [entry, ...this.#published()]
    return { kid: signer.kid, signsAt }
  }

  #published(): Entry[] {
    const now = this.#clock.now()
    return this.#entries.filter(({ publishedUntilMs }) => publishedUntilMs > now)
  }
}

/** The `kid`s of keys that this process has made. A bounded handful: each takes milliseconds to make. */
const madeHere = new Set<string>()

/** Whether a key was made in this process, so that another process, or this one after a restart, has another. */
export function isMadeHere(jwk: SigningJwk): boolean {
  return jwk.kid !== undefined && madeHere.has(jwk.kid)
}

/** Makes a private signing key, with `kid`, `alg` and `use`. Keep it secret; every process of the issuer needs the same. */
export async function generateSigningKey(algorithm = 'ES256'): Promise<SigningJwk> {
  if (!algorithms.some((known) => known === algorithm)) {
    throw new TypeError(`generateSigningKey: the algorithm must be one of ${algorithms.join(', ')}`)
  }
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint(jwk)
  madeHere.add(kid)
  return { ...jwk, kid, alg: algorithm, use: 'sig' }
}
