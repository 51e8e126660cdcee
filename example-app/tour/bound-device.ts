import { generateKeyPair, generateProof, type KeyPair } from 'dpop'
import { demoPasswords } from '../people.ts'
import type { Servers } from '../servers.ts'
import { expectEqual } from './narrator.ts'
import type { Tokens } from './device.ts'

/** A device with a key that never leaves it. Its tokens are bound to the key. */
export class BoundDevice {
  readonly #servers: Servers
  readonly #keys: KeyPair
  #tokens: Tokens | undefined

  private constructor(servers: Servers, keys: KeyPair) {
    this.#servers = servers
    this.#keys = keys
  }

  /** With a key that cannot be exported, not even by this program. */
  static async create(servers: Servers): Promise<BoundDevice> {
    return new BoundDevice(servers, await generateKeyPair('ES256', { extractable: false }))
  }

  get tokens(): Tokens {
    if (!this.#tokens) throw new Error('The device is not signed in')
    return this.#tokens
  }

  /** A proof for one request, and for one token where it carries one. */
  async prove(method: string, url: string, token?: string): Promise<string> {
    return generateProof(this.#keys, url, method, undefined, token)
  }

  async signIn(person: string, device: string): Promise<void> {
    const url = `${this.#servers.loginUrl}/login`
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', DPoP: await this.prove('POST', url) },
      body: JSON.stringify({ name: person, password: demoPasswords[person], device }),
    })
    expectEqual(`${person} signs in on the ${device}`, answer.status, 200)
    this.#tokens = (await answer.json()) as Tokens
  }

  async refresh(token = this.tokens.refresh_token): Promise<Response> {
    const url = `${this.#servers.loginUrl}/token`
    const answer = await fetch(url, {
      method: 'POST',
      headers: { DPoP: await this.prove('POST', url) },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }),
    })
    if (answer.ok) this.#tokens = (await answer.clone().json()) as Tokens
    return answer
  }

  /** The statuses of every API server in turn, as one where they agree. */
  async readNotes(token = this.tokens.access_token): Promise<string> {
    const statuses = new Set<number>()
    for (const api of this.#servers.apiUrls) {
      const url = `${api}/notes`
      const dpop = await this.prove('GET', url, token)
      statuses.add(await readNotesWith(url, { Authorization: `DPoP ${token}`, DPoP: dpop }))
    }
    return [...statuses].join('/')
  }
}

/** Reads the notes with any headers at all, as a thief would. */
export async function readNotesWith(url: string, headers: Record<string, string>): Promise<number> {
  const answer = await fetch(url, { headers })
  await answer.arrayBuffer()
  return answer.status
}
