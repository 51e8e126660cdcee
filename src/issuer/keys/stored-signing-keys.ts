import { ageMs, type Clock, type Instant, instantOf } from '../../clock.ts'
import { isUnavailableError, UnavailableError } from '../../errors.ts'
import type { Emit, IssuerEvent } from '../../events.ts'
import type { KeyStore, StoredKey, StoredKeys } from '../../key-store/key-store.ts'
import type { ExternalSigningKey } from './external-key.ts'
import {
  isDue,
  isPublished,
  type IsWanted,
  type KeyRing,
  kidOf,
  merge,
  type RingRules,
  signingKey,
  tidy,
  toRing,
} from './key-ring.ts'
import {
  checkJwk,
  keyError,
  type LoadedKey,
  loadKey,
  makeKey,
  type Signer,
  type SigningJwk,
} from './signing-key.ts'
import type { IssuerKeys, RotatedKey } from './signing-keys.ts'

/** How often the store is read; all processes publish a new key within twice that. */
const maxPollMs = 4000
const minPollMs = 100
/** What was read longer ago than this many rounds is read again before it is used: the process may have stood still. */
const staleRounds = 2
/** How long a request waits before it asks a store again that has just failed. */
const retryMs = 500
/** How often several processes may get in each other's way. */
const maxAttempts = 10

export interface StoredSigningKeysDeps {
  readonly clock: Clock
  readonly emit: Emit<IssuerEvent>
}

/** What is known of the store, and when it was read. */
interface Known {
  readonly ring: KeyRing
  readonly loaded: ReadonlyMap<string, LoadedKey>
  /** The store's clock, and ours when it was asked. */
  readonly now: number
  readonly askedAt: Instant
}

/**
 * Keys that all processes of an issuer share through a store. Each reads it every few seconds, and one of them makes the next
 * key when its time has come. While the store is away, known keys go on.
 *
 * Moments are of the store's clock, counted on by the monotonic one, so a process whose own clock is set changes nothing.
 */
export class StoredSigningKeys implements IssuerKeys {
  readonly #issuer: string
  readonly #store: KeyStore
  readonly #rules: RingRules
  readonly #deps: StoredSigningKeysDeps
  readonly #pollMs: number
  #known: Known | undefined
  #syncing: Promise<void> | undefined
  /** What is read and written here is, one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #failure: { readonly error: Error; readonly monotonicMs: number } | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  /** When each key last signed here. However the store's clock jumps, its tokens are about for `keepMs` from then. */
  readonly #signedAtMs = new Map<string, number>()

  constructor(issuer: string, store: KeyStore, rules: RingRules, deps: StoredSigningKeysDeps) {
    this.#issuer = issuer
    this.#store = store
    this.#rules = rules
    this.#deps = deps
    this.#pollMs = Math.max(minPollMs, Math.min(maxPollMs, rules.publishAheadMs / 4))
  }

  async signer(): Promise<Signer> {
    const known = await this.#current()
    const key = signingKey(known.ring, this.#now(known))
    const signer = key && known.loaded.get(kidOf(key))?.signer
    if (!signer) throw new UnavailableError('signing', 'The key store holds no key that can sign')
    this.#signedAtMs.set(signer.kid, this.#deps.clock.monotonic())
    return signer
  }

  async jwks(): Promise<{ keys: LoadedKey['publicJwk'][] }> {
    const known = await this.#current()
    const now = this.#now(known)
    const wanted = known.ring.filter((key) => this.#isWanted(now)(known.ring, key))
    return {
      keys: wanted.flatMap((key) => known.loaded.get(kidOf(key))?.publicJwk ?? []),
    }
  }

  async rotate(key?: SigningJwk | ExternalSigningKey): Promise<RotatedKey> {
    const option = 'rotateSigningKey'
    if (key !== undefined && (!('d' in key) || typeof key.d !== 'string')) {
      throw keyError(option, 'must be a private JWK with "d": a key store keeps no external key')
    }
    let given: StoredKey['jwk'] | undefined
    if (key !== undefined) {
      const { jwk, algorithm } = checkJwk(option, key)
      const { kid } = (await loadKey({ jwk, algorithm })).publicJwk
      given = { ...jwk, kid, alg: algorithm, use: 'sig' }
    }
    const added = await this.#inTurn(async () =>
      this.#write((ring, now) => {
        if (given && ring.some((other) => kidOf(other) === given.kid)) {
          throw keyError(option, 'has the "kid" of a key that is published already')
        }
        return { jwk: given, signsFrom: now + this.#rules.publishAheadMs }
      }),
    )
    if (!added) throw new UnavailableError('signing', 'The new signing key could not be stored')
    return { kid: kidOf(added), signsAt: added.signsFrom }
  }

  /**
   * @throws KeysRefused where the stored keys must not be used, such as with another encryption key
   * @throws UnavailableError where the store cannot be read
   */
  async ready(): Promise<void> {
    await this.#sync()
    if (!this.#known) throw this.#failure?.error ?? this.#unavailable()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#turn
    await this.#store.close()
  }

  #now({ now, askedAt }: Known): number {
    return now + this.#deps.clock.monotonic() - askedAt.monotonicMs
  }

