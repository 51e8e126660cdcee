import { AuthError } from '../errors.ts'
import { assertOptions, optionError, readNumber, readStrings } from '../options.ts'
import { routeGuard } from './route-guards.ts'
import type { RouteHandler } from './route-handler.ts'

const where = 'requireAuthContext'

/** How, or how recently, the user must have signed in. At least one of the two is given. */
export interface AuthContextOptions {
  /** The token's `acr` must be one of them. The first is what you prefer: the challenge names them in this order. */
  acr?: string | readonly string[]
  /** The largest age of the sign-in, from the token's `auth_time`, whole seconds; 0 or more. */
  maxAgeSeconds?: number
}

/** `acr_values` is a list that spaces separate, in a header of printable ASCII. */
const acrValue = /^[\x21\x23-\x5b\x5d-\x7e]+$/

function readAcr(value: unknown): readonly string[] | undefined {
  const values = readStrings(where, 'acr', value)
  if (values?.every((each) => acrValue.test(each)) ?? true) return values
  throw optionError(
    where,
    'acr',
    'must be printable ASCII without spaces, quotes and backslashes: spaces separate the values of a challenge',
  )
}

function refuse(reason: 'acr' | 'auth_age', message: string): AuthError {
  return new AuthError('insufficient_user_authentication', reason, message)
}

/**
 * Lets a request through whose user has signed in strongly, or recently, enough. An absent `acr` or `auth_time` is not
 * enough. The refusal is a 401 that says what would be: the client sends the user to sign in again with these parameters.
 *
 * The age is compared with the guard's `clockToleranceSeconds` in the client's favour.
 *
 * @throws TypeError at creation for wrong options, or when there are none
 * @see RFC 9470 §3
 */
export function requireAuthContext(options: AuthContextOptions): RouteHandler {
  assertOptions(where, options, ['acr', 'maxAgeSeconds'])
  const acrValues = readAcr(options.acr)
  const maxAgeSeconds =
    options.maxAgeSeconds === undefined
      ? undefined
      : readNumber(where, 'maxAgeSeconds', options.maxAgeSeconds, {
          fallback: 0,
          min: 0,
          integer: true,
        })
  if (acrValues === undefined && maxAgeSeconds === undefined) {
    throw new TypeError(
      `${where}: give "acr", "maxAgeSeconds" or both, such as ${where}({ maxAgeSeconds: 300 })`,
    )
  }
  return routeGuard(
    where,
    ({ payload }, { clock, clockToleranceSeconds }) => {
      const { acr, auth_time: authTime } = payload
      if (acrValues && !acrValues.some((value) => value === acr)) {
        return refuse('acr', `The "acr" of the token is none of: ${acrValues.join(' ')}`)
      }
      if (maxAgeSeconds === undefined) return undefined
      if (typeof authTime !== 'number' || !Number.isFinite(authTime)) {
        return refuse('auth_age', 'The token has no "auth_time"')
      }
      const ageSeconds = clock.now() / 1000 - authTime
      // A sign-in that is still to come is none.
      if (ageSeconds < -clockToleranceSeconds) {
        return refuse('auth_age', 'The "auth_time" of the token is in the future')
      }
      return ageSeconds > maxAgeSeconds + clockToleranceSeconds
        ? refuse('auth_age', `The user signed in more than ${maxAgeSeconds} s ago`)
        : undefined
    },
    { authContext: { acrValues, maxAgeSeconds } },
  )
}
