import {
  isOrigin,
  optionError,
  readNumber,
  readOptions,
  readString,
  readStrings,
} from '../options.ts'

/** Why an open connection is closed. */
export type CloseCause = 'revoked' | 'expired' | 'stale'

/** Close codes, 1000 to 4999, by what ended the access. */
export interface CloseCodes {
  /** The token was kicked out, or `extend` was given one that does not fit. @defaultValue 4401 */
  revoked?: number
  /** The token has expired. @defaultValue 4403 */
  expired?: number
  /** Kick-outs can no longer be seen, and `whenStale` is `'reject'`. @defaultValue 1013 */
  stale?: number
}

/** How connections end, with every library. */
export interface ConnectionOptions {
  /** Close codes other than the usual ones. */
  codes?: CloseCodes
  /**
   * How long a peer may take to answer the close, milliseconds from 0 to 60 000. Then the connection is cut.
   *
   * @defaultValue 2000
   */
  closeTimeoutMs?: number
}

export interface SubprotocolOptions extends ConnectionOptions {
  /**
   * What stands before the dot of the subprotocol that carries the token: `bearer.<token>` in `Sec-WebSocket-Protocol`. An
   * RFC 9110 token.
   *
   * @defaultValue 'bearer'
   */
  subprotocol?: string
}

export interface AcceptUpgradesOptions extends SubprotocolOptions {
  /**
   * The only path that is accepted, exactly and without a query. Every path unless given. Several paths of one HTTP server
   * are several calls.
   */
  path?: string
  /**
   * Origins whose pages may connect, as browsers send them (`https://app.example.com`). A request without `Origin` does not
   * come from a page and is accepted. All origins unless given; the list is needed where `getToken` reads a cookie.
   */
  allowedOrigins?: string | readonly string[]
}

export interface ConnectionSettings {
  readonly codes: Readonly<Record<CloseCause, number>>
  readonly closeTimeoutMs: number
}

export interface SubprotocolSettings extends ConnectionSettings {
  /** `bearer.` */
  readonly tokenPrefix: string
}

export interface UpgradeSettings extends SubprotocolSettings {
  readonly path: string | undefined
  readonly allowedOrigins: ReadonlySet<string> | undefined
}

/** The default of every option that has one. docs/open-connections.md is compared with these. */
export const websocketDefaults = {
  subprotocol: 'bearer',
  codes: { revoked: 4401, expired: 4403, stale: 1013 },
  closeTimeoutMs: 2000,
} as const

const maxCloseTimeoutMs = 60_000
const causes = ['revoked', 'expired', 'stale'] as const satisfies readonly CloseCause[]
const connectionOptions = [
  'codes',
  'closeTimeoutMs',
] as const satisfies readonly (keyof ConnectionOptions)[]
const subprotocolOptions = [
  ...connectionOptions,
  'subprotocol',
] as const satisfies readonly (keyof SubprotocolOptions)[]
const upgradeOptions = [
  ...subprotocolOptions,
  'path',
  'allowedOrigins',
] as const satisfies readonly (keyof AcceptUpgradesOptions)[]

/** RFC 9110 §5.6.2. A subprotocol is one, and so is a JWT. */
export const httpToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Codes that no endpoint may put into a Close frame, RFC 6455 §7.4.1 and the registry of RFC 6455 §11.7. */
const unsendable = new Set([1004, 1005, 1006, 1015])

type Options = Readonly<Record<string, unknown>>

function readCode(where: string, name: CloseCause, value: unknown): number {
  const code = readNumber(where, `codes.${name}`, value, {
    fallback: websocketDefaults.codes[name],
    min: 1000,
    max: 4999,
    integer: true,
  })
  if (unsendable.has(code) || (code > 1015 && code < 3000)) {
    throw optionError(
      where,
      `codes.${name}`,
      'must be a code that a Close frame can carry: 3000 to 4999, or one of RFC 6455 such as 1008',
    )
  }
  return code
}

function readConnection(where: string, options: Options): ConnectionSettings {
  const codes = readOptions(`${where}: option "codes"`, options['codes'] ?? {}, causes)
  const [revoked, expired, stale] = causes.map((name) => readCode(where, name, codes[name]))
  return {
    codes: Object.freeze({ revoked, expired, stale } as Record<CloseCause, number>),
    closeTimeoutMs: readNumber(where, 'closeTimeoutMs', options['closeTimeoutMs'], {
      fallback: websocketDefaults.closeTimeoutMs,
      min: 0,
      max: maxCloseTimeoutMs,
    }),
  }
}

function readSubprotocol(where: string, options: Options): SubprotocolSettings {
  const subprotocol =
    readString(where, 'subprotocol', options['subprotocol']) ?? websocketDefaults.subprotocol
  if (!httpToken.test(subprotocol)) {
    throw optionError(where, 'subprotocol', "must be a single word, such as 'bearer'")
  }
  return { ...readConnection(where, options), tokenPrefix: `${subprotocol}.` }
}

/** @throws TypeError that names the option */
export function readConnectionOptions(where: string, options: unknown): ConnectionSettings {
  return Object.freeze(readConnection(where, readOptions(where, options, connectionOptions)))
}

/** @throws TypeError that names the option */
export function readSubprotocolOptions(where: string, options: unknown): SubprotocolSettings {
  return Object.freeze(readSubprotocol(where, readOptions(where, options, subprotocolOptions)))
}

function readOrigins(where: string, value: unknown): ReadonlySet<string> | undefined {
  const origins = readStrings(where, 'allowedOrigins', value)
  if (origins?.every((origin) => isOrigin(origin)) === false) {
    throw optionError(
      where,
      'allowedOrigins',
      "must hold origins as browsers send them, such as 'https://app.example.com': no path, no slash at the end, no wildcard",
    )
  }
  return origins && new Set(origins)
}

/** @throws TypeError that names the option */
export function readUpgradeOptions(where: string, given: unknown): UpgradeSettings {
  const options = readOptions(where, given, upgradeOptions)
  const path = readString(where, 'path', options['path'])
  if (path !== undefined && !/^\/[^?#\s]*$/.test(path)) {
    throw optionError(where, 'path', "must begin with a slash and have no query, such as '/feed'")
  }
  return Object.freeze({
    ...readSubprotocol(where, options),
    path,
    allowedOrigins: readOrigins(where, options['allowedOrigins']),
  })
}
