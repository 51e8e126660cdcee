import { LRUCache } from 'lru-cache'
import { copyOf, isAuthError } from '../../errors.ts'
import type { VerifiedToken } from './verifier.ts'

interface Pending {
  readonly token: string
  readonly verification: Promise<VerifiedToken>
}

function rethrowCopy(error: unknown): never {
  throw isAuthError(error) ? copyOf(error) : error
}

/** Tokens that a guard knows already, and the way to know others. */
export interface VerifiedTokens {
  /** What it knows of a token. That it still counts is for the caller to look at. */
  get(token: string): VerifiedToken | undefined
  forget(token: string): void
  /** @throws AuthError, UnavailableError (rejects with them) */
  verify(token: string): Promise<VerifiedToken>
}

/** How tokens are kept: under what, and how many bytes that takes. */
export interface Filing {
  placeOf(token: string): string
  sizeOf(verified: VerifiedToken): number
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

const signedTokens: Filing = {
  placeOf: (token) => token.slice(-filedUnder),
  sizeOf: ({ token }) => token.length * bytesPerCharacter,
}

/**
 * Remembers verified tokens, compared as a whole and for one verifier only. Only verified tokens enter, so that a flood of
 * forged ones evicts none. Concurrent first uses of one token share one verification.
 *
 * What it returns *was* verified. At each use the caller has to check what may have changed: expiry, key, kick-out.
 */
export class VerifiedCache implements VerifiedTokens {
  readonly #verifier: Pick<VerifiedTokens, 'verify'>
  readonly #filing: Filing
  readonly #tokens: LRUCache<string, VerifiedToken> | undefined
  readonly #pending = new Map<string, Pending>()

  constructor(
    verifier: Pick<VerifiedTokens, 'verify'>,
    maxTokens: number,
    filing: Filing = signedTokens,
  ) {
    this.#verifier = verifier
    this.#filing = filing
    this.#tokens =
      maxTokens > 0
        ? new LRUCache({
            max: maxTokens,
            maxSize: maxCachedBytes,
            sizeCalculation: (verified) => filing.sizeOf(verified),
          })
        : undefined
  }

  get(token: string): VerifiedToken | undefined {
    const known = this.#tokens?.get(this.#filing.placeOf(token))
    return known?.token === token ? known : undefined
  }

  forget(token: string): void {
    this.#tokens?.delete(this.#filing.placeOf(token))
  }

  /** Verifies a token that {@link get} does not know. */
  async verify(token: string): Promise<VerifiedToken> {
    const place = this.#filing.placeOf(token)
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
