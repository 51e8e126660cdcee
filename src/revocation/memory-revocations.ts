import { randomBytes } from 'node:crypto'
import type { AccessTokenClaims } from '../auth.ts'
import { type Clock, systemClock } from '../clock.ts'
import { emitterOf, lendEvents, type RevocationsEvent } from '../events.ts'
import { assertOptions, readNumber, readString } from '../options.ts'
import { closedError } from './copy-state.ts'
import { Denylist } from './denylist.ts'
import { expiryMarginMs, isRevoked, type Revocation, type RevocationVerdict } from './revocation.ts'
import {
  type AuditedRevocations,
  defaultRetentionSeconds,
  type KickOutOptions,
  type KickOutPage,
  type KickOutResult,
  fitsQuery,
  readKickOutOptions,
  type ServerStatus,
  notify,
  type RevocationsStatus,
  toKickOutRecord,
  UnknownKickOutError,
} from './revocations.ts'
import { type KickOutTarget, type ResolvedTarget, resolveTarget } from './target.ts'

/** What `memoryRevocations` is given. */
export interface MemoryRevocationsOptions {
  /** The issuer meant by targets that name none. */
  issuer?: string
  /**
   * How long a revocation is kept, seconds: at least the longest token lifetime plus twice the clock tolerance.
   *
   * @defaultValue 90000
   */
  retentionSeconds?: number
}

/** A session store's part in a kick-out: it ends the sessions concerned, and knows the user's version. */
export interface KickOutHook {
  (
    target: ResolvedTarget,
    at: number,
    /** `false` where the caller gave the moment, which may be past. */
    isNow: boolean,
  ): { readonly sessionsEnded: number; readonly version?: number; readonly at: number }
}

export interface MemoryRevocationsDeps {
  readonly clock: Clock
  readonly onTarget?: KickOutHook
}

const optionNames = ['issuer', 'retentionSeconds'] as const
/** Kick-outs with an author have a list of their own, so that logouts never push them out of the history. */
const maxRecords = 1000
const maxAuthoredRecords = 10_000
/** The only server that these revocations know. */
const ownServerId = 'memory'
/** A kick-out of a token or session is kept 1/8 longer than needed, so that a repetition need not be stored again. */
const repeatRoom = 9 / 8

/** How long a revocation has to be kept: the retention, or less where the token is known to expire sooner. */
function neededMs(target: ResolvedTarget, now: number, retentionMs: number): number {
  const known = target.expiresAtMs
  // An `exp` in the past is either wrong or of a token that no longer matters: the full retention costs little.
  return known === undefined || known <= now
    ? retentionMs
    : Math.min(retentionMs, known + expiryMarginMs - now)
}

/**
 * Revocations for a single process: in force at once, gone with the process.
 *
 * @throws TypeError for wrong options
 */
export function memoryRevocations(options: MemoryRevocationsOptions = {}): AuditedRevocations {
  return createMemoryRevocations(options, { clock: systemClock })
}

