import { isUtf8 } from 'node:buffer'
import type { JWTHeaderParameters, JWTPayload } from 'jose'
import { AuthError } from '../../errors.ts'
import { toFrozenRecord } from './claims.ts'

const threeParts = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/
/** The last character of a part that ends in a lone byte (4 unused bits) or in two bytes (2 unused bits). */
const lastOfOneByte = /[AQgw]$/
const lastOfTwoBytes = /[AEIMQUYcgkosw048]$/

function isCanonical(part: string): boolean {
  switch (part.length % 4) {
    case 0:
      return true
    case 2:
      return lastOfOneByte.test(part)
    case 3:
      return lastOfTwoBytes.test(part)
    default:
      return false
  }
}

function malformed(message: string): AuthError {
  return new AuthError('invalid_token', 'malformed', message)
}

/**
 * A byte order mark stays part of the text, where JSON has no place for it. What the parser says is not kept: it quotes the
 * text.
 */
function readObject(part: string): Record<string, unknown> {
  let value: unknown
  try {
    const bytes = Buffer.from(part, 'base64url')
    // Decoding would put a replacement character in the place of what is not UTF-8, so that two tokens say the same.
    if (!isUtf8(bytes)) throw new TypeError('not UTF-8')
    value = JSON.parse(bytes.toString())
  } catch {
    throw malformed('The header or payload of the token is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed('The header or payload of the token is not a JSON object')
  }
  return value as Record<string, unknown>
}

/** The two readable parts of a token, *unverified*: nothing is accepted by them before the signature was verified. */
export interface UnverifiedToken {
  readonly header: JWTHeaderParameters
  readonly payload: JWTPayload
}

/** Header parameters that change how a token is to be read; none of them is followed, so none is let through. */
const refusedParameters = ['crit', 'b64', 'enc', 'zip', 'p2c'] as const

/** Headers that were read, by their text: an issuer's tokens share one for as long as it signs with one key. */
export interface HeaderMemory {
  get(text: string): JWTHeaderParameters | undefined
  set(text: string, header: JWTHeaderParameters): void
}

/** The longest header that is remembered, in characters: about three times what one usually has. */
const maxRememberedHeader = 256

function readHeader(part: string): JWTHeaderParameters {
  const header = readObject(part) as unknown as JWTHeaderParameters
  const refused = refusedParameters.find((name) => Object.hasOwn(header, name))
  if (refused) throw malformed(`The token's header has "${refused}", which is not supported`)
  if (header.kid !== undefined && (typeof header.kid !== 'string' || header.kid === '')) {
    throw malformed('The "kid" of the token is not a non-empty string')
  }
  if (typeof header.cty === 'string' && /^(application\/)?jwt$/i.test(header.cty)) {
    throw malformed('The token is a nested JWT')
  }
  return toFrozenRecord(header)
}

function readHeaderOnce(part: string, memory: HeaderMemory): JWTHeaderParameters {
  const known = memory.get(part)
  if (known) return known
  const header = readHeader(part)
  if (part.length <= maxRememberedHeader) memory.set(part, header)
  return header
}

/**
 * Reads a JWS in compact serialisation: three canonical base64url parts, so that one token has exactly one spelling.
 * Verifies nothing.
 *
 * @throws AuthError `malformed`
 * @see RFC 7515 §2 and §7.1
 */
export function readCompactJws(
  token: string,
  headers: HeaderMemory,
  maxTokenBytes: number,
): UnverifiedToken {
  if (token.length > maxTokenBytes)
    throw malformed(
      `The token is longer than ${maxTokenBytes} bytes; the option "maxTokenBytes" of requireAuth can raise that`,
    )
  const [, first, second, third] = threeParts.exec(token) ?? []
  if (!first || !second || !third || ![first, second, third].every(isCanonical)) {
    throw malformed('The token is not three canonical base64url parts')
  }
  return { header: readHeaderOnce(first, headers), payload: readObject(second) }
}
