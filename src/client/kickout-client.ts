import { type Answer, readClaims, readObject } from './answer.ts'
import { refusal, SignedOutError, UnavailableError } from './errors.ts'
import type {
  KickoutClientEvents,
  KickoutSnapshot,
  StepUpDetail,
  UnavailableDetail,
} from './events.ts'
import { type ClientSettings, type KickoutClientOptions, readOptions } from './options.ts'
import { ProofKey } from './proof-key.ts'
import { readRetryAfter, wait } from './retry-after.ts'

const maxAttempts = 4
/** Longer waits are the caller's: a promise should not hang for minutes. */
const longestWaitSeconds = 10
const idempotent = /^(GET|HEAD|OPTIONS|PUT|DELETE)$/i

/**
 * Keeps the session of a page with a login service in cookie mode, and adds its access token to calls of your APIs.
 * The token lives in this object only, in no storage. Only the login service ends the session: no answer of an API does.
 */
export class KickoutClient extends EventTarget {
  readonly #settings: ClientSettings
  readonly #listeners = new Set<() => void>()
  readonly #closing = new AbortController()
  readonly #key: ProofKey | undefined
  #snapshot: KickoutSnapshot = Object.freeze({ status: 'unknown' })
  #token: string | undefined
  #expiresAtMs = 0
  #aheadMs = 0
  #refreshing: Promise<string> | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #notBeforeMs = 0
  #channel: BroadcastChannel | undefined

  /** @throws TypeError for a wrong or an unknown option */
  constructor(options: KickoutClientOptions) {
    super()
    this.#settings = readOptions(options)
    if (this.#settings.dpop) this.#key = new ProofKey(this.#settings.refreshUrl)
    // On a server that renders pages there is no window, and nothing to listen to.
    if (typeof document === 'undefined') return
    const { signal } = this.#closing
    const wake = (): void => this.#wake(false)
    // An open channel may keep a page out of the back/forward cache.
    addEventListener('pagehide', () => this.#closeChannel(), { signal })
    addEventListener(
      'pageshow',
      ({ persisted }) => {
        this.#openChannel()
        if (persisted) this.#wake(true)
      },
      { signal },
    )
    addEventListener('online', wake, { signal })
    document.addEventListener('visibilitychange', wake, { signal })
    document.addEventListener('resume', wake, { signal })
    this.#openChannel()
  }

  /**
   * `fetch`, with the access token for `apiOrigins`. After a 401 it refreshes and tries once more; a body that is a
   * stream is not sent twice. A 503 with `Retry-After` of at most 10 seconds is tried again where the method is
   * idempotent. Every other answer is yours as it came.
   *
   * @throws SignedOutError when the session is over
   * @throws UnavailableError when a token is needed and the login service cannot give one now
   */
  readonly fetch = async (
    input: string | URL | Request,
    init: RequestInit = {},
  ): Promise<Response> => {
    const isRequest = input instanceof Request
    const url = new URL(isRequest ? input.url : input, document.baseURI)
    if (!this.#settings.apiOrigins.includes(url.origin)) return fetch(input, init)

    const method = init.method ?? (isRequest ? input.method : 'GET')
    const signal = init.signal ?? (isRequest ? input.signal : undefined)
    const isRepeatable = !(init.body instanceof ReadableStream)
    let used = await this.token()
    let isRefreshed = false
    let isNonced = false
    for (let attempt = 1; ; attempt++) {
      const headers = new Headers(init.headers ?? (isRequest ? input.headers : undefined))
      const isBound = this.#key && this.#snapshot.claims?.['cnf']
      headers.set('Authorization', `${isBound ? 'DPoP' : 'Bearer'} ${used}`)
      if (isBound) headers.set('DPoP', await this.#key.prove(method.toUpperCase(), url, used))
      const answer = await fetch(isRequest ? input.clone() : input, { ...init, headers })
      const hasNonce = this.#key?.learn(url, answer)
      if (answer.status === 401) {
        const challenge = answer.headers.get('WWW-Authenticate') ?? ''
        const parameter = (name: string): string | undefined =>
          new RegExp(`\\b${name}="?([^",]*)`, 'i').exec(challenge)?.[1]
        if (parameter('error') === 'insufficient_user_authentication') {
          const [acrValues, maxAge] = [parameter('acr_values'), parameter('max_age')]
          this.#emit('step-up', {
            ...(acrValues && { acrValues }),
            ...(maxAge && { maxAgeSeconds: Number(maxAge) }),
            url: url.href,
          })
          return answer
        }
        // A server that wants a nonce has sent it along; the next proof carries it.
        if (hasNonce && !isNonced && isRepeatable) {
          isNonced = true
          void answer.body?.cancel()
          continue
        }
        if (isRefreshed || !isRepeatable) return answer
        isRefreshed = true
        // Another call may have refreshed while this one was on its way.
        used =
          this.#token !== undefined && this.#token !== used ? this.#token : await this.#refresh()
        void answer.body?.cancel()
        continue
      }
      if (answer.status !== 503) return answer
      const seconds = readRetryAfter(answer)
      this.#emit('unavailable', {
        ...(seconds !== undefined && { retryAfterSeconds: seconds }),
        url: url.href,
      })
      const isWorthIt = seconds !== undefined && seconds <= longestWaitSeconds
      if (!isWorthIt || attempt >= maxAttempts || !isRepeatable || !idempotent.test(method)) {
        return answer
      }
      void answer.body?.cancel()
      await wait(seconds, signal)
      used = await this.token()
    }
  }

