import type { Auth } from '../auth.ts'
import { isAuthError, isUnavailableError } from '../errors.ts'
import type { AuthHandler } from '../guard/middleware.ts'
import { contextOf, withOwnProperties } from '../guard/request-auth.ts'

/** The guard of an MCP server: what `requireAuth` returned, of which only the check is used. */
export type VerifyingGuard = Pick<AuthHandler, 'authenticate'>

/** From `@modelcontextprotocol/sdk/server/auth/errors.js`. */
export interface McpErrorClassesV1 {
  /** The SDK answers it with 401. */
  InvalidTokenError: new (message: string) => Error
  /** The SDK answers it with 500: version 1 knows no 503. */
  ServerError: new (message: string) => Error
}

/** From `@modelcontextprotocol/server`. */
export interface McpErrorClassesV2 {
  /** One class for all codes. */
  OAuthError: new (code: string, message: string) => Error
}

/** The error classes of the MCP SDK that the server runs, version 1 or 2. */
export type McpErrorClasses = McpErrorClassesV1 | McpErrorClassesV2

/** An `OAuthTokenVerifier` of either version of the MCP SDK. */
export interface McpTokenVerifier {
  /**
   * Makes every check of the guard, the kick-out included.
   *
   * @throws the SDK's error for an invalid token, or for a failure of the server; our own error is its `cause`
   */
  verifyAccessToken(token: string): Promise<Auth>
}

type Kind = 'invalid_token' | 'server_error'

const where = 'tokenVerifier'

/** The SDK hands over the token alone, so nothing else of the request can be read. */
const noRequest = { headers: {}, rawHeaders: [] }

const unexpected = 'The server cannot check access tokens'

/** @throws TypeError where the classes are of neither version */
function readErrorClasses(sdk: unknown): (kind: Kind, message: string) => Error {
  const {
    InvalidTokenError: InvalidToken,
    ServerError: Server,
    OAuthError: OAuth,
  } = (sdk ?? {}) as Partial<McpErrorClassesV1 & McpErrorClassesV2>
  // The base class of version 1 has the second's name and other parameters: the first two decide.
  if (typeof InvalidToken === 'function' && typeof Server === 'function') {
    return (kind, message) =>
      kind === 'invalid_token' ? new InvalidToken(message) : new Server(message)
  }
  if (typeof OAuth === 'function' && !('errorCode' in (OAuth.prototype as object))) {
    return (kind, message) => new OAuth(kind, message)
  }
  throw new TypeError(
    `${where}: the second argument must hold the error classes of the MCP SDK: ` +
      '{ InvalidTokenError, ServerError } of "@modelcontextprotocol/sdk/server/auth/errors.js" (version 1), ' +
      'or { OAuthError } of "@modelcontextprotocol/server" (version 2)',
  )
}

/**
 * Lets the MCP SDK's own `requireBearerAuth` ask a guard of ours: every check of the guard, and the kick-out on every
 * request. What it resolves to is an `Auth`, so `getAuth`, `requireScope` and `cutOnKickOut` work behind it.
 *
 * The SDK knows no 503: where tokens cannot be checked it answers 500, without `Retry-After`. Only the guard itself, put in
 * front of the transport instead, answers 503. It also writes its own challenges, and takes tokens that are bound to a key
 * (DPoP) or a certificate, which are refused here because the SDK hands over the token without its request.
 *
 * @param guard - what `requireAuth()` returned
 * @param sdk - the error classes of the SDK that the server runs
 * @throws TypeError where the guard is not ours, accepts DPoP-bound tokens only, or `sdk` has no such classes
 */
export function tokenVerifier(guard: VerifyingGuard, sdk: McpErrorClasses): McpTokenVerifier {
  const { schemes } = contextOf(where, guard)
  if (schemes?.bearer === false) {
    throw new TypeError(
      `${where}: this guard has dpop: { required: true }, and the MCP SDK hands over no proofs. Put the guard itself in front of the transport`,
    )
  }
  const toError = readErrorClasses(sdk)
  return {
    async verifyAccessToken(token) {
      try {
        return withOwnProperties(await guard.authenticate(noRequest, { token }))
      } catch (error) {
        const isOfToken = isAuthError(error) && !isUnavailableError(error)
        const description = isAuthError(error) ? error.description : unexpected
        const translated = toError(isOfToken ? 'invalid_token' : 'server_error', description)
        // Not enumerable, as of every error: it is for logs.
        Object.defineProperty(translated, 'cause', { value: error, configurable: true })
        throw translated
      }
    },
  }
}
