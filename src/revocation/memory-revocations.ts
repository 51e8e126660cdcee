import { randomBytes } from 'node:crypto'
import type { AccessTokenClaims } from '../auth.ts'
import { type Clock, systemClock } from '../clock.ts'
import { UnavailableError } from '../errors.ts'
import { assertOptions, readNumber, readString } from '../options.ts'
import { Denylist } from './denylist.ts'
import { expiryMarginMs, isRevoked, type Revocation, type RevocationVerdict } from './revocation.ts'
import {
  type AuditedRevocations,
  defaultRetentionSeconds,
  type KickOutOptions,
  type KickOutRecord,
  type KickOutResult,
  type ServerStatus,
  notify,
  type RevocationsStatus,
  toKickOutRecord,
} from './revocations.ts'
import { type KickOutTarget, readReason, type ResolvedTarget, resolveTarget } from './target.ts'

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

/** What a session store adds: it ends the sessions concerned, and knows the user's version. */
export interface KickOutHook {
  (
    target: ResolvedTarget,
    at: number,
  ): { readonly sessionsEnded: number; readonly version?: number }
}

export interface MemoryRevocationsDeps {
  readonly clock: Clock
  readonly onTarget?: KickOutHook
}

const optionNames = ['issuer', 'retentionSeconds'] as const
const maxAuditRecords = 1000

/** When a revocation may be forgotten: after the retention, or sooner where the token is known to expire sooner. */
function keptUntil(target: ResolvedTarget, at: number, retentionMs: number): number {
  const known = target.expiresAtMs
  // An `exp` in the past is either wrong or of a token that no longer matters: the full retention costs little.
  return known === undefined || known <= at
    ? at + retentionMs
    : Math.min(at + retentionMs, known + expiryMarginMs)
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
  const audit: Revocation[] = []
  let closed = false
  let applied = 0

  function assertOpen(): void {
    if (closed) throw new UnavailableError('revocations', 'These revocations were closed')
  }

  function versionAfter(target: ResolvedTarget, at: number, known: number | undefined): number {
    const held = denylist.of(target.issuer)?.get('subject', target.id)?.version ?? 0
    return Math.max(known ?? 0, held + 1, at)
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
    const reason = readReason(kickOutOptions.reason)
    const at = clock.now()
    const hooked = onTarget?.(resolved, at)
    const revocation: Revocation = {
      kickOutId: randomBytes(12).toString('base64url'),
      issuer: resolved.issuer,
      level: resolved.level,
      id: resolved.id,
      at,
      until: keptUntil(resolved, at, retentionSeconds * 1000),
      ...(resolved.level === 'subject' && { version: versionAfter(resolved, at, hooked?.version) }),
      ...(reason !== undefined && { reason }),
      ...(kickOutOptions.by !== undefined && { by: kickOutOptions.by }),
    }
    const changed = denylist.apply(revocation, revocation.until - at)
    applied++
    audit.push(revocation)
    if (audit.length > maxAuditRecords) audit.shift()
    if (changed) notify(listeners, revocation)
    return Promise.resolve({
      id: revocation.kickOutId,
      at,
      servers: 1,
      confirmed: 1,
      elapsedMs: clock.monotonic() - startedAt,
      sessionsEnded: hooked?.sessionsEnded ?? 0,
    })
  }

  return {
    ...(defaultIssuer !== undefined && { issuer: defaultIssuer }),
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
    async listKickOuts(limit): Promise<KickOutRecord[]> {
      const oldest = clock.now() - retentionSeconds * 1000
      const kept = audit.filter((revocation) => revocation.at >= oldest)
      return Promise.resolve(kept.slice(-limit).reverse().map(toKickOutRecord))
    },
    async listServers(): Promise<ServerStatus[]> {
      return Promise.resolve([
        { serverId: 'memory', state: closed ? 'closed' : 'live', stalenessMs: 0, applied },
      ])
    },
  }
}
