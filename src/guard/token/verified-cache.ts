import { LRUCache } from 'lru-cache'
import { copyOf, isAuthError } from '../../errors.ts'
import type { VerifiedToken, Verifier } from './verifier.ts'

interface Pending {
  readonly token: string
  readonly verification: Promise<VerifiedToken>
}

function rethrowCopy(error: unknown): never {
  throw isAuthError(error) ? copyOf(error) : error
}

/**
 * How much of a token's end it is filed under: 256 bits of its signature. Hashing all of some 900 characters would be most
 * of what a request with a known token costs; whether it is the very same token is decided by comparing all of it.
 */
const filedUnder = 43

/** However long tokens are: 32 MiB, which 10 000 tokens of 1 100 characters fill. */
const maxCachedBytes = 32 * 1024 * 1024
/** Measured: a token is held as text, and its payload as an object of about twice that size. */
const bytesPerCharacter = 3

/**
 * Remembers verified tokens, compared as a whole and for one verifier only. Nothing unverified ever enters, so a flood of
 * garbage evicts nobody. First uses of one token at the same time share one verification.
 *
 * What it returns *was* verified; whether it still counts (expiry, key, kick-out) is the caller's to look at each time.
 */
export class VerifiedCache {
  readonly #verifier: Verifier
  readonly #tokens: LRUCache<string, VerifiedToken> | undefined
  readonly #pending = new Map<string, Pending>()

  constructor(verifier: Verifier, maxTokens: number) {
    this.#verifier = verifier
    this.#tokens =
      maxTokens > 0
        ? new LRUCache({
            max: maxTokens,
            maxSize: maxCachedBytes,
            sizeCalculation: ({ token }) => token.length * bytesPerCharacter,
          })
        : undefined
  }

  get(token: string): VerifiedToken | undefined {
    const known = this.#tokens?.get(token.slice(-filedUnder))
    return known?.token === token ? known : undefined
  }

  forget(token: string): void {
    this.#tokens?.delete(token.slice(-filedUnder))
  }

  /** Verifies a token that {@link get} does not know. */
  async verify(token: string): Promise<VerifiedToken> {
    const place = token.slice(-filedUnder)
    const pending = this.#pending.get(place)
    // Error handlers may write on the error they get, so no two requests get the same one.
    if (pending?.token === token) return pending.verification.catch(rethrowCopy)
    const verification = this.#verifier.verify(token)
    this.#pending.set(place, { token, verification })
    try {
      const verified = await verification
      this.#tokens?.set(place, verified)
      return verified
    } finally {
      this.#pending.delete(place)
    }
  }
}
