import { type AuthError, isUnavailableError, type UnavailableError } from '../errors.ts'
import type { Scheme } from './bearer.ts'

/** What a challenge says about this resource server. */
export interface ChallengeSettings {
  readonly realm: string
  readonly resourceMetadataUrl: string | undefined
  /** What a client without a token is advised to ask for, separated by spaces. */
  readonly challengeScope?: string | undefined
  /** The schemes that are accepted; only `Bearer` unless given. `dpopAlgorithms` has those of proofs, separated by spaces. */
  readonly schemes?: { readonly bearer: boolean; readonly dpopAlgorithms: string | undefined }
}

/** What a challenge says about one refusal. */
export interface ChallengeFacts {
  /** What would have been enough. */
  readonly scopes?: readonly string[] | undefined
  /** The scheme that the request has used. */
  readonly scheme?: Scheme | undefined
  /** The sign-in that would have been enough (RFC 9470 §3). Told with its own error only. */
  readonly authContext?: AuthContextFacts | undefined
}

export interface AuthContextFacts {
  /** In order of preference. */
  readonly acrValues: readonly string[] | undefined
  readonly maxAgeSeconds: number | undefined
}

/** Everything outside printable ASCII goes; quotes and backslashes are escaped. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, '\\$&')}"`
}

/** The scheme that the error is told with: the one that was used, where it is accepted. */
function schemeOfError(
  error: AuthError,
  accepted: readonly Scheme[],
  used: Scheme | undefined,
): Scheme | undefined {
  if (error.code === 'missing_token') return undefined
  const isAboutProof = error.code === 'invalid_dpop_proof' || error.code === 'use_dpop_nonce'
  return accepted.find((scheme) => scheme === (isAboutProof ? 'DPoP' : used)) ?? accepted[0]
}

function acceptedSchemes({ schemes }: ChallengeSettings): readonly Scheme[] {
  if (schemes?.dpopAlgorithms === undefined) return ['Bearer']
  return schemes.bearer ? ['Bearer', 'DPoP'] : ['DPoP']
}

/**
 * The value of `WWW-Authenticate`: one challenge for each scheme that is accepted. A request without credentials gets no
 * `error`, and a scheme that the request did not use has none either.
 *
 * @see RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728 §5.1
 */
export function toChallenge(
  error: AuthError,
  settings: ChallengeSettings,
  { scopes, scheme: used, authContext }: ChallengeFacts = {},
): string {
  const accepted = acceptedSchemes(settings)
  const refused = schemeOfError(error, accepted, used)
  const { realm, resourceMetadataUrl, challengeScope } = settings
  const scope = scopes?.join(' ') ?? (error.code === 'missing_token' ? challengeScope : undefined)
  const wanted = error.code === 'insufficient_user_authentication' ? authContext : undefined
  const challenges = accepted.map((scheme) => {
    const parameters: [string, string | undefined][] = [
      ['realm', realm],
      ['error', scheme === refused ? error.code : undefined],
      ['scope', scope],
      ['error_description', scheme === refused ? error.description : undefined],
      ['acr_values', scheme === refused ? wanted?.acrValues?.join(' ') : undefined],
      ['max_age', scheme === refused ? wanted?.maxAgeSeconds?.toString() : undefined],
      ['algs', scheme === 'DPoP' ? settings.schemes?.dpopAlgorithms : undefined],
      ['resource_metadata', resourceMetadataUrl],
    ]
    const given = parameters.flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${quoted(value)}`],
    )
    return `${scheme} ${given.join(', ')}`
  })
  return challenges.join(', ')
}

interface HeaderTarget {
  readonly headersSent?: boolean
  setHeader(name: string, value: string): unknown
  getHeader?(name: string): number | string | readonly string[] | undefined
}

const exposeHeaders = 'Access-Control-Expose-Headers'

/**
 * Sets headers on a response, and lets the scripts of other origins read them where the application's CORS lets them call.
 *
 * @see RFC 9449 §8 and §7.1, Fetch §3.3.3
 */
export function setHeaders(res: HeaderTarget, headers: Readonly<Record<string, string>>): void {
  // The application may have answered while keys were fetched. Node throws for a header that comes too late.
  if (res.headersSent) return
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value)
  const held = [res.getHeader?.(exposeHeaders) ?? []].flat().join(', ')
  const exposed = held.split(',').flatMap((name) => name.trim() || [])
  const known = new Set(exposed.map((name) => name.toLowerCase()))
  const missing = Object.keys(headers).filter((name) => !known.has(name.toLowerCase()))
  if (missing.length > 0) res.setHeader(exposeHeaders, [...exposed, ...missing].join(', '))
}

/** Puts the challenge on the error itself, for those who build a response of their own. */
export function writeErrorHeaders(
  error: AuthError | UnavailableError,
  settings: ChallengeSettings,
  facts?: ChallengeFacts,
): void {
  if (isUnavailableError(error)) return
  const challenge = { 'WWW-Authenticate': toChallenge(error, settings, facts) }
  error.headers = { ...error.headers, ...challenge }
}

/** Puts the headers that belong to an error on the response, and on the error for handlers that build their own response. */
export function writeHeaders(
  res: HeaderTarget,
  error: AuthError | UnavailableError,
  settings: ChallengeSettings,
  facts?: ChallengeFacts,
): void {
  writeErrorHeaders(error, settings, facts)
  setHeaders(res, error.headers)
}

/** The JSON body of an error, as `authErrorHandler` sends it. */
export function toErrorBody(error: AuthError | UnavailableError): {
  error: string
  error_description: string
} {
  return { error: error.code, error_description: error.description }
}
