import type { Clock } from '../../clock.ts'
import { AuthError, UnavailableError } from '../../errors.ts'
import type { Emit, GuardEvent } from '../../events.ts'
import { discoverEndpoint, DiscoveryRefused } from './metadata.ts'
import { type Fetch, fetchJson } from './fetch-json.ts'
import { importJwks, type VerificationKey } from './jwks.ts'

/** How long keys are kept and how often they are asked for. */
export interface JwksCacheOptions {
  /**
   * Keys older than this are due for a refresh; it starts ahead of time, in the background. Seconds.
   *
   * @defaultValue 600
   */
  maxAgeSeconds?: number
  /**
   * The least time between two fetches because of an unknown `kid`, and after a failed fetch. Seconds, never above
   * `maxAgeSeconds`. Meanwhile a token with an unknown `kid` is 503: it may be signed with the newest key.
   *
   * @defaultValue 30
   */
  cooldownSeconds?: number
  /**
   * The whole of one fetch, discovery and body included. Milliseconds.
   *
   * @defaultValue 5000
   */
  timeoutMs?: number
  /**
   * How long known keys go on working while the endpoint is down, since they were last fetched. Seconds; less than
   * `maxAgeSeconds` counts as that much.
   *
   * @defaultValue 86400
   */
  maxStaleSeconds?: number
}

export interface KeySetSettings {
  readonly issuer: string
  /** Where the keys are: given outright, at an address, or to be discovered. */
  readonly source:
    | { readonly kind: 'given'; readonly jwks: unknown }
    /** `first`: a first set, used until the first fetch has succeeded. */
    | { readonly kind: 'address'; readonly url: URL; readonly first?: unknown }
    | { readonly kind: 'discovery' }
  /** Whether `http:` addresses on any host are accepted. */
  readonly allowsHttp?: boolean
  readonly algorithms: ReadonlySet<string>
  readonly cache: Required<JwksCacheOptions>
}

export interface KeySetDeps {
  readonly clock: Clock
  readonly fetch: Fetch
  readonly emit: Emit<GuardEvent>
}

/** Refreshes start when keys have reached this share of their age, so that a request never waits for one. */
const refreshAhead = 0.8
const maxTimerMs = 2 ** 31 - 1
/** The background retries no faster than this, whatever the cool-down: a refused connection fails at once. */
const minTimerMs = 100

/** How many unknown names are remembered between two fetches. */
const maxAskedKids = 1000
/** How many names of keys that left a set are remembered. */
const maxRetiredKids = 256
/** How many keys a token without a `kid` is tried with. */
const maxKeysWithoutKid = 4

/** At least one key. */
export type FoundKeys = readonly [VerificationKey, ...VerificationKey[]]

function toFoundKeys(keys: readonly VerificationKey[]): FoundKeys | undefined {
  const [first, ...others] = keys
  return first && [first, ...others]
}

/**
 * One issuer's keys. Refreshed ahead of time by a timer of its own (which keeps no process alive); while the endpoint is
 * down, known keys go on working; unknown `kid`s cause at most one fetch per cool-down, which tokens with known keys
 * never wait for.
 */
export class KeySet {
  readonly #settings: KeySetSettings
  readonly #deps: KeySetDeps
  readonly #cooldownMs: number
  readonly #lifetimeMs: number
  #keys: readonly VerificationKey[] = []
  #byKid = new Map<string, readonly VerificationKey[]>()
  /** Names of keys that left the set: a token that bears one is not signed with a new key. */
  readonly #retiredKids = new Set<string>()
  /** Names that the last fetch was made for, or was under way for, and that it did not bring. */
  readonly #askedKids = new Set<string>()
  #discovered: URL | undefined
  #fetchedAtMs = Number.NEGATIVE_INFINITY
  #attemptedAtMs = Number.NEGATIVE_INFINITY
  #failure: Error | undefined
  #refreshing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #ending = new AbortController()
  /** Whether the keys are the first set that was given beside an address. */
  #holdsFirst = false
  /** One for each `ready` that waits. */
  readonly #waiting = new Set<() => void>()

  constructor(settings: KeySetSettings, deps: KeySetDeps) {
    this.#settings = settings
    this.#deps = deps
    const { cache } = settings
    this.#cooldownMs = Math.min(cache.cooldownSeconds, cache.maxAgeSeconds) * 1000
    this.#lifetimeMs = Math.max(cache.maxAgeSeconds, cache.maxStaleSeconds) * 1000
  }

