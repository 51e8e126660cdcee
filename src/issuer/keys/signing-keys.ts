import type { JWK } from 'jose'
import type { Clock } from '../../clock.ts'
import {
  checkExternalKey,
  type ExternalSigningKey,
  isExternal,
  loadExternalKey,
} from './external-key.ts'
import {
  checkJwk,
  keyError,
  type LoadedKey,
  loadKey,
  type Signer,
  type SigningJwk,
} from './signing-key.ts'

/** How long a new key is published before it signs, seconds: see `rotation.publishAheadSeconds`. */
export const publishAheadMs = 1_200_000
/** How long resource servers accept a token past its `exp`, on both sides, milliseconds. */
export const toleranceRoomMs = 10_000

/** A key that was announced, and when it signs, milliseconds since the epoch. */
export interface RotatedKey {
  /** The `kid` of the new key. */
  kid: string
  /** From when on it signs, milliseconds since the epoch. */
  signsAt: number
}

/** The keys of an issuer: one signs, all are published. */
export interface IssuerKeys {
  /** @throws UnavailableError when no key is known */
  signer(): Promise<Signer>
  /** The public key set, RFC 7517 §5. @throws UnavailableError when no key is known */
  jwks(): Promise<{ keys: LoadedKey['publicJwk'][] }>
  /**
   * Publishes a key now and signs with it once every resource server can know it. The keys of before stay published until
   * the last token that they signed has expired.
   *
   * @throws TypeError for an unfit key
   */
  rotate(key?: SigningJwk | ExternalSigningKey): Promise<RotatedKey>
  /** Does ahead what the first request would. */
  ready(): Promise<void>
  close(): Promise<void>
}

interface Entry {
  readonly signsFromMs: number
  /** Set when another key has taken over: until then tokens signed with this one may be about. */
  publishedUntilMs: number
  readonly loaded: () => Promise<LoadedKey>
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined
  return async () => (made ??= make())
}

function toEntry(option: string, key: unknown, signsFromMs: number): Entry {
  const publishedUntilMs = Number.POSITIVE_INFINITY
  if (isExternal(key)) {
    const checked = checkExternalKey(option, key)
    return { signsFromMs, publishedUntilMs, loaded: once(async () => loadExternalKey(checked)) }
  }
  if (typeof key !== 'object' || key === null || typeof (key as JWK).d !== 'string') {
    throw keyError(
      option,
      'must be a private JWK (it has no "d"), or { publicJwk, sign }; make one with generateSigningKey(\'ES256\')',
    )
  }
  const checked = checkJwk(option, key)
  return { signsFromMs, publishedUntilMs, loaded: once(async () => loadKey(checked)) }
}

/** Without a `kid` it is the key itself that gives one. */
function nameOf(key: SigningJwk | ExternalSigningKey): string | undefined {
  const { kid, n, x } = isExternal(key) ? key.publicJwk : key
  return kid ?? n ?? x
}

/** Keys that the application has given. They are those of this process: another one is given the same. */
export class SigningKeys implements IssuerKeys {
  readonly #clock: Clock
  readonly #keepMs: number
  #entries: Entry[]
  #rotation: Promise<unknown> = Promise.resolve()

  /**
   * @param tokenLifetimeMs - how long an access token lives
   * @throws TypeError for a missing or unfit key
   */
  constructor(keys: unknown, clock: Clock, tokenLifetimeMs: number) {
    if (!Array.isArray(keys) || keys.length === 0) {
      throw keyError(
        'signingKeys',
        "must be a list of private JWKs, or of { publicJwk, sign }; make one with generateSigningKey('ES256'), or give a keyStore",
      )
    }
    this.#entries = keys.map((key, index) =>
      toEntry(`signingKeys[${index}]`, key, Number.NEGATIVE_INFINITY),
    )
    const names = keys.map(nameOf)
    if (new Set(names).size < names.length)
      throw keyError('signingKeys', 'has the same "kid" twice')
    this.#clock = clock
    this.#keepMs = tokenLifetimeMs + toleranceRoomMs
  }

  async signer(): Promise<Signer> {
    const now = this.#clock.now()
    const entry = this.#entries.find(({ signsFromMs }) => signsFromMs <= now)
    const signer = entry && (await entry.loaded()).signer
    if (!signer) throw new Error('There is no signing key')
    return signer
  }

  /** Imports every key ahead of the first request, and has external ones make a signature. */
  async ready(): Promise<void> {
    await Promise.all(
      this.#entries.map(async (entry) => {
        const { signer } = await entry.loaded()
        if (signer?.isExternal === true) await signer.sign({})
      }),
    )
  }

  async jwks(): Promise<{ keys: LoadedKey['publicJwk'][] }> {
    const loaded = await Promise.all(this.#published().map(async (entry) => entry.loaded()))
    return { keys: loaded.map(({ publicJwk }) => publicJwk) }
  }

  async rotate(key?: SigningJwk | ExternalSigningKey): Promise<RotatedKey> {
    // One after the other: two at a time would not see each other's `kid`, and a set with one twice is refused everywhere.
    const rotation = this.#rotation.then(async () => this.#rotate(key))
    this.#rotation = rotation.catch(() => undefined)
    return rotation
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }

  async #rotate(key: SigningJwk | ExternalSigningKey | undefined): Promise<RotatedKey> {
    const signsAt = this.#clock.now() + publishAheadMs
    const entry = toEntry('rotateSigningKey', key, signsAt)
    const { signer, publicJwk } = await entry.loaded()
    const { keys } = await this.jwks()
    const { kid } = publicJwk
    if (keys.some((published) => published.kid === kid)) {
      throw keyError('rotateSigningKey', 'has the "kid" of a key that is published already')
    }
    // One that cannot sign would stop all logins when its time comes.
    if (signer?.isExternal === true) await signer.sign({})
    for (const older of this.#entries) {
      older.publishedUntilMs = Math.min(older.publishedUntilMs, signsAt + this.#keepMs)
    }
    this.#entries = [entry, ...this.#published()]
    return { kid, signsAt }
  }

  #published(): Entry[] {
    const now = this.#clock.now()
    return this.#entries.filter(({ publishedUntilMs }) => publishedUntilMs > now)
  }
}
