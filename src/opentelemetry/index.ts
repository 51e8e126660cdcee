import { type BatchObservableResult, type MeterProvider, metrics } from '@opentelemetry/api'
import { eventSourceOf, type GuardEvent, type RevocationsEvent } from '../events.ts'
import type { AuthHandler } from '../guard/middleware.ts'
import type { GuardStats } from '../guard/stats.ts'
import type { Issuer } from '../issuer/index.ts'
import { assertOptions, optionError } from '../options.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { createInstruments, type Instruments } from './instruments.ts'

const where = 'instrument'

/** What is measured, and where the metrics go. */
export interface InstrumentOptions {
  /** What `requireAuth` returned: all guards of the process. Their numbers are added up. */
  guards?: AuthHandler | readonly AuthHandler[]
  /** The revocations that the guards check. */
  revocations?: Revocations
  /** An issuer of this process: its refreshes, and the kick-outs that go through it. */
  issuer?: Issuer
  /**
   * Where the metrics go.
   *
   * @defaultValue the provider that the application has registered by the time of the call
   */
  meterProvider?: MeterProvider
}

interface Sources {
  readonly guards: readonly AuthHandler[]
  readonly revocations: Revocations | undefined
  readonly issuer: Issuer | undefined
  readonly meterProvider: MeterProvider
}

const states = ['starting', 'live', 'stale', 'closed'] as const

function hasMethod(value: unknown, name: string): boolean {
  return typeof (value as Record<string, unknown> | null | undefined)?.[name] === 'function'
}

function readSources(options: InstrumentOptions): Sources {
  assertOptions(where, options, ['guards', 'revocations', 'issuer', 'meterProvider'])
  const { guards = [], revocations, issuer, meterProvider = metrics.getMeterProvider() } = options
  const list = [...new Set([guards].flat())] as AuthHandler[]
  if (!list.every((guard) => hasMethod(guard, 'stats'))) {
    throw optionError(where, 'guards', 'must hold what requireAuth() returned')
  }
  if (revocations !== undefined && !hasMethod(revocations, 'status')) {
    const makers = 'memoryRevocations(), redisRevocations() or postgresRevocations()'
    throw optionError(where, 'revocations', `must come from ${makers}`)
  }
  if (issuer !== undefined && !hasMethod(issuer, 'stats')) {
    throw optionError(where, 'issuer', 'must be what createIssuer() returned')
  }
  if (!hasMethod(meterProvider, 'getMeter')) {
    throw optionError(where, 'meterProvider', 'must be a MeterProvider of OpenTelemetry')
  }
  if (list.length === 0 && !revocations && !issuer) {
    throw new TypeError(`${where}: pass at least one of guards, revocations and issuer`)
  }
  return { guards: list, revocations, issuer, meterProvider }
}

/** Adds up what several guards have counted under the same attributes: an instrument takes one number for each. */
function sumByAttributes(
  all: readonly GuardStats[],
): Map<string, { attributes: Record<string, string>; value: number }> {
  const sums = new Map<string, { attributes: Record<string, string>; value: number }>()
  const add = (outcome: string, value: number, reason?: string): void => {
    const key = `${outcome} ${reason ?? ''}`
    const attributes = { outcome, ...(reason !== undefined && { 'error.type': reason }) }
    const sum = sums.get(key) ?? { attributes, value: 0 }
    sum.value += value
    sums.set(key, sum)
  }
  for (const stats of all) {
    add('accepted', stats.accepted)
    if (stats.anonymous > 0) add('anonymous', stats.anonymous)
    if (stats.failed > 0) add('failed', stats.failed, '_OTHER')
    for (const outcome of ['rejected', 'unavailable', 'forbidden'] as const) {
      for (const [reason, value] of Object.entries(stats[outcome])) add(outcome, value, reason)
    }
  }
  return sums
}

function observeRevocations(
  revocations: Revocations,
  result: BatchObservableResult,
  instruments: Instruments,
): void {
  const { state: current, stalenessMs, entries } = revocations.status()
  result.observe(instruments.entries, entries)
  for (const state of states) {
    result.observe(instruments.state, state === current ? 1 : 0, { state })
  }
  // Before the first load there is no proof whose age could be told; the state says so.
  if (Number.isFinite(stalenessMs)) result.observe(instruments.staleness, stalenessMs / 1000)
}

/**
 * Feeds the metrics of OpenTelemetry from what guards, revocations and an issuer count anyway: a request pays nothing for
 * it. Call it once in a process, after the SDK was started, with all guards. No metric carries a token, a subject or a
 * session.
 *
 * @returns the way to stop it; what was collected until then stays
 * @throws TypeError for wrong options
 */
export function instrument(options: InstrumentOptions): () => void {
  const { guards, revocations, issuer, meterProvider } = readSources(options)
  const meter = meterProvider.getMeter('express-kickout')
  const instruments = createInstruments(meter)
  let unconfirmed = 0

  function noteKeys(event: GuardEvent): void {
    if (!('durationMs' in event)) return
    const seconds = event.durationMs / 1000
    if (event.type === 'jwks.failed') {
      instruments.fetchDuration.record(seconds, { 'error.type': 'jwks' })
    } else instruments.fetchDuration.record(seconds)
  }

  function noteKickOut(event: RevocationsEvent): void {
    if (event.type === 'kickout.published') {
      const { level, elapsedMs, servers, confirmed } = event
      instruments.kickOutDuration.record(elapsedMs / 1000, { level })
      // Where the list of servers could not be read, at least one may not have it.
      unconfirmed += Number.isFinite(servers) ? Math.max(0, servers - confirmed) : 1
    }
    if (event.type === 'kickout.failed') {
      const { level, elapsedMs } = event
      instruments.kickOutDuration.record(elapsedMs / 1000, { level, 'error.type': 'revocations' })
    }
  }

  function observe(result: BatchObservableResult): void {
    const stats = guards.map((guard) => guard.stats())
    for (const { attributes, value } of sumByAttributes(stats).values()) {
      result.observe(instruments.requests, value, attributes)
    }
    if (revocations) observeRevocations(revocations, result, instruments)
    if (revocations ?? issuer) result.observe(instruments.unconfirmed, unconfirmed)
    for (const [outcome, value] of Object.entries(issuer?.stats().refreshes ?? {})) {
      result.observe(instruments.refreshes, value, { result: outcome })
    }
  }

  // An issuer's revocations are those of its store: they may be the very ones that were passed too.
  const kickOuts = new Set(
    [revocations, issuer?.revocations].flatMap((source) =>
      source ? (eventSourceOf<RevocationsEvent>(source) ?? []) : [],
    ),
  )
  const keys = guards.flatMap((guard) => eventSourceOf<GuardEvent>(guard) ?? [])
  const stops = [
    ...[...kickOuts].map((source) => source.listen(noteKickOut)),
    ...keys.map((source) => source.listen(noteKeys)),
  ]
  const { requests, staleness, entries, state, refreshes } = instruments
  const observed = [requests, staleness, entries, state, instruments.unconfirmed, refreshes]
  meter.addBatchObservableCallback(observe, observed)
  return () => {
    meter.removeBatchObservableCallback(observe, observed)
    for (const stop of stops) stop()
  }
}
