import { AuthError, type UnavailableError } from '../errors.ts'

/** What a challenge says about this resource server. */
export interface ChallengeSettings {
  readonly realm: string
  readonly resourceMetadataUrl: string | undefined
}

/** Everything outside printable ASCII goes; quotes and backslashes are escaped. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, '\\$&')}"`
}

/**
 * The value of `WWW-Authenticate`. A request without credentials gets no `error`.
 *
 * @see RFC 6750 §3, RFC 9728 §5.1
 */
export function toChallenge(
  error: AuthError,
  settings: ChallengeSettings,
  scopes?: readonly string[],
): string {
  const parameters = [`realm=${quoted(settings.realm)}`]
  if (error.code !== 'missing_token') parameters.push(`error=${quoted(error.code)}`)
  if (scopes) parameters.push(`scope=${quoted(scopes.join(' '))}`)
  if (error.code !== 'missing_token') {
    parameters.push(`error_description=${quoted(error.description)}`)
  }
  if (settings.resourceMetadataUrl !== undefined) {
    parameters.push(`resource_metadata=${quoted(settings.resourceMetadataUrl)}`)
  }
  return `Bearer ${parameters.join(', ')}`
}

interface HeaderTarget {
  readonly headersSent?: boolean
  setHeader(name: string, value: string): unknown
}

/** Puts the challenge on the error itself, for those who build a response of their own. */
export function writeErrorHeaders(
  error: AuthError | UnavailableError,
  settings: ChallengeSettings,
  scopes?: readonly string[],
): void {
  if (error instanceof AuthError) {
    error.headers = { 'WWW-Authenticate': toChallenge(error, settings, scopes) }
  }
}

/** Puts the headers that belong to an error on the response, and on the error for handlers that build their own response. */
export function writeHeaders(
  res: HeaderTarget,
  error: AuthError | UnavailableError,
  settings: ChallengeSettings,
  scopes?: readonly string[],
): void {
  writeErrorHeaders(error, settings, scopes)
  // The application may have answered while keys were fetched. Node throws for a header that comes too late.
  if (res.headersSent) return
  for (const [name, value] of Object.entries(error.headers)) res.setHeader(name, value)
}

/** The JSON body of an error, as `authErrorHandler` sends it. */
export function toErrorBody(error: AuthError | UnavailableError): {
  error: string
  error_description: string
} {
  return { error: error.code, error_description: error.description }
}
