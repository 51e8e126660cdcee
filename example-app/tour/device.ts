import type { Servers } from '../servers.ts'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { demoPasswords } from '../people.ts'
import { expectEqual } from './narrator.ts'

export interface Tokens {
  access_token: string
  refresh_token: string
}

/** One device of one person, and the tokens that it holds. */
export class Device {
  readonly #servers: Servers
  readonly #person: string
  readonly #name: string
  #tokens: Tokens | undefined

  constructor(servers: Servers, person: string, name: string) {
    this.#servers = servers
    this.#person = person
    this.#name = name
  }

  get tokens(): Tokens {
    if (!this.#tokens) throw new Error(`${this.#person} is not signed in on the ${this.#name}`)
    return this.#tokens
  }

  async trySignIn(): Promise<Response> {
    return fetch(`${this.#servers.loginUrl}/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        name: this.#person,
        password: demoPasswords[this.#person],
        device: this.#name,
      }),
    })
  }

  async signIn(): Promise<void> {
    const answer = await this.trySignIn()
    expectEqual(`${this.#person} signs in on the ${this.#name}`, answer.status, 200)
    this.#tokens = (await answer.json()) as Tokens
  }

  /** Goes on with tokens that were had elsewhere. */
  takeUp(tokens: Tokens): void {
    this.#tokens = tokens
  }

  /** Exchanges a refresh token, the current one unless told otherwise, and keeps what comes back. */
  async refresh(
    token = this.tokens.refresh_token,
    more: Record<string, string> = {},
  ): Promise<Response> {
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token, ...more })
    const answer = await fetch(`${this.#servers.loginUrl}/token`, { method: 'POST', body })
    if (answer.ok) this.#tokens = (await answer.clone().json()) as Tokens
    return answer
  }

  /** RFC 7009, for one access token. */
  async revoke(token: string): Promise<Response> {
    const body = new URLSearchParams({ token })
    return fetch(`${this.#servers.loginUrl}/revoke`, { method: 'POST', body })
  }

  /** Calls any of the servers with the access token. */
  async call(url: string, init: RequestInit = {}): Promise<Response> {
    return this.callWith(this.tokens.access_token, url, init)
  }

  async callWith(token: string, url: string, init: RequestInit = {}): Promise<Response> {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` }
    return fetch(url, { ...init, headers })
  }

  /** The status of every API server in turn, as one number where they agree: `200`, or `200/401`. */
  async readNotes(token = this.tokens.access_token): Promise<string> {
    const statuses = new Set<number>()
    for (const api of this.#servers.apiUrls) {
      const answer = await this.callWith(token, `${api}/notes`)
      await answer.arrayBuffer()
      statuses.add(answer.status)
    }
    return [...statuses].join('/')
  }

  /** Reads until every API server gives an answer, for up to a second: of a theft, or a logout elsewhere, they hear while it is answered. */
  async readUntil(status: string, token = this.tokens.access_token): Promise<string> {
    const until = performance.now() + 1000
    let answer = await this.readNotes(token)
    while (answer !== status && performance.now() < until) answer = await this.readNotes(token)
    return answer
  }

  async addNote(text: string): Promise<Response> {
    const [api = ''] = this.#servers.apiUrls
    return this.call(`${api}/notes`, { method: 'POST', body: JSON.stringify({ text }) })
  }

  /** Opens one event stream on each API server. `closed` resolves when the last of them was closed by its server. */
  async openStreams(): Promise<{ closed: Promise<number> }> {
    const answers = await Promise.all(
      this.#servers.apiUrls.map(async (api) => this.call(`${api}/live`)),
    )
    for (const answer of answers) expectEqual('the event stream opens', answer.status, 200)
    const ends = Promise.all(answers.map(async (answer) => answer.text()))
    return { closed: ends.then(() => performance.now()) }
  }

  /**
   * Opens one WebSocket on each API server, with the token as a subprotocol, as a page does. `closed` resolves when the last
   * of them was closed, with the codes.
   */
  async openSockets(): Promise<{ closed: Promise<{ at: number; codes: string }> }> {
    const sockets = this.#servers.apiUrls.map(
      (api) =>
        new WebSocket(`${api.replace(/^http/, 'ws')}/live`, [
          'notes.v1',
          `bearer.${this.tokens.access_token}`,
        ]),
    )
    await Promise.all(sockets.map(async (socket) => once(socket, 'message')))
    const ends = sockets.map(async (socket) => (await once(socket, 'close')) as [number])
    const closed = Promise.all(ends).then((codes) => ({
      at: performance.now(),
      codes: [...new Set(codes.map(([code]) => code))].join('/'),
    }))
    return { closed }
  }
}
