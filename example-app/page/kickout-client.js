/** The session is over: somebody ended it, or it ran out. Only signing in again helps. */
export class SignedOut extends Error {
  constructor() {
    super('The session is over')
    this.name = 'SignedOut'
  }
}

/** One name for all tabs of this origin, since they share the cookie. */
const lockName = 'kickout-refresh'
const maxAttempts = 6

/**
 * Talks to a login service in cookie mode, and with its access tokens to APIs.
 *
 * - The access token lives in this object only. A reload begins with a refresh, by the cookie that no script can read.
 * - One refresh at a time, across all tabs: each refresh replaces the token in the cookie.
 * - A 401 is answered by one refresh and one more try; a refused refresh means signed out.
 * - A 503 is a server that cannot tell right now. It costs a wait, never the session.
 *
 * Events: `signed-in`, `token` (a fresh one for the same session), `signed-out`.
 */
export class KickoutClient extends EventTarget {
  /** @type {string | undefined} */
  #accessToken
  /** @type {Promise<void> | undefined} */
  #refreshing

  /** What the access token says, for display. It is for the API to judge. @returns {Record<string, any> | undefined} */
  get claims() {
    return this.#accessToken === undefined ? undefined : readClaims(this.#accessToken)
  }

  /** Takes up the session of the cookie. @returns {Promise<boolean>} whether there is one */
  async resume() {
    try {
      await this.refresh()
      return true
    } catch (error) {
      if (error instanceof SignedOut) return false
      throw error
    }
  }

  /** @param {{ name: string, password: string, device: string }} credentials @returns {Promise<Response>} */
  async signIn(credentials) {
    return navigator.locks.request(lockName, async () => {
      const answer = await fetch('/login', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(credentials),
      })
      if (answer.ok) this.#keep((await answer.json()).access_token)
      return answer
    })
  }

  async signOut() {
    await navigator.locks.request(lockName, async () => {
      await patiently(() => fetch('/logout', { method: 'POST' }))
    })
    this.#forget()
  }

  /**
   * `fetch` with the access token.
   *
   * @param {string} url
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   * @throws {SignedOut}
   */
  async fetch(url, init = {}) {
    if (this.#accessToken === undefined) await this.refresh()
    const used = this.#accessToken
    const answer = await this.#send(url, init)
    if (answer.status !== 401) return answer
    // Another call may have refreshed while this one was on its way.
    if (this.#accessToken === used) await this.refresh()
    return this.#send(url, init)
  }

  /**
   * Gets a fresh access token.
   *
   * @throws {SignedOut} when the login service refuses
   */
  async refresh() {
    this.#refreshing ??= this.#refreshUnderLock().finally(() => {
      this.#refreshing = undefined
    })
    await this.#refreshing
  }

  async #refreshUnderLock() {
    await navigator.locks.request(lockName, async () => {
      const body = new URLSearchParams({ grant_type: 'refresh_token' })
      const answer = await patiently(() => fetch('/token', { method: 'POST', body }))
      if (answer.ok) {
        this.#keep((await answer.json()).access_token)
      } else if (answer.status >= 400 && answer.status < 500) {
        this.#forget()
        throw new SignedOut()
      } else {
        throw new Error(`The login service answered ${answer.status}`)
      }
    })
  }

  /** @param {string} url @param {RequestInit} init */
  async #send(url, init) {
    const headers = new Headers(init.headers)
    headers.set('Authorization', `Bearer ${this.#accessToken}`)
    return patiently(() => fetch(url, { ...init, headers }))
  }

  /** @param {string} accessToken */
  #keep(accessToken) {
    const before = this.claims?.sid
    this.#accessToken = accessToken
    // Another session: a new sign-in, perhaps in another tab, perhaps of somebody else.
    this.dispatchEvent(new Event(this.claims?.sid === before ? 'token' : 'signed-in'))
  }

  #forget() {
    if (this.#accessToken === undefined) return
    this.#accessToken = undefined
    this.dispatchEvent(new Event('signed-out'))
  }
}

/**
 * Repeats a request for as long as the server asks for patience.
 *
 * @param {() => Promise<Response>} request
 */
async function patiently(request) {
  for (let attempt = 1; ; attempt++) {
    const answer = await request()
    if (answer.status !== 503 || attempt === maxAttempts) return answer
    const seconds = Number(answer.headers.get('Retry-After')) || 1
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }
}

/** @param {string} token */
function readClaims(token) {
  const [, payload = ''] = token.split('.')
  const binary = atob(payload.replaceAll('-', '+').replaceAll('_', '/'))
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0))))
}
