import { randomUUID } from 'node:crypto'
import { SignJWT } from 'jose/jwt/sign'
import type { Clock } from '../../clock.ts'
import { UnavailableError } from '../../errors.ts'
import { type Fetch, FetchFailed, fetchJson, type FetchRequest } from '../keys/fetch-json.ts'
import { discoverEndpoint, DiscoveryRefused } from '../keys/metadata.ts'
import type { IntrospectionSettings } from './options.ts'

export interface EndpointDeps {
  readonly clock: Clock
  readonly fetch: Fetch
}

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const assertionLifetimeSeconds = 60
/** The least pause of `ready` between two attempts. */
const minPauseMs = 100

/** @see RFC 6749 §2.3.1: both parts are form-encoded before they are joined */
function basicOf(clientId: string, secret: string): string {
  const encode = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1)
  return `Basic ${Buffer.from(`${encode(clientId)}:${encode(secret)}`).toString('base64')}`
}

/** What an operator has to look at. */
function hintOf(status: number | undefined): string {
  return status === 401 || status === 403
    ? '. That is about this server, not about the token: see "clientId" and what proves it in the option "introspection"'
    : ''
}

/** The introspection endpoint of an issuer. At most so many calls at once, each within its time. */
export class IntrospectionEndpoint {
  readonly #issuer: string
  readonly #settings: IntrospectionSettings
  readonly #deps: EndpointDeps
  readonly #calls = new Set<AbortController>()
  readonly #ending = new AbortController()
  #url: URL | undefined
  #discovering: Promise<URL> | undefined
  #failure: unknown
  #failedAtMs = Number.NEGATIVE_INFINITY

  constructor(issuer: string, settings: IntrospectionSettings, deps: EndpointDeps) {
    this.#issuer = issuer
    this.#settings = settings
    this.#deps = deps
    this.#url = settings.endpoint
  }

  /**
   * Asks about one token.
   *
   * @returns the JSON of the answer, whatever it is
   * @throws UnavailableError for anything but a 200 with JSON in time, a 401 to us included
   * @see RFC 7662 §2.1
   */
  async ask(token: string): Promise<unknown> {
    const { timeoutMs, maxConcurrent } = this.#settings
    if (this.#ending.signal.aborted) throw this.#unavailable('was closed with the guard')
    if (this.#calls.size >= maxConcurrent)
      throw this.#unavailable(`is being asked ${maxConcurrent} times already ("maxConcurrent")`)
    const call = new AbortController()
    this.#calls.add(call)
    const timer = setTimeout(() => {
      call.abort()
    }, timeoutMs)
    timer.unref()
    try {
      // A "fetch" of the application may not heed the signal.
      const late = new Promise<never>((_resolve, reject) => {
        call.signal.addEventListener('abort', () => {
          reject(new FetchFailed('did not answer in time'))
        })
      })
      return await Promise.race([this.#call(token, call.signal), late])
    } catch (error) {
      throw this.#toUnavailable(error)
    } finally {
      clearTimeout(timer)
      this.#calls.delete(call)
    }
  }

  /**
   * Resolves when the address of the endpoint is known, however often its discovery has to be repeated.
   *
   * @throws UnavailableError when repeating is no use: the metadata names no endpoint, or the guard was closed
   */
  async ready(): Promise<void> {
    for (;;) {
      try {
        await this.#address()
        return
      } catch (error) {
        const isFinal = error instanceof DiscoveryRefused || this.#ending.signal.aborted
        if (isFinal) throw this.#toUnavailable(error)
      }
      await this.#pause(Math.max(this.#cooldownLeftMs(), minPauseMs))
    }
  }

  close(): void {
    this.#ending.abort()
    for (const call of this.#calls) call.abort()
  }

  async #call(token: string, signal: AbortSignal): Promise<unknown> {
    const url = this.#url ?? (await this.#address())
    return fetchJson(this.#deps.fetch, url, signal, await this.#request(token))
  }

  async #request(token: string): Promise<FetchRequest> {
    const { clientId, credential } = this.#settings
    const form = new URLSearchParams({ token, token_type_hint: 'access_token' })
    const headers: Record<string, string> = {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
    }
    switch (credential.auth) {
      case 'basic':
        headers['authorization'] = basicOf(clientId, credential.secret)
        break
      case 'post':
        form.set('client_id', clientId)
        form.set('client_secret', credential.secret)
        break
      case 'private_key_jwt':
        form.set('client_id', clientId)
        form.set('client_assertion_type', assertionType)
        form.set('client_assertion', await this.#assertion(credential))
    }
    return { method: 'POST', headers, body: form.toString() }
  }

  /** A fresh one for each call, since issuers accept each once. @see RFC 7523 §3 */
  async #assertion({
    key,
    alg,
    kid,
  }: Extract<IntrospectionSettings['credential'], { auth: 'private_key_jwt' }>): Promise<string> {
    const { clientId } = this.#settings
    const now = Math.floor(this.#deps.clock.now() / 1000)
    return new SignJWT()
      .setProtectedHeader({ alg, kid, typ: 'JWT' })
      .setIssuer(clientId)
      .setSubject(clientId)
      .setAudience(this.#issuer)
      .setIssuedAt(now)
      .setExpirationTime(now + assertionLifetimeSeconds)
      .setJti(randomUUID())
      .sign(key)
  }

  /** Discovered once, by one request at a time; after a failure not before the cool-down is over. */
  async #address(): Promise<URL> {
    if (this.#url) return this.#url
    if (!this.#discovering && this.#cooldownLeftMs() > 0) throw this.#failure
    this.#discovering ??= this.#discover().finally(() => {
      this.#discovering = undefined
    })
    return this.#discovering
  }

  async #discover(): Promise<URL> {
    const { fetch, clock } = this.#deps
    const { timeoutMs, allowsHttp } = this.#settings.discovery
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#ending.signal])
    try {
      this.#url = await discoverEndpoint(
        'introspection_endpoint',
        fetch,
        this.#issuer,
        signal,
        allowsHttp,
      )
      return this.#url
    } catch (error) {
      this.#failure = error
      this.#failedAtMs = clock.monotonic()
      throw error
    }
  }

  #cooldownLeftMs(): number {
    const { cooldownSeconds } = this.#settings.discovery
    return this.#failedAtMs + cooldownSeconds * 1000 - this.#deps.clock.monotonic()
  }

  /** Waits in `ready` only, and no longer than the guard is open. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#ending
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      signal.addEventListener('abort', wake)
    })
  }

  #toUnavailable(error: unknown): UnavailableError {
    if (error instanceof FetchFailed)
      return this.#unavailable(error.message + hintOf(error.status), error)
    const why = error instanceof DiscoveryRefused ? `is not known: ${error.message}` : 'failed'
    return this.#unavailable(why, error)
  }

  #unavailable(what: string, cause?: unknown): UnavailableError {
    return new UnavailableError(
      'introspection',
      `The introspection endpoint of ${this.#issuer} ${what}`,
      { cause },
    )
  }
}
