import { LRUCache } from 'lru-cache'
import { copyOf, isAuthError } from '../errors.ts'
import type { VerifiedToken, Verifier } from './verifier.ts'

function rethrowCopy(error: unknown): never {
  throw isAuthError(error) ? copyOf(error) : error
}

/**
 * Remembers verified tokens, by the whole token and for one verifier only. Nothing unverified ever enters, so a flood of
 * garbage evicts nobody. First uses of one token at the same time share one verification.
 *
 * What it returns *was* verified; whether it still counts (expiry, key, kick-out) is the caller's to look at each time.
 */
export class VerifiedCache {
  readonly #verifier: Verifier
  readonly #tokens: LRUCache<string, VerifiedToken> | undefined
  readonly #pending = new Map<string, Promise<VerifiedToken>>()

  constructor(verifier: Verifier, maxTokens: number) {
    this.#verifier = verifier
    this.#tokens = maxTokens > 0 ? new LRUCache({ max: maxTokens }) : undefined
  }

  get(token: string): VerifiedToken | undefined {
    return this.#tokens?.get(token)
  }

  forget(token: string): void {
    this.#tokens?.delete(token)
  }

  /** Verifies a token that {@link get} does not know. */
  async verify(token: string): Promise<VerifiedToken> {
    const pending = this.#pending.get(token)
    // Error handlers may write on the error they get, so no two requests get the same one.
    if (pending) return pending.catch(rethrowCopy)
    const verification = this.#verifier
      .verify(token)
      .then((verified) => {
        this.#tokens?.set(token, verified)
        return verified
      })
      .finally(() => this.#pending.delete(token))
    this.#pending.set(token, verification)
    return verification
  }
}
