import { decodeProtectedHeader } from 'jose/decode/protected_header'
import { decodeJwt } from 'jose/jwt/decode'
import { isAuthError, isUnavailableError } from '../errors.ts'
import { requireAuth } from '../guard/middleware.ts'
import type { RequireAuthOptions } from '../guard/require-auth-options.ts'
import type { AuditedRevocations, Revocations } from '../revocation/revocations.ts'
import { textOf } from './arguments.ts'
import type { Invocation } from './commands.ts'
import { variables } from './environment.ts'
import { CommandFailure, unreachable, usageError } from './failure.ts'
import { durationText, momentText, type Output } from './output.ts'
import { namesStore, withStore } from './store.ts'

/** What a guard would answer. */
interface Verdict {
  readonly status: number
  readonly code: string | null
  readonly reason: string | null
  readonly message: string
}

interface Token {
  readonly text: string
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** @throws CommandFailure for text that is no JWT; it is never quoted */
function readToken(input: string): Token {
  const text = input.trim().replace(/^(?:Authorization: *)?Bearer +/i, '')
  if (text === '') throw usageError('standard input is empty: pipe the token in')
  try {
    return { text, header: { ...decodeProtectedHeader(text) }, claims: { ...decodeJwt(text) } }
  } catch {
    throw new CommandFailure(
      'refused',
      'what was piped in is no JWT of three parts: a guard answers 401 invalid_token, reason malformed ' +
        '(an opaque token can only be judged by its issuer, see "introspection")',
    )
  }
}

/** Asks the store itself: this process follows no log. */
function askingRevocations(revocations: AuditedRevocations): Revocations {
  return {
    retentionSeconds: revocations.retentionSeconds,
    retentionSecondsFor: (issuedAtMs) =>
      revocations.retentionSecondsFor?.(issuedAtMs) ?? revocations.retentionSeconds,
    kickOut: async (target, options) => revocations.kickOut(target, options),
    check: async (claims) => revocations.checkNow(claims),
    onKickOut: () => () => undefined,
    status: () => ({ state: 'live', stalenessMs: 0, entries: 0 }),
    ready: async () => Promise.resolve(),
    close: async () => Promise.resolve(),
  }
}

/** The options of the guard, and which checks are left out because no option was given for them. */
function guardOptions(
  { given, environment }: Invocation,
  { claims }: Token,
  revocations: Revocations | false,
): { options: RequireAuthOptions; assumed: string[] } | undefined {
  const issuer = textOf(given, 'issuer') ?? environment.issuer
  if (issuer === undefined) return undefined
  const jwksUri = textOf(given, 'jwks-uri') ?? environment.jwksUri
  const audience = textOf(given, 'audience') ?? environment.audience
  const own = [claims['aud']].flat().filter((name): name is string => typeof name === 'string')
  const client = ['client_id', 'azp', 'cid', 'appid'].map((name) => claims[name])
  const clientIds = client.filter((name): name is string => typeof name === 'string')
  // Without a word from the user the token's own audience is taken, so that the rest can be judged.
  const accepted =
    audience !== undefined
      ? { audience }
      : own.length > 0
        ? { audience: own }
        : clientIds.length > 0
          ? { clientIds }
          : { audience: 'none' }
  return {
    options: {
      issuer,
      revocations,
      ...accepted,
      ...(jwksUri !== undefined && { jwksUri }),
    },
    assumed: [
      ...(audience === undefined
        ? [`the audience was not checked: name it by --audience or ${variables.audience}`]
        : []),
      ...(revocations === false
        ? [
            `kick-outs were not checked: name the store by ${variables.redisUrl} or ${variables.postgresUrl}`,
          ]
        : []),
    ],
  }
}

async function judge(options: RequireAuthOptions, token: string): Promise<Verdict> {
  const guard = requireAuth(options)
  try {
    await guard.authenticate({ headers: {} } as never, { token })
    return { status: 200, code: null, reason: null, message: 'a guard lets this token in' }
  } catch (error) {
    if (!isAuthError(error) && !isUnavailableError(error)) throw error
    const { status, code, reason, message } = error
    return { status, code, reason, message }
  } finally {
    await guard.close()
  }
}

function momentClaim(claims: Token['claims'], name: string): string {
  const value = claims[name]
  if (typeof value !== 'number') return 'absent'
  const awayMs = value * 1000 - Date.now()
  const away = durationText(Math.abs(awayMs))
  return `${momentText(value * 1000)}, ${awayMs > 0 ? `in ${away}` : `${away} ago`}`
}

function textClaim(value: unknown): string {
  if (value === undefined) return 'absent'
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function report(
  { header, claims }: Token,
  verdict: Verdict | undefined,
  notes: readonly string[],
  output: Output,
): void {
  output.json({ header, claims, verdict: verdict ?? null, notes })
  const rows = [
    [
      'algorithm',
      `${textClaim(header['alg'])}, kid ${textClaim(header['kid'])}, typ ${textClaim(header['typ'])}`,
    ],
    ['issuer', textClaim(claims['iss'])],
    ['audience', textClaim(claims['aud'])],
    ['subject', textClaim(claims['sub'])],
    ['client', textClaim(claims['client_id'] ?? claims['azp'] ?? claims['cid'] ?? claims['appid'])],
    ['session', textClaim(claims['sid'])],
    ['token', textClaim(claims['jti'])],
    ['scope', textClaim(claims['scope'] ?? claims['scp'])],
    ['issued', momentClaim(claims, 'iat')],
    ['expires', momentClaim(claims, 'exp')],
  ]
  output.table(rows)
  output.line()
  if (verdict) {
    output.line(
      verdict.status === 200
        ? `200: ${verdict.message}`
        : `${verdict.status} ${verdict.code ?? ''}, reason ${verdict.reason ?? ''}: ${verdict.message}`,
    )
  }
  for (const note of notes) output.line(`note: ${note}`)
}

const unverified =
  `the signature was not verified, since no issuer is named: --issuer or ${variables.issuer}. ` +
  'The issuer that the token names is not asked, because the sender of a token can write any issuer there'

async function inspect(
  invocation: Invocation,
  token: Token,
  revocations: Revocations | false,
): Promise<boolean> {
  const { output } = invocation
  const guard = guardOptions(invocation, token, revocations)
  if (!guard) {
    report(token, undefined, [unverified], output)
    throw usageError('no issuer is named, so nothing can be said of the signature: add --issuer')
  }
  let verdict
  try {
    verdict = await judge(guard.options, token.text)
  } catch (error) {
    // A wrong issuer or address.
    if (error instanceof TypeError) throw usageError(error.message.replace('requireAuth: ', ''))
    throw error
  }
  report(token, verdict, guard.assumed, output)
  if (verdict.status === 503) throw unreachable(`no verdict: ${verdict.message}`)
  return verdict.status === 200
}

/** Says what a guard would make of the token on standard input. The token itself is never printed. */
export async function inspectToken(invocation: Invocation): Promise<boolean> {
  const token = readToken(await invocation.readInput())
  if (!namesStore(invocation)) return inspect(invocation, token, false)
  return withStore(invocation, async ({ revocations }) => {
    const asking = askingRevocations(revocations)
    return inspect(invocation, token, asking)
  })
}