  /**
   * An access token that is good for now, for what is not a `fetch` (a WebSocket). It refreshes first where little is
   * left of the lifetime.
   *
   * @throws SignedOutError, UnavailableError as `fetch`
   */
  readonly token = async (): Promise<string> => {
    const token = this.#token
    if (this.#snapshot.status === 'signed-out') throw new SignedOutError()
    if (token === undefined) return this.#refresh()
    const leftMs = this.#expiresAtMs - Date.now()
    if (leftMs > this.#aheadMs) return token
    try {
      return await this.#refresh()
    } catch (error) {
      if (error instanceof SignedOutError || leftMs <= 0) throw error
      return token
    }
  }

  /**
   * With `dpop`: the `DPoP` header of one request of your own, such as the sign-in.
   *
   * @throws Error without the option `dpop`, or where the browser keeps no keys
   */
  readonly proof = async (url: string | URL, method = 'POST'): Promise<string> => {
    if (!this.#key) throw new Error('proof() needs the option "dpop"')
    return this.#key.prove(method, new URL(url, document.baseURI))
  }

  /**
   * Takes up the session of the cookie: call it as the page loads, and after your sign-in has set the cookie.
   *
   * @returns whether there is a session
   * @throws UnavailableError when the login service cannot tell now
   */
  readonly resume = async (): Promise<boolean> => {
    try {
      await this.#refresh()
      return true
    } catch (error) {
      if (error instanceof SignedOutError) return false
      throw error
    }
  }

  /**
   * Ends the session at the login service, for every tab.
   *
   * @throws UnavailableError when the login service did not confirm: the session then goes on, here too
   */
  readonly signOut = async (): Promise<void> => {
    const { logoutUrl } = this.#settings
    const answer = await this.#ask(logoutUrl)
    if (!answer.ok) throw refusal(answer.status, logoutUrl)
    this.#forget()
  }

  /** Calls the listener after each change of {@link snapshot}. @returns a function that ends that */
  readonly subscribe = (listener: () => void): (() => void) => {
    const entry = (): void => listener()
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  /** Where the page stands. With {@link subscribe} it fits React's `useSyncExternalStore`. */
  readonly snapshot = (): KickoutSnapshot => this.#snapshot

  /** Stops listening to the page and to other tabs. The session goes on. */
  close(): void {
    this.#closing.abort()
    this.#closeChannel()
  }

  override addEventListener<Type extends keyof KickoutClientEvents>(
    type: Type,
    listener: (event: KickoutClientEvents[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener as EventListener, options)
  }

  override removeEventListener<Type extends keyof KickoutClientEvents>(
    type: Type,
    listener: (event: KickoutClientEvents[Type]) => void,
    options?: boolean | EventListenerOptions,
  ): void {
    super.removeEventListener(type, listener as EventListener, options)
  }

  /** One at a time in this tab: all that need a token share it. */
  #refresh(): Promise<string> {
    this.#refreshing ??= this.#refreshNow().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #refreshNow(): Promise<string> {
    const { refreshUrl } = this.#settings
    const answer = await this.#ask(refreshUrl, 'grant_type=refresh_token')
    if (answer.ok) return this.#keep(answer.body)
    const code = answer.body.error
    // `invalid_request` is how a request without a refresh cookie is refused.
    if (answer.status === 400 && (code === 'invalid_grant' || code === 'invalid_request')) {
      this.#forget()
      throw new SignedOutError()
    }
    throw refusal(answer.status, refreshUrl)
  }

  /** Asks the login service, as often and as late as it allows. */
  async #ask(url: string, body?: string): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const isTooEarly = Date.now() < this.#notBeforeMs
      if (isTooEarly)
        throw new UnavailableError('The login service asked to wait before the next request')
      // The lock is held for one request, never while waiting.
      const answer = await this.#alone(() => this.#post(url, body))
      if (answer.status < 500 && answer.status !== 429) return answer
      const seconds = answer.retryAfterSeconds ?? 1
      this.#emit('unavailable', {
        ...(answer.retryAfterSeconds !== undefined && { retryAfterSeconds: seconds }),
        url,
      })
      if (seconds > longestWaitSeconds) this.#notBeforeMs = Date.now() + seconds * 1000
      if (seconds > longestWaitSeconds || attempt >= maxAttempts) return answer
      await wait(seconds)
    }
  }

