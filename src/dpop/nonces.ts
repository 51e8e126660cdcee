import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'

const timeBytes = 6
const macBytes = 16
/** A multiple of two bits of base64url is left over, always zero. */
const nonceLength = Math.ceil(((timeBytes + macBytes) * 4) / 3)
const wellFormed = new RegExp(`^[A-Za-z0-9_-]{${nonceLength}}$`)

/** How long a nonce is accepted. A client gets a newer one with every answer. */
export const nonceTtlMs = 300_000

/**
 * Makes and reads nonces without keeping any: each is the moment it was made and an HMAC over that moment and the key that
 * it was made for.
 *
 * @see RFC 9449 §8 and §9
 */
export class Nonces {
  readonly #secret: string | Uint8Array
  readonly #clock: Clock
  readonly #clockToleranceMs: number

  /** @param secret - servers with the same one accept each other's nonces; without one it is random */
  constructor(secret: string | Uint8Array | undefined, clock: Clock, clockToleranceMs: number) {
    this.#secret = secret ?? randomBytes(32)
    this.#clock = clock
    this.#clockToleranceMs = clockToleranceMs
  }

  make(thumbprint: string): string {
    const time = Buffer.alloc(timeBytes)
    time.writeUIntBE(Math.floor(this.#clock.now()), 0, timeBytes)
    return Buffer.concat([time, this.#macOf(time, thumbprint)]).toString('base64url')
  }

  /**
   * When a nonce was made, milliseconds.
   *
   * @returns `undefined` for a nonce that is not ours, was made for another key or too long ago
   */
  read(nonce: string | undefined, thumbprint: string): number | undefined {
    if (nonce === undefined || !wellFormed.test(nonce)) return undefined
    const bytes = Buffer.from(nonce, 'base64url')
    const time = bytes.subarray(0, timeBytes)
    const mac = bytes.subarray(timeBytes)
    if (!timingSafeEqual(mac, this.#macOf(time, thumbprint))) return undefined
    const madeAtMs = time.readUIntBE(0, timeBytes)
    const ageMs = this.#clock.now() - madeAtMs
    return ageMs <= nonceTtlMs && ageMs >= -this.#clockToleranceMs ? madeAtMs : undefined
  }

  #macOf(time: Buffer, thumbprint: string): Buffer {
    return createHmac('sha256', this.#secret)
      .update('express-kickout dpop nonce ')
      .update(time)
      .update(thumbprint)
      .digest()
      .subarray(0, macBytes)
  }
}
