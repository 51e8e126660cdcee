import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

/**
 * A refresh token is base64url( format, partition, handle, counter, HMAC-SHA-256 over all before ).
 *
 * - The handle is stored nowhere, and the session id is its hash: a stolen store makes no token.
 * - Without the secret nobody makes one, and with nothing but the secret neither.
 * - The MAC is checked before any store is asked, so a forged token costs one hash.
 * - The counter tells every ancestor from the current one for ever, with no history kept; and the successor of a token can
 *   be made again from the token itself, so a retry gets the very same one.
 */
export interface RefreshTokenParts {
  readonly partition: number
  readonly handle: Buffer
  readonly counter: number
}

const format = 1
const handleBytes = 16
const counterBytes = 6
const macBytes = 32
const bodyBytes = 1 + 2 + handleBytes + counterBytes
/** A multiple of three bytes, so there is exactly one way to write each token in base64url. */
const tokenLength = ((bodyBytes + macBytes) / 3) * 4
const wellFormed = new RegExp(`^[A-Za-z0-9_-]{${tokenLength}}$`)
const secretBytes = 32

export const maxPartition = 0xffff

/** A key per issuer: with one secret and one store for several, a token of one would name users of the other. */
function keyOf(secret: string | Uint8Array, issuer: string): Buffer {
  const purpose = `express-kickout refresh token ${issuer}`
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, secretBytes))
}

/** The session that a handle belongs to. It begins with its user's partition, so that the id alone finds the store's slot. */
export function sessionIdOf(parts: Pick<RefreshTokenParts, 'partition' | 'handle'>): string {
  const digest = createHash('sha256').update('sid').update(parts.handle).digest()
  return `${parts.partition}-${digest.subarray(0, handleBytes).toString('base64url')}`
}

export function newHandle(): Buffer {
  return randomBytes(handleBytes)
}

/** Makes and reads one issuer's refresh tokens under one or several secrets: the first makes, all of them verify. */
export class RefreshTokens {
  readonly #keys: readonly Buffer[]

  /** @throws TypeError for a missing secret or one under 32 bytes; never prints one */
  constructor(secrets: unknown, issuer: string) {
    const list: unknown[] = Array.isArray(secrets) ? secrets : [secrets]
    if (list.length === 0) throw secretError('must hold at least one secret')
    this.#keys = list.map((secret) => {
      if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) {
        throw secretError('must be a string or bytes, or a list of them; is the variable set?')
      }
      if (Buffer.byteLength(secret) < secretBytes) {
        throw secretError(
          `must be ${secretBytes} bytes or more; make one with: ` +
            `node -p "crypto.randomBytes(${secretBytes}).toString('base64url')"`,
        )
      }
      return keyOf(secret, issuer)
    })
  }

  make(parts: RefreshTokenParts): string {
    const body = Buffer.alloc(bodyBytes)
    body.writeUInt8(format, 0)
    body.writeUInt16BE(parts.partition, 1)
    parts.handle.copy(body, 3)
    body.writeUIntBE(parts.counter, 3 + handleBytes, counterBytes)
    return Buffer.concat([body, this.#mac(this.#keys[0], body)]).toString('base64url')
  }

  /** @returns `undefined` for anything that this issuer has not made */
  read(token: string): RefreshTokenParts | undefined {
    if (!wellFormed.test(token)) return undefined
    const bytes = Buffer.from(token, 'base64url')
    const body = bytes.subarray(0, bodyBytes)
    const mac = bytes.subarray(bodyBytes)
    // No early exit: how long it takes does not tell which secret it was.
    const genuine = this.#keys.map((key) => timingSafeEqual(this.#mac(key, body), mac))
    if (!genuine.includes(true) || body.readUInt8(0) !== format) return undefined
    return {
      partition: body.readUInt16BE(1),
      handle: body.subarray(3, 3 + handleBytes),
      counter: body.readUIntBE(3 + handleBytes, counterBytes),
    }
  }

  #mac(key: Buffer | undefined, body: Buffer): Buffer {
    return createHmac('sha256', key ?? '')
      .update(body)
      .digest()
  }
}

function secretError(expectation: string): TypeError {
  return new TypeError(`createIssuer: option "refreshTokenSecret" ${expectation}`)
}
