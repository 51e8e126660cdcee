import { hostname, userInfo } from 'node:os'
import { isIdentifier, maxIdentifierLength } from '../identifier.ts'
import type { KickOutProgress } from '../revocation/confirm.ts'
import type { KickOutResult } from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'
import { type Given, millisecondsOf, type OptionName, textOf } from './arguments.ts'
import type { Invocation } from './commands.ts'
import { variables } from './environment.ts'
import { usageError } from './failure.ts'
import { countText, durationText, momentText, type Output } from './output.ts'
import { type Store, withStore } from './store.ts'

/**
 * How long the servers are waited for unless told otherwise. By default a server that was paused counts for 5 seconds, so
 * that after ten each has confirmed or can no longer accept anything by what it knew.
 */
const defaultTimeoutMs = 10_000
const progressEveryMs = 1000

const levels = ['subject', 'session', 'jti', 'client', 'everyone'] as const

/** @throws CommandFailure unless it is an id. An empty shell variable is a mistake, and must not pass for an id */
export function readId(given: Given, name: OptionName): string | undefined {
  const id = textOf(given, name)
  if (id === undefined) return undefined
  if (id.trim() === '') throw usageError(`--${name} must not be blank`)
  if (id === '*') throw usageError(`--${name} knows no wildcard; --everyone --yes is everyone`)
  if (isIdentifier(id)) return id
  throw usageError(`--${name} must be at most ${maxIdentifierLength} well-formed characters`)
}

/** @throws CommandFailure that names the flag */
export function readTarget({
  given,
  environment,
}: Pick<Invocation, 'given' | 'environment'>): KickOutTarget & { issuer: string } {
  const named = levels.filter((level) => given[level] !== undefined)
  const [level] = named
  if (level === undefined || named.length > 1) {
    const flags = levels.map((name) => `--${name}`).join(', ')
    throw usageError(`exactly one of ${flags} says who is kicked out`)
  }
  const issuer = readId(given, 'issuer') ?? environment.issuer
  if (issuer === undefined) {
    throw usageError(
      `--issuer is missing: exactly the "iss" of the tokens (or ${variables.issuer}), since the same id of another issuer is another user`,
    )
  }
  if (level === 'everyone') {
    if (given.yes !== true)
      throw usageError(`--everyone signs out every user of ${issuer}: add --yes if that is meant`)
    return { issuer, everyone: true }
  }
  const id = readId(given, level) ?? ''
  if (level === 'jti') return { issuer, token: { jti: id } }
  return { issuer, [level]: id } as unknown as KickOutTarget & { issuer: string }
}

/** Who runs the command, for the history. */
function readAuthor(given: Given): string {
  const named = readId(given, 'by')
  if (named !== undefined) return named
  try {
    return `${userInfo().username}@${hostname()}`.slice(0, maxIdentifierLength)
  } catch {
    // The system has no name for this account, as in some containers.
    return hostname().slice(0, maxIdentifierLength)
  }
}

/** Tells of each server as it confirms, and now and then of those that have not. */
class Waiting {
  readonly #output: Output
  readonly #startedAtMs = performance.now()
  readonly #timeoutMs: number
  readonly #told = new Set<string>()
  #unconfirmed: readonly string[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(output: Output, timeoutMs: number) {
    this.#output = output
    this.#timeoutMs = timeoutMs
  }

  get #elapsedMs(): number {
    return performance.now() - this.#startedAtMs
  }

  onProgress({ confirmed, unconfirmed }: KickOutProgress): void {
    for (const serverId of confirmed) {
      if (this.#told.has(serverId)) continue
      this.#told.add(serverId)
      this.#output.line(`confirmed by ${serverId} after ${durationText(this.#elapsedMs)}`)
    }
    this.#unconfirmed = unconfirmed
    this.#timer ??= setInterval(() => this.#tellOfWaiting(), progressEveryMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #tellOfWaiting(): void {
    const count = this.#unconfirmed.length
    if (count === 0) return
    this.#output.progress(
      `waiting for ${countText(count, 'server')}, ${durationText(this.#elapsedMs)} of ${durationText(this.#timeoutMs)}: ${this.#unconfirmed.join(', ')}`,
    )
  }
}

function targetText(target: KickOutTarget): string {
  if (target.token) return `token ${target.token.jti}`
  if (target.session !== undefined) return `session ${target.session}`
  if (target.subject !== undefined) return `subject ${target.subject}`
  if (target.client !== undefined) return `client ${target.client}`
  return 'everyone'
}

function report(
  target: KickOutTarget & { issuer: string },
  result: KickOutResult,
  output: Output,
): void {
  const { id, at, servers, confirmed, unconfirmed, elapsedMs, sessionsEnded } = result
  const isKnown = !Number.isNaN(servers)
  output.json({
    id,
    at,
    sessions_ended: sessionsEnded,
    servers: isKnown ? servers : null,
    confirmed,
    unconfirmed,
    elapsed_ms: Math.round(elapsedMs),
  })
  output.line(`kicked out ${targetText(target)} of ${target.issuer}`)
  output.line(`  kick-out ${id} at ${momentText(at)}, ${countText(sessionsEnded, 'session')} ended`)
  output.line(
    isKnown
      ? `  in force on ${confirmed} of ${countText(servers, 'server')} after ${durationText(elapsedMs)}`
      : '  the list of servers cannot be read, so it is not known where it is in force',
  )
  for (const serverId of unconfirmed) {
    output.line(`  not confirmed by ${serverId}: it may still accept tokens of before`)
  }
  if (unconfirmed.length > 0) {
    output.line('  repeat the command, or stop these servers; the kick-out is stored')
  }
}

/** Warns when no server has confirmed: either none is running, or the address of the store is wrong. */
function warnOfNoServers(result: KickOutResult, store: Store, wasOpened: boolean, output: Output) {
  if (result.servers !== 0) return
  const mistaken =
    store.kind === 'redis'
      ? 'the database in the URL, --prefix or a key prefix is another one than that of your servers'
      : 'the database or --schema is another one than that of your servers'
  output.note(
    wasOpened
      ? `warning: no server follows this log at the moment (${store.place}). If servers run, ${mistaken}`
      : `warning: nothing was ever stored here (${store.place}), and no server follows. If servers run, ${mistaken}`,
  )
}

/** Kicks out, and waits until every server has confirmed or the time is up. */
export async function kickOut(invocation: Invocation): Promise<boolean> {
  const { given, output } = invocation
  const target = readTarget(invocation)
  const confirmTimeoutMs = millisecondsOf(given, 'timeout') ?? defaultTimeoutMs
  const reason = textOf(given, 'reason')
  const by = readAuthor(given)
  return withStore(invocation, async (store) => {
    const { isOpened } = await store.readLog()
    const waiting = new Waiting(output, confirmTimeoutMs)
    let result
    try {
      result = await store.revocations.kickOut(target, {
        by,
        confirmTimeoutMs,
        onProgress: (progress) => waiting.onProgress(progress),
        ...(reason !== undefined && { reason }),
      })
    } finally {
      waiting.stop()
    }
    report(target, result, output)
    warnOfNoServers(result, store, isOpened, output)
    return result.unconfirmed.length === 0 && !Number.isNaN(result.servers)
  })
}