  async #post(url: string, body = ''): Promise<Answer> {
    try {
      const answer = await fetch(url, {
        method: 'POST',
        credentials: 'include',
        headers: this.#key ? { DPoP: await this.proof(url) } : {},
        // The browser writes the type of a form itself.
        body: new URLSearchParams(body),
        signal: AbortSignal.timeout(this.#settings.requestTimeoutMs),
      })
      const text = await answer.text()
      const { ok, status } = answer
      return { ok, status, retryAfterSeconds: readRetryAfter(answer), body: readObject(text) }
    } catch (cause) {
      this.#emit('unavailable', { url })
      throw new UnavailableError('The login service cannot be reached', { cause })
    }
  }

  /** One request to the login service at a time: in this tab by a queue, across tabs by a Web Lock. */
  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#queue.then(() => this.#locked(work))
    this.#queue = turn.catch(() => undefined)
    return turn
  }

  async #locked<Result>(work: () => Promise<Result>): Promise<Result> {
    const locks = navigator.locks as LockManager | undefined
    if (!locks) return work()
    const waiting = new AbortController()
    const timer = setTimeout(() => waiting.abort(), this.#settings.lockTimeoutMs)
    let running: Promise<Result> | undefined
    try {
      const name = `express-kickout:${this.#settings.refreshUrl}`
      await locks.request(name, { signal: waiting.signal }, () => {
        clearTimeout(timer)
        running = work()
        // The outcome is read below; here the lock only has to be freed.
        return running.then(undefined, () => undefined)
      })
    } catch {
      // Another tab keeps the lock, or the browser has taken it away: go on without it.
    } finally {
      clearTimeout(timer)
    }
    return running ?? work()
  }

  #keep({ access_token: token, expires_in: lifetime }: Record<string, unknown>): string {
    const claims = typeof token === 'string' ? readClaims(token) : undefined
    if (typeof token !== 'string' || !claims || !(Number(lifetime) > 0)) {
      throw new UnavailableError('The login service answered without an access token')
    }
    const before = this.#snapshot
    const lifetimeMs = Number(lifetime) * 1000
    this.#token = token
    // By the time of receipt, not by `exp`: the clock of this machine may be wrong.
    this.#expiresAtMs = Date.now() + lifetimeMs
    this.#aheadMs = Math.min(this.#settings.refreshAheadMs, lifetimeMs / 2)
    this.#change({ status: 'signed-in', claims })
    if (before.status !== 'signed-in' || before.claims?.sid !== claims.sid) {
      this.#channel?.postMessage({ type: 'signed-in', sid: claims.sid })
      this.#emit('signed-in')
    }
    return token
  }

  #forget(isNews = true): void {
    const { status, claims } = this.#snapshot
    this.#token = undefined
    if (status === 'signed-out') return
    this.#change({ status: 'signed-out' })
    if (status !== 'signed-in') return
    if (isNews) this.#channel?.postMessage({ type: 'signed-out', sid: claims?.sid })
    this.#emit('signed-out')
  }

  #change(snapshot: KickoutSnapshot): void {
    this.#snapshot = Object.freeze(snapshot)
    for (const listener of this.#listeners) {
      try {
        listener()
      } catch (error) {
        reportError(error)
      }
    }
  }

  #emit(type: keyof KickoutClientEvents, detail?: StepUpDetail | UnavailableDetail): void {
    this.dispatchEvent(detail ? new CustomEvent(type, { detail }) : new Event(type))
  }

  /** A page that was frozen, offline or in the back/forward cache asks before it shows old things as true. */
  #wake(wasAway: boolean): void {
    if (document.visibilityState === 'hidden' || this.#snapshot.status !== 'signed-in') return
    if (wasAway || Date.now() >= this.#expiresAtMs - this.#aheadMs) {
      this.#refresh().catch(() => undefined)
    }
  }

  #openChannel(): void {
    if (this.#channel) return
    this.#channel = new BroadcastChannel(`express-kickout:${this.#settings.refreshUrl}`)
    this.#channel.onmessage = ({ data }: MessageEvent<{ type: string; sid?: string }>) => {
      const { status, claims } = this.#snapshot
      const isMine = data.sid === claims?.sid
      if (data.type === 'signed-out' && status === 'signed-in' && isMine) this.#forget(false)
      if (data.type === 'signed-in' && status !== 'unknown' && !isMine) {
        this.#refresh().catch(() => undefined)
      }
    }
  }

  #closeChannel(): void {
    this.#channel?.close()
    this.#channel = undefined
  }
}