  /** Whether the keys are young enough to be trusted. Checked for cached tokens too. */
  isUsable(): boolean {
    if (this.#keys.length === 0) return false
    if (this.#settings.source.kind === 'given') return true
    return this.#deps.clock.monotonic() - this.#fetchedAtMs <= this.#lifetimeMs
  }

  get #closed(): boolean {
    return this.#ending.signal.aborted
  }

  /**
   * Finds the keys that may have signed a token: the one that its header names, or up to four that fit where it names
   * none. At once where they are held.
   *
   * @throws AuthError `unknown_key`, or `algorithm` where the key is not one for it
   * @throws UnavailableError while no usable key is held, or an unknown `kid` may be a new key that could not be fetched
   */
  find(algorithm: string, kid: string | undefined): FoundKeys | Promise<FoundKeys> {
    const held = this.isUsable() ? this.#select(algorithm, kid) : undefined
    return held ?? this.#fetchKeys(algorithm, kid)
  }

  async #fetchKeys(algorithm: string, kid: string | undefined): Promise<FoundKeys> {
    const isGiven = this.#settings.source.kind === 'given'
    const wasUsable = this.isUsable()
    const wasAsked = isGiven && wasUsable ? true : await this.#refreshOnDemand(wasUsable)
    this.assertUsable()
    const fresh = this.#select(algorithm, kid)
    if (fresh) return fresh
    // A provider may sign with a new key right after the last fetch. Until it can be asked again, nothing is known.
    if (wasAsked && kid !== undefined && this.#askedKids.size < maxAskedKids)
      this.#askedKids.add(kid)
    const isKnownToBeOff =
      kid === undefined || this.#askedKids.has(kid) || this.#retiredKids.has(kid)
    const mayBeNew = !wasAsked && !isKnownToBeOff
    if (this.#failure || mayBeNew) throw this.#unavailable('The key of the token may be new')
    throw new AuthError(
      'invalid_token',
      'unknown_key',
      "No key of the issuer matches the token's kid and alg",
    )
  }

  /** @throws UnavailableError when no usable key is held */
  assertUsable(): void {
    if (!this.isUsable()) throw this.#unavailable('No usable key is held')
  }

  /**
   * Resolves when keys are held, however often fetching them has to be repeated.
   *
   * @throws Error when repeating is no use: the metadata is of another issuer, or the set was closed
   */
  async ready(): Promise<void> {
    while (!this.isUsable()) {
      if (this.#closed) throw this.#unavailable('The guard was closed')
      await this.#refreshOnDemand(false)
      if (this.isUsable()) return
      if (this.#failure instanceof DiscoveryRefused || this.#settings.source.kind === 'given') {
        throw this.#unavailable('No usable key can be had')
      }
      await this.#pause(this.#cooldownLeftMs())
    }
  }

  close(): void {
    this.#ending.abort()
    clearTimeout(this.#timer)
    for (const wake of this.#waiting) wake()
  }

  /** A pause within `ready`. Its timer keeps the process running, since the caller awaits it. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, Math.min(Math.max(ms, 10), maxTimerMs))
      this.#waiting.add(wake)
    })
  }

  #select(algorithm: string, kid: string | undefined): FoundKeys | undefined {
    const named = kid === undefined ? this.#keys : this.#byKid.get(kid)
    const fitting = named?.filter((key) => key.fits(algorithm)) ?? []
    if (kid === undefined) {
      return fitting.length <= maxKeysWithoutKid ? toFoundKeys(fitting) : undefined
    }
    if (named && fitting.length === 0) {
      throw new AuthError(
        'invalid_token',
        'algorithm',
        'The key of the token is not one for its algorithm',
      )
    }
    if (fitting.length > 1)
      throw this.#unavailable('The issuer publishes different keys under the kid of the token')
    return toFoundKeys(fitting)
  }

  #cooldownLeftMs(): number {
    return this.#attemptedAtMs + this.#cooldownMs - this.#deps.clock.monotonic()
  }

  /**
   * @param isForUnknownKey - whether keys are held, and none of them fits: such a fetch starts a cool-down
   * @returns whether the issuer was asked
   */
  async #refreshOnDemand(isForUnknownKey: boolean): Promise<boolean> {
    if (this.#refreshing) {
      await this.#refreshing
      return true
    }
    if (this.#closed || this.#cooldownLeftMs() > 0) return false
    await this.#refresh(isForUnknownKey)
    return true
  }

  /** One at a time; never rejects: what went wrong is kept in `#failure`. */
  async #refresh(isForUnknownKey = false): Promise<void> {
    return (this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = undefined
      // An ordinary fetch that succeeds starts no cool-down: a key that is new right after it can be fetched at once.
      if (isForUnknownKey || this.#failure) this.#attemptedAtMs = this.#deps.clock.monotonic()
      this.#schedule()
    }))
  }

  async #load(): Promise<void> {
    const { issuer, algorithms } = this.#settings
    const startedAtMs = this.#deps.clock.monotonic()
    const duration = (): { durationMs?: number } =>
      this.#holdsFirst || this.#settings.source.kind === 'given'
        ? {}
        : { durationMs: this.#deps.clock.monotonic() - startedAtMs }
    try {
      const { keys, dropped } = await importJwks(await this.#document(), algorithms)
      this.#replace(keys)
      this.#failure = undefined
      const facts = { issuer, keys: keys.length, dropped, ...duration() }
      this.#deps.emit({ type: 'jwks.refreshed', ...facts })
    } catch (error) {
      if (this.#closed) return
      this.#failure = error instanceof Error ? error : new Error('unknown')
      this.#discovered = undefined
      const { message } = this.#failure
      this.#deps.emit({ type: 'jwks.failed', issuer, message, ...duration() })
    }
  }

  async #document(): Promise<unknown> {
    const { source, issuer, cache } = this.#settings
    if (source.kind === 'given') return source.jwks
    if (source.kind === 'address' && source.first !== undefined && this.#keys.length === 0) {
      this.#holdsFirst = true
      return source.first
    }
    this.#holdsFirst = false
    // A fetch that is under way must not keep a process up that has closed the guard.
    const signal = AbortSignal.any([AbortSignal.timeout(cache.timeoutMs), this.#ending.signal])
    const { fetch } = this.#deps
    if (source.kind === 'address') return fetchJson(fetch, source.url, signal)
    this.#discovered ??= await discoverEndpoint(
      'jwks_uri',
      fetch,
      issuer,
      signal,
      this.#settings.allowsHttp,
    )
    return fetchJson(fetch, this.#discovered, signal)
  }

  /** Keys that stay keep their identity; keys that left are retired, and with them every token that they verified. */
  #replace(keys: readonly VerificationKey[]): void {
    const held = new Map(this.#keys.map((key) => [key.identity, key]))
    const next = keys.map((key) => held.get(key.identity) ?? key)
    const staying = new Set(next)
    for (const key of this.#keys) if (!staying.has(key)) key.retired = true
    for (const { kid, retired } of this.#keys) {
      if (retired && kid !== undefined) this.#retiredKids.add(kid)
    }
    for (const kid of this.#retiredKids) {
      const isBack = next.some((key) => key.kid === kid)
      if (isBack || this.#retiredKids.size > maxRetiredKids) this.#retiredKids.delete(kid)
    }
    this.#askedKids.clear()
    this.#keys = next
    this.#byKid = new Map(
      next.flatMap(({ kid }) =>
        kid === undefined ? [] : [[kid, next.filter((key) => key.kid === kid)]],
      ),
    )
    this.#fetchedAtMs = this.#deps.clock.monotonic()
  }

  #schedule(): void {
    if (this.#closed || this.#settings.source.kind === 'given') return
    const { maxAgeSeconds } = this.#settings.cache
    const afterSuccess = Math.max(maxAgeSeconds * 1000 * refreshAhead, this.#cooldownMs)
    const delayMs = this.#holdsFirst ? 0 : this.#failure ? this.#cooldownMs : afterSuccess
    clearTimeout(this.#timer)
    const dueMs = Math.min(Math.max(delayMs, minTimerMs), maxTimerMs)
    this.#timer = setTimeout(() => void this.#refresh(), dueMs)
    this.#timer.unref()
  }

  #unavailable(what: string): UnavailableError {
    const why = this.#failure ? `: ${this.#failure.message}` : ''
    return new UnavailableError('jwks', `${what} (issuer ${this.#settings.issuer})${why}`, {
      retryAfterSeconds: this.#cooldownLeftMs() / 1000,
      cause: this.#failure,
    })
  }
}
