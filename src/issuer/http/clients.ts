import { timingSafeEqual } from 'node:crypto'
import { type Clock, systemClock } from '../../clock.ts'
import { GrantError, UnavailableError } from '../../errors.ts'
import { supportedAlgorithms } from '../../guard/keys/jwks.ts'
import { KeySet, type KeySetSettings } from '../../guard/keys/key-set.ts'
import { optionError } from '../../options.ts'
import { MemoryReplayStore } from '../../replay/memory-replay-store.ts'
import type { ReplayStore } from '../../replay/replay-store.ts'
import {
  type Client,
  type ClientGrant,
  digestOf,
  isConfidential,
  type KnownClient,
  readClient,
} from './client.ts'
import { assertionType, claimedClient, provesClient } from './client-assertion.ts'
import type { FormParameters } from './form.ts'

/** Looks a client up, in a database say. `undefined` for one that it does not know. */
export type ClientResolver = (clientId: string) => Client | undefined | Promise<Client | undefined>

const where = 'createIssuer'
/** How long the application may take to look a client up. */
const resolveBudgetMs = 500
/** Key sets of clients that are held at once. */
const maxKeySets = 1000
const keyCache = { maxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: 5000, maxStaleSeconds: 3600 }

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

function twoMethods(): GrantError {
  return new GrantError(
    'invalid_request',
    'two_methods',
    'The client used two ways to authenticate',
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

/** Where assertions are meant for, and where they are remembered. */
export interface ClientsDeps {
  readonly issuer: string
  readonly tokenEndpoint: string
  readonly replay?: ReplayStore | undefined
  readonly clock?: Clock
}

/** Who made a request. */
export interface Requester {
  readonly clientId: string
  /** `undefined` where the issuer has no clients, and for `first-party` without an entry. */
  readonly client: KnownClient | undefined
}

/** The clients that an issuer knows, and how they prove who they are. */
export class Clients {
  readonly #listed: ReadonlyMap<string, KnownClient> | undefined
  readonly #resolve: ClientResolver | undefined
  readonly #deps: ClientsDeps
  readonly #clock: Clock
  readonly #replay: ReplayStore
  /** By where the keys are. */
  readonly #keySets = new Map<string, KeySet>()

  /** @throws TypeError for wrong options */
  constructor(clients: unknown, deps: ClientsDeps = { issuer: '', tokenEndpoint: '' }) {
    this.#deps = deps
    this.#clock = deps.clock ?? systemClock
    this.#replay = deps.replay ?? new MemoryReplayStore({}, this.#clock)
    if (clients === undefined) return
    if (typeof clients === 'function') {
      this.#resolve = clients as ClientResolver
      return
    }
    if (!Array.isArray(clients))
      throw optionError(where, 'clients', 'must be a list, or a function that looks a client up')
    const known = new Map<string, KnownClient>()
    clients.forEach((given: unknown, index) => {
      const at = `clients[${index}]`
      const client = readClient(where, at, given, this.#keySetOf)
      if (known.has(client.clientId)) throw optionError(where, `${at}.clientId`, 'is listed twice')
      known.set(client.clientId, client)
    })
    this.#listed = known
  }

  /** Whether a client may have a secret. */
  get haveSecrets(): boolean {
    return this.#may(({ hashes }) => hashes.length > 0)
  }

  /** Whether a client may have keys. */
  get haveKeys(): boolean {
    return this.#may(({ keySet }) => keySet !== undefined)
  }

  /** Whether a client may be granted tokens by its own right. */
  get areMachines(): boolean {
    return this.#may(({ grants }) => grants.has('client_credentials'))
  }

  /** Whether a client may ask about tokens. */
  get mayIntrospect(): boolean {
    return this.#may((client) => client.mayIntrospect && isConfidential(client))
  }

  /** Whether clients are known at all: by a list, or by a function. */
  get areListed(): boolean {
    return this.#listed !== undefined || this.#resolve !== undefined
  }

  /** Whether sessions may be started for a client: any where none is known, else those known and `first-party`. */
  async mayHaveSessions(clientId: string): Promise<boolean> {
    if (!this.areListed) return true
    const client = await this.#find(clientId)
    return client
      ? client.grants.has('refresh_token') && !client.isDisabled
      : clientId === firstParty
  }

  /**
   * Who makes a request, by `client_secret_basic`, `client_secret_post`, `private_key_jwt` or a bare `client_id`.
   *
   * @returns `undefined` where the request does not say
   * @throws GrantError `invalid_client`, or `invalid_request` for two methods at once
   * @throws UnavailableError when the client, its keys or the replay store cannot be asked
   * @see RFC 6749 §2.3.1, RFC 7523 §2.2
   */
  async authenticate(
    authorization: string | undefined,
    form: FormParameters,
  ): Promise<Requester | undefined> {
    const clientId = form.get('client_id')
    const secret = form.get('client_secret')
    // An access token is no client authentication (RFC 6749 §2.3): pages send it along with every request.
    const header =
      authorization === undefined || /^(?:bearer|dpop)(?: |$)/i.test(authorization)
        ? undefined
        : authorization
    const assertion = form.get('client_assertion')
    const type = form.get('client_assertion_type')
    if (assertion !== undefined || type !== undefined) {
      if (header !== undefined || secret !== undefined) throw twoMethods()
      return this.#assertAssertion(assertion, type, clientId)
    }
    if (header === undefined) {
      if (clientId === undefined) {
        if (secret !== undefined) throw invalidClient('unnamed', false)
        return undefined
      }
      return this.assertClient(clientId, secret, false)
    }
    if (secret !== undefined) throw twoMethods()
    const basic = readBasic(header)
    if (clientId !== undefined && clientId !== basic.clientId) {
      throw new GrantError('invalid_request', 'two_clients', 'The request names two clients')
    }
    return this.assertClient(basic.clientId, basic.secret, true)
  }

  /**
   * @throws GrantError `invalid_client` for a client that is not known, or a secret that is missing, wrong or not expected
   * @throws UnavailableError when the client cannot be looked up
   */
  async assertClient(
    clientId: string,
    secret: string | undefined,
    usedHeader = false,
  ): Promise<Requester> {
    const hasSecret = secret !== undefined && secret !== ''
    if (!this.areListed) {
      // Without clients there are no secrets either, so a client that sends one believes to be somewhere else.
      if (hasSecret) throw invalidClient('unexpected_secret', usedHeader)
      return { clientId, client: undefined }
    }
    const client = await this.#find(clientId)
    if (clientId === firstParty && !client) {
      if (hasSecret) throw invalidClient('secret', usedHeader)
      return { clientId, client }
    }
    // The same work for unknown clients and wrong secrets.
    const presented = digestOf(secret ?? '')
    const matches = (client?.hashes ?? [presented]).filter((hash) =>
      timingSafeEqual(hash, presented),
    )
    if (!client) throw invalidClient('unknown', usedHeader)
    if (!isConfidential(client) ? hasSecret : secret === undefined || matches.length === 0) {
      throw invalidClient('secret', usedHeader)
    }
    if (client.isDisabled) throw invalidClient('disabled', usedHeader)
    return { clientId, client }
  }

  /** Ends the fetching of keys. */
  close(): void {
    for (const keySet of this.#keySets.values()) keySet.close()
    this.#keySets.clear()
  }

  async #assertAssertion(
    assertion: string | undefined,
    type: string | undefined,
    named: string | undefined,
  ): Promise<Requester> {
    if (assertion === undefined || type !== assertionType)
      throw invalidClient('assertion_type', false)
    const clientId = claimedClient(assertion)
    if (clientId === undefined) throw invalidClient('assertion', false)
    if (named !== undefined && named !== clientId) {
      throw new GrantError('invalid_request', 'two_clients', 'The request names two clients')
    }
    const client = this.areListed ? await this.#find(clientId) : undefined
    if (!client?.keySet) throw invalidClient('unknown', false)
    if (client.isDisabled) throw invalidClient('disabled', false)
    const { issuer, tokenEndpoint } = this.#deps
    const isProved = await provesClient(assertion, clientId, client.keySet, {
      issuer,
      audiences: [issuer, tokenEndpoint],
      replay: this.#replay,
      clock: this.#clock,
    })
    if (!isProved) throw invalidClient('assertion', false)
    return { clientId, client }
  }

  #may(test: (client: KnownClient) => boolean): boolean {
    return this.#resolve !== undefined || [...(this.#listed?.values() ?? [])].some(test)
  }

  async #find(clientId: string): Promise<KnownClient | undefined> {
    const resolve = this.#resolve
    if (!resolve) return this.#listed?.get(clientId)
    let timer: NodeJS.Timeout | undefined
    try {
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`it took more than ${resolveBudgetMs} ms`))
        }, resolveBudgetMs)
      })
      const found = await Promise.race([(async () => resolve(clientId))(), late])
      if (found === undefined) return undefined
      const client = readClient(where, 'clients()', found, this.#keySetOf)
      if (client.clientId !== clientId)
        throw optionError(where, 'clients()', 'must return the client that it is asked for')
      return client
    } catch (cause) {
      const why = cause instanceof Error ? `: ${cause.message}` : ''
      throw new UnavailableError('clients', `The function "clients" failed${why}`, { cause })
    } finally {
      clearTimeout(timer)
    }
  }

  readonly #keySetOf = (source: KeySetSettings['source'], clientId: string): KeySet => {
    const key =
      source.kind === 'address'
        ? source.url.href
        : JSON.stringify([clientId, source.kind === 'given' && source.jwks])
    const held = this.#keySets.get(key)
    if (held) {
      // What was used last stands last.
      this.#keySets.delete(key)
      this.#keySets.set(key, held)
      return held
    }
    const keySet = new KeySet(
      { issuer: clientId, source, algorithms: new Set(supportedAlgorithms), cache: keyCache },
      {
        clock: this.#clock,
        fetch: async (url, init) => fetch(url, init),
        emit: () => undefined,
      },
    )
    this.#keySets.set(key, keySet)
    const [oldest] = this.#keySets
    if (oldest && this.#keySets.size > maxKeySets && this.#resolve) {
      oldest[1].close()
      this.#keySets.delete(oldest[0])
    }
    return keySet
  }
}

/**
 * @param requester - the client that has authenticated, if one has
 * @throws GrantError `invalid_client` unless the client has authenticated and has `introspect`
 * @see RFC 7662 §2.1 and §2.3
 */
export function assertIntrospects(
  requester: Requester | undefined,
  authorization: string | undefined,
): KnownClient {
  const client = requester?.client
  if (client?.mayIntrospect && isConfidential(client)) return client
  throw invalidClient('introspect', authorization !== undefined)
}

/**
 * @throws GrantError `unauthorized_client` where a client may not use a grant
 * @see RFC 6749 §5.2
 */
export function assertGrant(client: KnownClient | undefined, grant: ClientGrant): void {
  if (client ? client.grants.has(grant) : grant === 'refresh_token') return
  throw new GrantError('unauthorized_client', 'grant', 'The client may not use this grant')
}