export function createMemoryRevocations(
  options: MemoryRevocationsOptions,
  deps: MemoryRevocationsDeps,
): AuditedRevocations {
  const where = 'memoryRevocations'
  assertOptions(where, options, optionNames)
  const defaultIssuer = readString(where, 'issuer', options.issuer)
  const retentionSeconds = readNumber(where, 'retentionSeconds', options.retentionSeconds, {
    fallback: defaultRetentionSeconds,
    min: 1,
  })
  const { clock, onTarget } = deps
  const denylist = new Denylist(clock)
  const listeners = new Set<(revocation: Revocation) => void>()
  const logouts: Revocation[] = []
  const authored: Revocation[] = []
  const order = new WeakMap<Revocation, number>()
  /** Tokens and sessions that are out, by level, issuer and id, in the order in which they expire. */
  const out = new Map<string, Revocation>()
  const emit = emitterOf<RevocationsEvent>(undefined)
  let closed = false
  let applied = 0

  function assertOpen(): void {
    if (closed) throw closedError()
  }

  /** An earlier kick-out that lasts as long as a new one would. */
  function earlierKickOut(
    { level, issuer, id }: ResolvedTarget,
    untilMs: number,
  ): Revocation | undefined {
    if (level !== 'token' && level !== 'session') return undefined
    const earlier = out.get(JSON.stringify([level, issuer, id]))
    return earlier && earlier.until >= untilMs ? earlier : undefined
  }

  function remember(revocation: Revocation): void {
    const { level, issuer, id } = revocation
    if (level === 'token' || level === 'session') {
      const key = JSON.stringify([level, issuer, id])
      out.delete(key)
      out.set(key, revocation)
      for (const [oldest, { until }] of out) {
        if (until > clock.now()) break
        out.delete(oldest)
      }
    }
    const [records, max] =
      revocation.by === undefined ? [logouts, maxRecords] : [authored, maxAuthoredRecords]
    order.set(revocation, applied)
    records.push(revocation)
    if (records.length > max) records.shift()
  }

  function check(claims: AccessTokenClaims): RevocationVerdict {
    assertOpen()
    return isRevoked(claims, denylist, clock)
  }

  async function kickOut(
    target: KickOutTarget,
    kickOutOptions: KickOutOptions = {},
  ): Promise<KickOutResult> {
    assertOpen()
    const startedAt = clock.monotonic()
    const resolved = resolveTarget(target, defaultIssuer)
    const { reason, at: givenAt } = readKickOutOptions(kickOutOptions, retentionSeconds, clock)
    const now = clock.now()
    const hooked = onTarget?.(resolved, givenAt ?? now, givenAt === undefined)
    const at = hooked?.at ?? givenAt ?? now
    const needed = neededMs(resolved, now, retentionSeconds * 1000)
    const result = (kickOutId: string, moment: number): KickOutResult => ({
      id: kickOutId,
      at: moment,
      servers: 1,
      confirmed: 1,
      unconfirmed: [],
      elapsedMs: clock.monotonic() - startedAt,
      sessionsEnded: hooked?.sessionsEnded ?? 0,
    })
    const earlier = earlierKickOut(resolved, now + needed)
    if (earlier) {
      reportProgress(kickOutOptions)
      return Promise.resolve(result(earlier.kickOutId, earlier.at))
    }
    const hasRoom =
      ['token', 'session'].includes(resolved.level) && needed === retentionSeconds * 1000
    const held = denylist.of(resolved.issuer)?.get('subject', resolved.id)?.version ?? 0
    const version =
      hooked?.version ?? (givenAt === undefined ? Math.max(held, at) + 1 : Math.max(held, at + 1))
    const revocation: Revocation = {
      kickOutId: randomBytes(12).toString('base64url'),
      issuer: resolved.issuer,
      level: resolved.level,
      id: resolved.id,
      at,
      until: now + (hasRoom ? needed * repeatRoom : needed),
      ...(resolved.level === 'subject' && { version }),
      ...(reason !== undefined && { reason }),
      ...(kickOutOptions.by !== undefined && { by: kickOutOptions.by }),
    }
    const changed = denylist.apply(revocation, revocation.until - now)
    applied++
    remember(revocation)
    if (changed) notify(listeners, revocation)
    reportProgress(kickOutOptions)
    const { kickOutId: id, level } = revocation
    const done = result(id, at)
    const { servers, confirmed, elapsedMs } = done
    emit({ type: 'kickout.published', id, level, servers, confirmed, elapsedMs })
    return Promise.resolve(done)
  }

  /** The newest first. */
  function records(): Revocation[] {
    const oldest = clock.now() - retentionSeconds * 1000
    return [...logouts, ...authored]
      .filter((revocation) => revocation.at >= oldest)
      .sort((a, b) => (order.get(b) ?? 0) - (order.get(a) ?? 0))
  }

  const made: AuditedRevocations = {
    ...(defaultIssuer !== undefined && { issuer: defaultIssuer }),
    isPerProcess: true,
    retentionSeconds,
    kickOut,
    check,
    checkNow: async (claims) => Promise.resolve(check(claims)),
    onKickOut(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    status(): RevocationsStatus {
      denylist.tidy()
      return { state: closed ? 'closed' : 'live', stalenessMs: 0, entries: denylist.size }
    },
    async ready() {
      assertOpen()
      await Promise.resolve()
    },
    async close() {
      closed = true
      listeners.clear()
      await Promise.resolve()
    },
    async listKickOuts(query): Promise<KickOutPage> {
      const found = records().filter((revocation) => fitsQuery(revocation, query))
      const { before, limit } = query
      // The cursor is the id of a kick-out, which the query's other conditions may leave out.
      const all = before === undefined ? [] : records()
      const start = all.findIndex(({ kickOutId }) => kickOutId === before)
      if (before !== undefined && start < 0) throw new UnknownKickOutError()
      const older = new Set(all.slice(start + 1))
      const rest =
        before === undefined ? found : found.filter((revocation) => older.has(revocation))
      const page = rest.slice(0, limit)
      const last = page.at(-1)
      return Promise.resolve({
        kickOuts: page.map(toKickOutRecord),
        ...(last && rest.length > limit && { next: last.kickOutId }),
      })
    },
    async listServers(): Promise<ServerStatus[]> {
      return Promise.resolve([
        { serverId: ownServerId, state: closed ? 'closed' : 'live', stalenessMs: 0, applied },
      ])
    },
  }
  return lendEvents(made, emit)
}

function reportProgress({ onProgress }: KickOutOptions): void {
  try {
    onProgress?.({ confirmed: [ownServerId], unconfirmed: [] })
  } catch {
    // The kick-out is in force already: an error of its listener must not make it look failed.
  }
}
