import type { AccessTokenClaims } from '../auth.ts'
import type { Clock } from '../clock.ts'
import { AuthError } from '../errors.ts'
import {
  idsAtLevel,
  type Revocation,
  type RevocationLevel,
  revocationLevels,
  revokes,
} from '../revocation/revocation.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { VerifiedToken } from './token/verifier.ts'

const maxTimerMs = 2 ** 31 - 1

interface Watch {
  /** The claims of the token, and once more for each further name of its user, session or id. */
  readonly claims: readonly [AccessTokenClaims, ...AccessTokenClaims[]]
  readonly validUntilMs: number
  readonly signal: WeakRef<AbortSignal>
  timer: NodeJS.Timeout | undefined
}

function watchedIds(level: RevocationLevel, { claims }: Watch): Set<string> {
  return new Set(claims.flatMap((each) => idsAtLevel(level, each)))
}

/** The response that a signal belongs to. Until it closes, this guard keeps the signal from being collected. */
interface ClosableResponse {
  readonly closed?: boolean
  once(event: 'close', listener: () => void): unknown
}

function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function'
}

/**
 * Whether revocations can say that a token is still good, or would throw. A promise is an answer on its way: where stale
 * revocations ask the store (`whenStale: 'lookup'`), requests are not refused for it, and nothing is asked here while they
 * are live.
 */
export function canVouch(revocations: Revocations | undefined, claims: AccessTokenClaims): boolean {
  if (!revocations) return true
  try {
    if (revocations.status().state === 'live') return true
    const verdict = revocations.check(claims)
    if (isThenable(verdict)) Promise.resolve(verdict).catch(() => undefined)
    return true
  } catch {
    return false
  }
}

/**
 * Makes the `signal`s of one guard and aborts them. Indexed by what a revocation can name, so that a kick-out costs as much
 * as it has streams to close, whatever the number of open ones.
 */
export class Signals {
  readonly #revocations: Revocations | undefined
  readonly #clock: Clock
  readonly #index = new Map<RevocationLevel, Map<string, Set<Watch>>>(
    revocationLevels.map((level) => [level, new Map()]),
  )
  /** The controller of each signal. It lives as long as the application holds the signal, and is then collected with it. */
  readonly #controllers = new WeakMap<AbortSignal, AbortController>()
  readonly #collected = new FinalizationRegistry<Watch>((watch) => this.#drop(watch))
  readonly #held = new Set<AbortSignal>()
  #unsubscribe: (() => void) | undefined
  #closed = false

  constructor(revocations: Revocations | undefined, clock: Clock) {
    this.#revocations = revocations
    this.#clock = clock
  }

  /** @param res - absent where a token was checked without a response, as for a WebSocket */
  make(verified: VerifiedToken, res: ClosableResponse | undefined): AbortSignal {
    const controller = new AbortController()
    const { signal } = controller
    if (this.#closed) return signal
    const watch: Watch = {
      claims: [verified.claims, ...verified.aliases],
      validUntilMs: verified.validUntilMs,
      signal: new WeakRef(signal),
      timer: undefined,
    }
    this.#controllers.set(signal, controller)
    this.#collected.register(signal, watch, watch)
    if (res) this.#hold(signal, res)
    this.#add(watch)
    this.#unsubscribe ??= this.#revocations?.onKickOut((revocation) => this.#onKickOut(revocation))
    this.#armExpiry(watch)
    this.#abortIfRevokedMeanwhile(watch)
    return signal
  }

  /** Stops watching: no signal is aborted any more. */
  close(): void {
    this.#closed = true
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    for (const watches of this.#index.get('everyone')?.values() ?? []) {
      for (const watch of watches) clearTimeout(watch.timer)
    }
    for (const byId of this.#index.values()) byId.clear()
    this.#held.clear()
  }

  #hold(signal: AbortSignal, res: ClosableResponse): void {
    if (res.closed) return
    this.#held.add(signal)
    res.once('close', () => this.#held.delete(signal))
  }

  /**
   * The handler may have taken its time between the guard and its first look at `signal`. A signal that is dead by then
   * aborts one turn of the event loop later: `addEventListener('abort', …)` on an aborted signal never calls the listener,
   * and the stream would stay open.
   */
  #abortIfRevokedMeanwhile(watch: Watch): void {
    const abort = (verdict: { revoked: boolean }): void => {
      if (verdict.revoked) this.#abort(watch, 'revoked')
    }
    for (const claims of watch.claims) {
      try {
        const verdict = this.#revocations?.check(claims)
        // Of any make: `check` may be the application's own, and its promise that of a library.
        if (isThenable(verdict)) Promise.resolve(verdict).then(abort, () => undefined)
        else if (verdict?.revoked) setImmediate(() => abort(verdict))
      } catch {
        // Not provable right now: the request was let in when it was, and the listener tells what comes.
      }
    }
  }

  #onKickOut(revocation: Revocation): void {
    const watches = this.#index.get(revocation.level)?.get(revocation.id)
    for (const watch of [...(watches ?? [])]) {
      const isRevoked = watch.claims.some((claims) => revokes(revocation, claims, this.#clock))
      if (isRevoked) this.#abort(watch, 'revoked')
    }
  }

  #armExpiry(watch: Watch): void {
    const leftMs = watch.validUntilMs - this.#clock.now()
    // A delay of 0 is one turn later: a listener that the handler adds at once hears it.
    watch.timer = setTimeout(() => this.#onTimer(watch), Math.min(Math.max(leftMs, 0), maxTimerMs))
    watch.timer.unref()
  }

  #onTimer(watch: Watch): void {
    if (watch.validUntilMs <= this.#clock.now()) this.#abort(watch, 'expired')
    else this.#armExpiry(watch)
  }

  #abort(watch: Watch, reason: 'revoked' | 'expired'): void {
    const signal = watch.signal.deref()
    this.#drop(watch)
    if (!signal) return
    this.#held.delete(signal)
    const message = reason === 'revoked' ? 'The token was kicked out' : 'The token has expired'
    this.#controllers.get(signal)?.abort(new AuthError('invalid_token', reason, message))
  }

  #add(watch: Watch): void {
    for (const [level, byId] of this.#index) {
      for (const id of watchedIds(level, watch)) {
        const watches = byId.get(id)
        if (watches) watches.add(watch)
        else byId.set(id, new Set([watch]))
      }
    }
  }

  #drop(watch: Watch): void {
    clearTimeout(watch.timer)
    this.#collected.unregister(watch)
    for (const [level, byId] of this.#index) {
      for (const id of watchedIds(level, watch)) {
        const watches = byId.get(id)
        watches?.delete(watch)
        if (watches?.size === 0) byId.delete(id)
      }
    }
  }
}
