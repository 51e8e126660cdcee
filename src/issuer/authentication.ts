import { isIdentifier, maxIdentifierLength } from '../identifier.ts'
import { optionError } from '../options.ts'
import type { Authentication } from './sessions/session-store.ts'

/** How a user has proved who they are. */
export interface AuthenticationInput {
  /** How strong the sign-in was, by a name that issuer and API agree on; copied into access tokens as `acr`. */
  acr?: string
  /** The methods of the sign-in, such as `['pwd', 'otp']` (RFC 8176); copied into access tokens as `amr`. */
  amr?: string[]
  /** When the user proved who they are, seconds since the epoch; copied into access tokens as `auth_time`. */
  authTime?: number
}

/** Beyond it a number of seconds lies in the year 5138: it is one of milliseconds. */
const latestAuthTime = 1e11

/**
 * Checks what the application says of a sign-in.
 *
 * @throws TypeError that names the field
 */
export function readAuthentication(
  where: string,
  { acr, amr, authTime }: Record<keyof AuthenticationInput, unknown>,
): Authentication {
  if (acr !== undefined && !isIdentifier(acr)) {
    throw optionError(
      where,
      'acr',
      `must be a non-empty string of at most ${maxIdentifierLength} well-formed characters`,
    )
  }
  if (amr !== undefined && !(Array.isArray(amr) && amr.every(isIdentifier))) {
    throw optionError(where, 'amr', 'must be a list of strings')
  }
  if (authTime !== undefined) {
    if (!(typeof authTime === 'number' && Number.isFinite(authTime))) {
      throw optionError(where, 'authTime', 'must be a number of seconds')
    }
    if (Math.abs(authTime) >= latestAuthTime) {
      throw optionError(where, 'authTime', 'must be in seconds, and looks like milliseconds')
    }
  }
  return {
    ...(acr !== undefined && { acr }),
    ...(amr !== undefined && { amr }),
    ...(authTime !== undefined && { authTime }),
  }
}
