import type { AccessTokenClaims } from '../auth.ts'
import type { Clock } from '../clock.ts'
import { AuthError } from '../errors.ts'
import {
  idAtLevel,
  type Revocation,
  type RevocationLevel,
  revocationLevels,
  revokes,
} from '../revocation/revocation.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { VerifiedToken } from './token/verifier.ts'

const maxTimerMs = 2 ** 31 - 1

interface Watch {
  readonly claims: AccessTokenClaims
  readonly validUntilMs: number
  readonly signal: WeakRef<AbortSignal>
  timer: NodeJS.Timeout | undefined
}

/** The response that a signal belongs to: until it closes, the signal is held even if nobody else holds it. */
interface ClosableResponse {
  readonly closed?: boolean
  once(event: 'close', listener: () => void): unknown
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
  /** A signal keeps its controller: a signal that somebody holds can be aborted, one that nobody holds goes. */
  readonly #controllers = new WeakMap<AbortSignal, AbortController>()
  readonly #collected = new FinalizationRegistry<Watch>((watch) => this.#drop(watch))
  readonly #held = new Set<AbortSignal>()
  #unsubscribe: (() => void) | undefined
  #closed = false

  constructor(revocations: Revocations | undefined, clock: Clock) {
    this.#revocations = revocations
    this.#clock = clock
  }

  make(verified: VerifiedToken, res: ClosableResponse): AbortSignal {
    const controller = new AbortController()
    const { signal } = controller
    if (this.#closed) return signal
    const watch: Watch = {
      claims: verified.claims,
      validUntilMs: verified.validUntilMs,
      signal: new WeakRef(signal),
      timer: undefined,
    }
    this.#controllers.set(signal, controller)
    this.#collected.register(signal, watch, watch)
    this.#hold(signal, res)
    this.#add(watch)
    this.#unsubscribe ??= this.#revocations?.onKickOut((revocation) => this.#onKickOut(revocation))
    this.#armExpiry(watch)
    this.#abortIfRevokedMeanwhile(watch)
    return signal
  }

  /** Signals made before and after stay as they are: nobody watches for them any more. */
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

  /** The handler may have taken its time between the guard and its first look at `signal`. */
  #abortIfRevokedMeanwhile(watch: Watch): void {
    const abort = (verdict: { revoked: boolean }): void => {
      if (verdict.revoked) this.#abort(watch, 'revoked')
    }
    try {
      const verdict = this.#revocations?.check(watch.claims)
      if (verdict instanceof Promise) verdict.then(abort, () => undefined)
      else if (verdict) abort(verdict)
    } catch {
      // Not provable right now: the request was let in when it was, and the listener tells what comes.
    }
  }

  #onKickOut(revocation: Revocation): void {
    const watches = this.#index.get(revocation.level)?.get(revocation.id)
    for (const watch of [...(watches ?? [])]) {
      if (revokes(revocation, watch.claims)) this.#abort(watch, 'revoked')
    }
  }

  #armExpiry(watch: Watch): void {
    const leftMs = watch.validUntilMs - this.#clock.now()
    if (leftMs <= 0) {
      this.#abort(watch, 'expired')
      return
    }
    watch.timer = setTimeout(() => this.#armExpiry(watch), Math.min(leftMs, maxTimerMs))
    watch.timer.unref()
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
      const id = idAtLevel(level, watch.claims)
      if (id === undefined) continue
      const watches = byId.get(id)
      if (watches) watches.add(watch)
      else byId.set(id, new Set([watch]))
    }
  }

  #drop(watch: Watch): void {
    clearTimeout(watch.timer)
    this.#collected.unregister(watch)
    for (const [level, byId] of this.#index) {
      const id = idAtLevel(level, watch.claims)
      if (id === undefined) continue
      const watches = byId.get(id)
      watches?.delete(watch)
      if (watches?.size === 0) byId.delete(id)
    }
  }
}