  #isWanted(now: number): IsWanted {
    const { keepMs } = this.#rules
    return (ring, key) => {
      const signedAtMs = this.#signedAtMs.get(kidOf(key)) ?? Number.NEGATIVE_INFINITY
      return (
        isPublished(ring, key, now, keepMs) || this.#deps.clock.monotonic() - signedAtMs < keepMs
      )
    }
  }

  /** What is known, read again where the process has stood still. @throws UnavailableError where nothing is known */
  async #current(): Promise<Known> {
    const { clock } = this.#deps
    if (!this.#known) {
      const failedAtMs = this.#failure?.monotonicMs ?? Number.NEGATIVE_INFINITY
      if (clock.monotonic() - failedAtMs >= retryMs) await this.#sync()
    } else if (!this.#failure && ageMs(this.#known.askedAt, clock) > this.#pollMs * staleRounds) {
      await this.#sync()
    }
    if (this.#known) return this.#known
    throw this.#unavailable()
  }

  #unavailable(): UnavailableError {
    const error = this.#failure?.error
    if (isUnavailableError(error)) return error
    const why = error ? `: ${error.message}` : ''
    return new UnavailableError('signing', `No signing key is known${why}`)
  }

  async #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  /** One round at a time; never rejects: what went wrong is kept in `#failure`. */
  async #sync(): Promise<void> {
    if (this.#isClosed) {
      this.#note(new UnavailableError('signing', 'The issuer was closed'))
      return
    }
    return (this.#syncing ??= this.#inTurn(async () => this.#round()).finally(() => {
      this.#syncing = undefined
      this.#schedule()
    }))
  }

  async #round(): Promise<void> {
    try {
      await this.#write((ring, now) =>
        ring.length === 0
          ? { jwk: undefined, signsFrom: now }
          : isDue(ring, now, this.#rules)
            ? { jwk: undefined, signsFrom: now + this.#rules.publishAheadMs }
            : undefined,
      )
      this.#failure = undefined
    } catch (error) {
      this.#note(error)
    }
  }

  /** Told once for each failure that lasts. */
  #note(error: unknown): void {
    const failure = error instanceof Error ? error : new Error('unknown')
    const { message } = failure
    const before = this.#failure?.error.message
    this.#failure = { error: failure, monotonicMs: this.#deps.clock.monotonic() }
    if (before === message) return
    this.#deps.emit({ type: 'signing_keys.failed', message, known: this.#known !== undefined })
  }

  /**
   * Reads, and writes where something is to be changed: a key to be added, one that was lost, one that is gone. Of several
   * processes that do so at once one succeeds; the others read what it wrote.
   *
   * @param addition - the key to add, if any; `jwk: undefined` has one made
   * @returns the key that this process has added
   */
  async #write(
    addition: (
      ring: KeyRing,
      now: number,
    ) => { jwk: StoredKey['jwk'] | undefined; signsFrom: number } | undefined,
  ): Promise<StoredKey | undefined> {
    let made: StoredKey['jwk'] | undefined
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const askedAt = instantOf(this.#deps.clock)
      const stored = await this.#store.read(this.#issuer)
      const { now, revision, keys = [] } = stored
      const isWanted = this.#isWanted(now)
      const merged = merge(keys, this.#known?.ring ?? [], isWanted)
      const kept = tidy(merged, now, this.#rules, isWanted)
      const wanted = addition(kept, now)
      const added = wanted && {
        jwk: wanted.jwk ?? (made ??= await makeKey(this.#store.algorithm)),
        publishedAt: now,
        signsFrom: wanted.signsFrom,
      }
      const ring = added ? toRing([added, ...kept]) : kept
      const isChanged = revision === '' || JSON.stringify(ring) !== JSON.stringify(toRing(keys))
      if (isChanged) {
        try {
          if (!(await this.#store.replace(this.#issuer, revision, ring))) continue
        } catch (error) {
          // A store that is full can still be read.
          if (merged.length > 0) await this.#adopt(merged, stored, askedAt)
          throw error
        }
      }
      await this.#adopt(ring, stored, askedAt)
      if (added) {
        const signsAt = added.signsFrom
        this.#deps.emit({ type: 'signing_key.created', kid: kidOf(added), signsAt })
      }
      return added
    }
    throw new UnavailableError('signing', 'Other processes keep changing the signing keys')
  }

  /** Keys that stay are not imported again. */
  async #adopt(ring: KeyRing, { now }: StoredKeys, askedAt: Instant): Promise<void> {
    const before = new Map(this.#known?.ring.map((key) => [kidOf(key), key]))
    const loaded = new Map<string, LoadedKey>()
    for (const key of ring) {
      const kid = kidOf(key)
      const known = this.#known?.loaded.get(kid)
      const isSame = JSON.stringify(before.get(kid)?.jwk) === JSON.stringify(key.jwk)
      loaded.set(kid, isSame && known ? known : await loadKey(checkJwk('keyStore', key.jwk)))
    }
    this.#known = { ring, loaded, now, askedAt }
    for (const kid of this.#signedAtMs.keys()) if (!loaded.has(kid)) this.#signedAtMs.delete(kid)
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    // Not all processes at the same moment.
    const delayMs = this.#pollMs * (0.75 + Math.random() / 4)
    this.#timer = setTimeout(() => void this.#sync(), delayMs)
    this.#timer.unref()
  }
}
