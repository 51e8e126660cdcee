import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import {
  isSecureUrl,
  optionError,
  readBoolean,
  readChoice,
  readNumber,
  readOptions,
  readString,
} from '../../options.ts'
import { supportedAlgorithms } from '../keys/jwks.ts'

/** How the guard proves to the issuer who asks. */
export type IntrospectionAuth = 'basic' | 'post' | 'private_key_jwt'

/** Asks the issuer about tokens that the guard cannot verify itself (RFC 7662). */
export interface IntrospectionOptions {
  /**
   * The introspection endpoint: `https:`, or `http:` on a loopback host.
   *
   * @defaultValue the `introspection_endpoint` of the issuer's metadata
   */
  readonly endpoint?: string | URL
  /** The client that the issuer knows this server as. */
  readonly clientId: string
  /** Its secret. Either this or `privateKey`. */
  readonly clientSecret?: string
  /** Its private key, a JWK with `alg` and `kid`: the issuer knows the public half (RFC 7523). */
  readonly privateKey?: object
  /** @defaultValue 'private_key_jwt' with `privateKey`, else 'basic' */
  readonly auth?: IntrospectionAuth
  /**
   * For how long the answer about a good token is kept, seconds, 0 to 86400; never past its `exp`. Kick-outs of yours are in
   * force at once whatever stands here; what the issuer itself takes back works for so long.
   *
   * @defaultValue 30
   */
  readonly cacheSeconds?: number
  /**
   * The whole of one call, discovery and body included, milliseconds, 1 to 60000. Past it the request is 503.
   *
   * @defaultValue 2000
   */
  readonly timeoutMs?: number
  /**
   * Calls under way at once, 1 to 10000. Past it the request is 503 at once.
   *
   * @defaultValue 64
   */
  readonly maxConcurrent?: number
  /**
   * Whether JWTs of this issuer are introspected too. Otherwise tokens of three parts are verified here.
   *
   * @defaultValue false
   */
  readonly jwt?: boolean
}

/** Checked options of introspection. */
export interface IntrospectionSettings {
  /** How the endpoint is discovered: as the keys of the issuer are. */
  readonly discovery: {
    readonly allowsHttp: boolean
    readonly timeoutMs: number
    readonly cooldownSeconds: number
  }
  /** `undefined`: to be discovered. */
  readonly endpoint: URL | undefined
  readonly clientId: string
  readonly credential:
    | { readonly auth: 'basic' | 'post'; readonly secret: string }
    | {
        readonly auth: 'private_key_jwt'
        readonly key: KeyObject
        readonly alg: string
        readonly kid: string
      }
  readonly cacheSeconds: number
  readonly timeoutMs: number
  readonly maxConcurrent: number
  readonly jwt: boolean
}

/** The default of every option that has one. The docs are compared with these. */
export const introspectionDefaults = {
  cacheSeconds: 30,
  timeoutMs: 2000,
  maxConcurrent: 64,
  jwt: false,
} as const

const optionNames = [
  'endpoint',
  'clientId',
  'clientSecret',
  'privateKey',
  'auth',
  'cacheSeconds',
  'timeoutMs',
  'maxConcurrent',
  'jwt',
] as const satisfies readonly (keyof IntrospectionOptions)[]

const curveOf: Readonly<Record<string, string>> = {
  ES256: 'prime256v1',
  ES384: 'secp384r1',
  ES512: 'secp521r1',
}

function fits({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject, alg: string): boolean {
  if (alg.startsWith('ES')) return asymmetricKeyDetails?.namedCurve === curveOf[alg]
  return asymmetricKeyType === (alg.startsWith('Ed') ? 'ed25519' : 'rsa')
}

/** What the parser says is left out: it may quote the key. */
function readPrivateKey(
  where: string,
  option: string,
  value: unknown,
): { key: KeyObject; alg: string; kid: string } {
  const jwk = typeof value === 'object' && value !== null ? (value as JsonWebKey) : {}
  const { alg, kid } = jwk as Record<string, unknown>
  const isNamed = typeof kid === 'string' && kid !== ''
  if (!isNamed || typeof alg !== 'string' || !supportedAlgorithms.some((known) => known === alg)) {
    throw optionError(
      where,
      option,
      `must be a private JWK with "kid" and an "alg" of ${supportedAlgorithms.join(', ')}`,
    )
  }
  let key: KeyObject | undefined
  try {
    key = createPrivateKey({ key: { ...jwk }, format: 'jwk' })
  } catch {
    // Below.
  }
  if (!key || !fits(key, alg))
    throw optionError(where, option, 'cannot be read as a private key for its "alg"')
  return { key, alg, kid }
}

function readCredential(
  where: string,
  at: string,
  { clientSecret, privateKey, auth }: Readonly<Record<string, unknown>>,
): IntrospectionSettings['credential'] {
  if ((clientSecret === undefined) === (privateKey === undefined)) {
    throw optionError(
      where,
      `${at}clientSecret`,
      `must be given, or "${at}privateKey", and not both: the issuer answers clients only that prove who they are`,
    )
  }
  if (privateKey !== undefined) {
    const method = readChoice(where, `${at}auth`, auth, ['private_key_jwt'], 'private_key_jwt')
    return { auth: method, ...readPrivateKey(where, `${at}privateKey`, privateKey) }
  }
  const secret = readString(where, `${at}clientSecret`, clientSecret) ?? ''
  return { auth: readChoice(where, `${at}auth`, auth, ['basic', 'post'], 'basic'), secret }
}

/**
 * Checks the option `introspection`.
 *
 * @param at - the path of the options, for messages: `introspection.`, or `issuer[0].introspection.`
 * @throws TypeError that names the option, and never prints a secret
 */
export function readIntrospection(
  where: string,
  at: string,
  value: unknown,
  discovery: IntrospectionSettings['discovery'],
): IntrospectionSettings {
  const given = readOptions(`${where}: ${at.slice(0, -1)}`, value, optionNames)
  const { endpoint } = given
  const text = endpoint instanceof URL ? endpoint.href : endpoint
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined
  if (text !== undefined && (!url || !isSecureUrl(url, discovery.allowsHttp))) {
    throw optionError(
      where,
      `${at}endpoint`,
      'must be an https: URL, or an http: one on a loopback host ("dangerouslyAllowHttp" accepts any host)',
    )
  }
  const clientId = readString(where, `${at}clientId`, given['clientId'])
  if (clientId === undefined) throw optionError(where, `${at}clientId`, 'is missing')
  const { cacheSeconds, timeoutMs, maxConcurrent, jwt } = introspectionDefaults
  const read = (
    name: keyof typeof introspectionDefaults,
    range: { fallback: number; min: number; max: number; integer?: boolean },
  ): number => readNumber(where, at + name, given[name], range)
  return {
    discovery,
    endpoint: url,
    clientId,
    credential: readCredential(where, at, given),
    cacheSeconds: read('cacheSeconds', { fallback: cacheSeconds, min: 0, max: 86_400 }),
    timeoutMs: read('timeoutMs', { fallback: timeoutMs, min: 1, max: 60_000 }),
    maxConcurrent: read('maxConcurrent', {
      fallback: maxConcurrent,
      min: 1,
      max: 10_000,
      integer: true,
    }),
    jwt: readBoolean(where, `${at}jwt`, given['jwt'], jwt),
  }
}
