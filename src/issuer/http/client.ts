import { hash as digest } from 'node:crypto'
import { readJwks } from '../../guard/keys/jwks.ts'
import type { KeySet, KeySetSettings } from '../../guard/keys/key-set.ts'
import { isIdentifier } from '../../identifier.ts'
import { isSecureUrl, optionError, readBoolean, readOptions } from '../../options.ts'
import { parseScope } from '../tokens/scope.ts'

/** What a client may be granted tokens by. */
export type ClientGrant = 'refresh_token' | 'client_credentials'

/** A client of this issuer. Without `secretHashes`, `jwks` and `jwksUri` it is a public one. */
export interface Client {
  /** Its name: the `client_id` of its requests and tokens. */
  clientId: string
  /** Made by `hashClientSecret`. Several while a secret is being changed. */
  secretHashes?: string[]
  /**
   * What it may do at `/token`. A machine has `['client_credentials']`.
   *
   * @defaultValue ['refresh_token']
   */
  grants?: ClientGrant[]
  /**
   * The most that a machine is granted, and what it is granted where it asks for nothing.
   *
   * @defaultValue none
   */
  scopes?: string[]
  /**
   * The `aud` of the tokens that it gets as a machine, and of the tokens that it may introspect.
   *
   * @defaultValue those of the issuer
   */
  audiences?: string[]
  /** Its public keys, for `private_key_jwt` (RFC 7523). */
  jwks?: { keys: object[] }
  /** Where its public keys are, instead of `jwks`: `https:`, or `http:` on a loopback host. */
  jwksUri?: string | URL
  /**
   * Whether it may ask `/introspect` about tokens for its `audiences`. It has to prove who it is.
   *
   * @defaultValue false
   */
  introspect?: boolean
  /**
   * Refuses it from now on, and its sessions' refreshes. Its access tokens go on: kick the client out as well.
   *
   * @defaultValue false
   */
  disabled?: boolean
}

/** A client as it was checked. */
export interface KnownClient {
  readonly clientId: string
  readonly hashes: readonly Buffer[]
  readonly grants: ReadonlySet<ClientGrant>
  readonly scopes: readonly string[]
  /** `undefined`: the audience of the issuer. */
  readonly audiences: readonly string[] | undefined
  readonly isDisabled: boolean
  readonly mayIntrospect: boolean
  /** `undefined`: it has no keys. */
  readonly keySet: KeySet | undefined
}

/** Finds the key set of a client: one for each source, however often the client is read. */
export type KeySetOf = (source: KeySetSettings['source'], clientId: string) => KeySet

const memberNames = [
  'clientId',
  'secretHashes',
  'grants',
  'scopes',
  'audiences',
  'jwks',
  'jwksUri',
  'introspect',
  'disabled',
] as const satisfies readonly (keyof Client)[]
const clientGrants = ['refresh_token', 'client_credentials'] as const
const hashPrefix = 'sha256:'
const hashPattern = /^sha256:[A-Za-z0-9_-]{43}$/

/** What a secret is compared by. */
export function digestOf(secret: string): Buffer {
  return digest('sha256', secret, 'buffer')
}

/**
 * The digest of a client secret, for `clients`. A plain hash suffices, since a client secret should be 32 random bytes, which
 * cannot be guessed. With a slow hash an attacker could keep the server busy by sending wrong secrets.
 */
export function hashClientSecret(secret: string): string {
  if (typeof secret !== 'string' || secret === '') {
    throw new TypeError('hashClientSecret: the secret must be a non-empty string')
  }
  return hashPrefix + digestOf(secret).toString('base64url')
}

/** Whether a client can prove who it is. */
export function isConfidential({ hashes, keySet }: KnownClient): boolean {
  return hashes.length > 0 || keySet !== undefined
}

function readHashes(where: string, at: string, value: unknown): readonly Buffer[] {
  if (value === undefined) return []
  const isSound =
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((hash: unknown) => typeof hash === 'string' && hashPattern.test(hash))
  if (!isSound) {
    throw optionError(
      where,
      `${at}.secretHashes`,
      'must be a list of what hashClientSecret(secret) makes',
    )
  }
  return (value as string[]).map((hash) => Buffer.from(hash.slice(hashPrefix.length), 'base64url'))
}

function readKeySource(
  where: string,
  at: string,
  jwks: unknown,
  jwksUri: unknown,
): KeySetSettings['source'] | undefined {
  if (jwks !== undefined && jwksUri !== undefined)
    throw optionError(where, `${at}.jwks`, 'must not stand beside "jwksUri"')
  if (jwks !== undefined) {
    try {
      readJwks(jwks)
    } catch (error) {
      throw optionError(where, `${at}.jwks`, (error as Error).message)
    }
    return { kind: 'given', jwks: structuredClone(jwks) }
  }
  if (jwksUri === undefined) return undefined
  const text = jwksUri instanceof URL ? jwksUri.href : jwksUri
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined
  if (!url || !isSecureUrl(url)) {
    throw optionError(
      where,
      `${at}.jwksUri`,
      'must be an https: URL, or an http: one on a loopback host',
    )
  }
  return { kind: 'address', url }
}

function readList(where: string, option: string, value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length === 0 || !value.every(isIdentifier))
    throw optionError(where, option, 'must be a list of non-empty strings')
  return value
}

/**
 * Checks one client.
 *
 * @param at - where it stands, for messages
 * @throws TypeError that names the member
 */
export function readClient(
  where: string,
  at: string,
  client: unknown,
  keySetOf: KeySetOf,
): KnownClient {
  const given = readOptions(`${where}: ${at}`, client, memberNames)
  const { clientId, grants = ['refresh_token'], scopes = [] } = given
  if (!isIdentifier(clientId))
    throw optionError(where, `${at}.clientId`, 'must be a non-empty string')
  if (
    !Array.isArray(grants) ||
    grants.length === 0 ||
    !grants.every((grant: unknown) => clientGrants.some((known) => known === grant))
  )
    throw optionError(where, `${at}.grants`, `must be a list of ${clientGrants.join(', ')}`)
  const isScope = (scope: unknown): boolean =>
    typeof scope === 'string' && !scope.includes(' ') && parseScope(scope)?.length === 1
  if (!Array.isArray(scopes) || !scopes.every(isScope))
    throw optionError(where, `${at}.scopes`, 'must be a list of scopes, one in each string')
  const source = readKeySource(where, at, given['jwks'], given['jwksUri'])
  const known: KnownClient = {
    clientId,
    hashes: readHashes(where, at, given['secretHashes']),
    grants: new Set(grants as ClientGrant[]),
    scopes: scopes as string[],
    audiences: readList(where, `${at}.audiences`, given['audiences']),
    isDisabled: readBoolean(where, `${at}.disabled`, given['disabled'], false),
    keySet: source && keySetOf(source, clientId),
    mayIntrospect: readBoolean(where, `${at}.introspect`, given['introspect'], false),
  }
  if (known.grants.has('client_credentials') && !isConfidential(known)) {
    throw optionError(
      where,
      `${at}.grants`,
      'must not have client_credentials without "secretHashes", "jwks" or "jwksUri": a public client cannot prove who it is',
    )
  }
  return known
}
