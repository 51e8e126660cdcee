import type { JWTHeaderParameters, JWTPayload } from 'jose'
import { AuthError } from '../errors.ts'

/** The longest token that is looked at, in bytes. */
export const maxTokenLength = 8192

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
 * A byte order mark stays part of the text, where JSON has no place for it; invalid UTF-8 is left to jose, which refuses
 * it. What the parser says is not kept: it quotes the text.
 */
function readObject(part: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(part, 'base64url').toString())
  } catch {
    throw malformed('The header or payload of the token is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed('The header or payload of the token is not a JSON object')
  }
  return value as Record<string, unknown>
}

/** The two readable parts of a token, *unverified*: good for refusing early, never for accepting. */
export interface UnverifiedToken {
  readonly header: JWTHeaderParameters
  readonly payload: JWTPayload
}

/** Header parameters that change how a token is to be read; none of them is followed, so none is let through. */
const refusedParameters = ['crit', 'b64', 'enc', 'zip', 'p2c'] as const

/**
 * Reads a JWS in compact serialisation: three canonical base64url parts, so that one token has exactly one spelling.
 * Verifies nothing.
 *
 * @throws AuthError `malformed`
 * @see RFC 7515 §2 and §7.1
 */
export function readCompactJws(token: string): UnverifiedToken {
  if (token.length > maxTokenLength)
    throw malformed(`The token is longer than ${maxTokenLength} bytes`)
  const [, first, second, third] = threeParts.exec(token) ?? []
  if (!first || !second || !third || ![first, second, third].every(isCanonical)) {
    throw malformed('The token is not three canonical base64url parts')
  }
  const header = readObject(first) as unknown as JWTHeaderParameters
  const payload: JWTPayload = readObject(second)
  const refused = refusedParameters.find((name) => Object.hasOwn(header, name))
  if (refused) throw malformed(`The token's header has "${refused}", which is not supported`)
  if (header.kid !== undefined && (typeof header.kid !== 'string' || header.kid === '')) {
    throw malformed('The "kid" of the token is not a non-empty string')
  }
  if (typeof header.cty === 'string' && /^(application\/)?jwt$/i.test(header.cty)) {
    throw malformed('The token is a nested JWT')
  }
  return { header, payload }
}
