import { createHash, timingSafeEqual } from 'node:crypto'
import { GrantError } from '../../errors.ts'
import { isIdentifier } from '../../identifier.ts'
import { assertOptions, optionError } from '../../options.ts'
import type { FormParameters } from './form.ts'

/** A client of this issuer. Without hashes it is a public one. */
export interface Client {
  clientId: string
  /** Made by `hashClientSecret`. Several while a secret is being changed. */
  secretHashes?: string[]
}

const where = 'createIssuer'
const hashPrefix = 'sha256:'
const hashPattern = /^sha256:[A-Za-z0-9_-]{43}$/

function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/**
 * What to keep of a client's secret. A plain digest: a client secret is to be 32 random bytes, which nobody guesses, and
 * a slow hash would let anybody occupy the server with wrong ones.
 */
export function hashClientSecret(secret: string): string {
  if (typeof secret !== 'string' || secret === '') {
    throw new TypeError('hashClientSecret: the secret must be a non-empty string')
  }
  return hashPrefix + digest(secret).toString('base64url')
}

function invalidClient(reason: string, usedHeader: boolean): GrantError {
  return new GrantError(
    'invalid_client',
    reason,
    'The client is not known or did not prove who it is',
    {
      // RFC 6749 §5.2: a client that tried the header is told the scheme.
      ...(usedHeader && { headers: { 'WWW-Authenticate': 'Basic realm="token"' } }),
    },
  )
}

/** @see RFC 6749 §2.3.1: both parts are form-encoded before they are joined */
function decodeFormValue(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '))
}

function readBasic(header: string): { clientId: string; secret: string } {
  const [, encoded] = /^basic ([A-Za-z0-9+/]+=*)$/i.exec(header) ?? []
  const decoded = Buffer.from(encoded ?? '', 'base64').toString()
  const colon = decoded.indexOf(':')
  if (colon <= 0) throw invalidClient('malformed', true)
  try {
    return {
      clientId: decodeFormValue(decoded.slice(0, colon)),
      secret: decodeFormValue(decoded.slice(colon + 1)),
    }
  } catch {
    throw invalidClient('malformed', true)
  }
}

/** The client of a session that was started without one: the issuer's own pages. It needs no entry in `clients`. */
export const firstParty = 'first-party'

/** The clients that an issuer knows, and how they prove who they are. */
export class Clients {
  readonly #clients: ReadonlyMap<string, readonly Buffer[]> | undefined

  /** @throws TypeError for wrong options */
  constructor(clients: unknown) {
    if (clients === undefined) return
    if (!Array.isArray(clients)) throw optionError(where, 'clients', 'must be a list')
    const known = new Map<string, readonly Buffer[]>()
    clients.forEach((client: unknown, index) => {
      const at = `clients[${index}]`
      assertOptions(`${where}: ${at}`, client, ['clientId', 'secretHashes'])
      const { clientId, secretHashes = [] } = client as Client
      if (!isIdentifier(clientId))
        throw optionError(where, `${at}.clientId`, 'must be a non-empty string')
      if (known.has(clientId)) throw optionError(where, `${at}.clientId`, 'is listed twice')
      const sound =
        Array.isArray(secretHashes) &&
        secretHashes.every((hash: unknown) => typeof hash === 'string' && hashPattern.test(hash))
      if (!sound || (client as Client).secretHashes?.length === 0) {
        throw optionError(
          where,
          `${at}.secretHashes`,
          'must be a list of what hashClientSecret(secret) makes',
        )
      }
      known.set(
        clientId,
        secretHashes.map((hash) => Buffer.from(hash.slice(hashPrefix.length), 'base64url')),
      )
    })
    this.#clients = known
  }

  /** Whether a client of the list has a secret. */
  get haveSecrets(): boolean {
    return [...(this.#clients?.values() ?? [])].some((hashes) => hashes.length > 0)
  }

  /** Whether sessions may be started for a client: any where there is no list, else those on it and `first-party`. */
  isKnown(clientId: string): boolean {
    return !this.#clients || clientId === firstParty || this.#clients.has(clientId)
  }

  /** Whether there is a list at all. */
  get areListed(): boolean {
    return this.#clients !== undefined
  }

  /**
   * Who makes a request, by `client_secret_basic`, `client_secret_post` or a bare `client_id`.
   *
   * @returns `undefined` where the request does not say
   * @throws GrantError `invalid_client`, or `invalid_request` for two methods at once
   * @see RFC 6749 §2.3.1
   */
  authenticate(authorization: string | undefined, form: FormParameters): string | undefined {
    const posted = { clientId: form.get('client_id'), secret: form.get('client_secret') }
    // An access token is no client authentication (RFC 6749 §2.3): pages send it along with every request.
    if (authorization === undefined || /^(?:bearer|dpop)(?: |$)/i.test(authorization)) {
      if (posted.clientId === undefined) {
        if (posted.secret !== undefined) throw invalidClient('unnamed', false)
        return undefined
      }
      return this.assertClient(posted.clientId, posted.secret, false)
    }
    if (posted.secret !== undefined) {
      throw new GrantError(
        'invalid_request',
        'two_methods',
        'The client used two ways to authenticate',
      )
    }
    const basic = readBasic(authorization)
    if (posted.clientId !== undefined && posted.clientId !== basic.clientId) {
      throw new GrantError('invalid_request', 'two_clients', 'The request names two clients')
    }
    return this.assertClient(basic.clientId, basic.secret, true)
  }

  /**
   * @returns the client's id
   * @throws GrantError `invalid_client` for a client that is not listed, or a secret that is missing, wrong or not expected
   */
  assertClient(clientId: string, secret: string | undefined, usedHeader = false): string {
    if (!this.#clients) {
      // Nobody has a secret here, so whoever sends one believes to be somewhere else.
      if (secret !== undefined && secret !== '')
        throw invalidClient('unexpected_secret', usedHeader)
      return clientId
    }
    if (clientId === firstParty && !this.#clients.has(clientId)) {
      if (secret !== undefined && secret !== '') throw invalidClient('secret', usedHeader)
      return clientId
    }
    const hashes = this.#clients.get(clientId)
    // The same work for unknown clients and wrong secrets.
    const presented = digest(secret ?? '')
    const matches = (hashes ?? [presented]).filter((hash) => timingSafeEqual(hash, presented))
    if (!hashes) throw invalidClient('unknown', usedHeader)
    const isPublic = hashes.length === 0
    if (
      isPublic
        ? secret !== undefined && secret !== ''
        : secret === undefined || matches.length === 0
    ) {
      throw invalidClient('secret', usedHeader)
    }
    return clientId
  }
}
