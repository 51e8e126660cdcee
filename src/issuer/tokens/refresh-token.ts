import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Authentication } from '../sessions/session-store.ts'
import { openRecord, type SealedRecord, sealedText, sealRecord } from './record-seal.ts'
import { makeStepUp, readStepUp, type SteppedUpRecord } from './step-up-record.ts'

/**
 * A refresh token is base64url( format, partition, handle, counter, seal, HMAC-SHA-256 over all before ).
 *
 * - The session id is the hash of the handle. The store has the handle only encrypted under the secret, for step-ups: a
 *   stolen store makes no token, and neither does a stolen secret.
 * - The seal is an HMAC over those parts of the session record that an access token is made of. A store that was written
 *   to without the secret makes no token: its record no longer fits the seal of the refresh token.
 * - The MAC is checked before the store is asked, so a forged token costs one hash.
 * - The format says whether the session is bound to a key, so that only the refresh of such a session needs to know its
 *   record beforehand.
 * - The counter distinguishes every ancestor from the current token, with no history kept. The successor of a token can
 *   be made again from the token and the record, so a retry gets the very same one.
 */
export interface RefreshTokenParts {
  readonly partition: number
  readonly handle: Buffer
  readonly counter: number
}

/** A refresh token as it was presented, its MAC verified. */
export interface PresentedToken extends RefreshTokenParts {
  /** The seal of the session record; {@link RefreshTokens.fits} compares it with the record. */
  readonly seal: Buffer
  /** Whether the session is bound to a key, so that the token is worth nothing without a proof of that key. */
  readonly isBound: boolean
}

/** Of a token of a session that is bound to a key, and of one that is not. */
const formats = { bound: 3, unbound: 2 } as const
const handleBytes = 16
const counterBytes = 6
/** 144 bits: more than can be guessed, and the whole token stays a multiple of three bytes. */
const sealBytes = 18
const macBytes = 32
const sealOffset = 1 + 2 + handleBytes + counterBytes
const bodyBytes = sealOffset + sealBytes
/** A multiple of three bytes, so there is exactly one way to write each token in base64url. */
const tokenLength = ((bodyBytes + macBytes) / 3) * 4
const wellFormed = new RegExp(`^[A-Za-z0-9_-]{${tokenLength}}$`)
const secretBytes = 32

export const maxPartition = 0xffff

/** A key per issuer: with one secret and one store for several, a token of one would name users of the other. */
function keyOf(secret: string | Uint8Array, purpose: string, issuer: string): Buffer {
  const info = `express-kickout ${purpose} ${issuer}`
  return Buffer.from(hkdfSync('sha256', secret, '', info, secretBytes))
}

interface SecretKeys {
  readonly mac: Buffer
  readonly seal: Buffer
  readonly handle: Buffer
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
  readonly #keys: readonly SecretKeys[]

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
      return {
        mac: keyOf(secret, 'refresh token', issuer),
        seal: keyOf(secret, 'session seal', issuer),
        handle: keyOf(secret, 'session handle', issuer),
      }
    })
  }

  /** @param record - what the token is sealed to: the record of its own session */
  make(parts: RefreshTokenParts, record: SealedRecord): string {
    const first = this.#first
    const body = Buffer.alloc(bodyBytes)
    const isBound = record.authentication.jkt !== undefined
    body.writeUInt8(isBound ? formats.bound : formats.unbound, 0)
    body.writeUInt16BE(parts.partition, 1)
    parts.handle.copy(body, 3)
    body.writeUIntBE(parts.counter, 3 + handleBytes, counterBytes)
    sealOf(first.seal, record).copy(body, sealOffset)
    return Buffer.concat([body, macOf(first.mac, body)]).toString('base64url')
  }

  /** @returns `undefined` for anything that this issuer has not made */
  read(token: string): PresentedToken | undefined {
    if (!wellFormed.test(token)) return undefined
    const bytes = Buffer.from(token, 'base64url')
    const body = bytes.subarray(0, bodyBytes)
    const mac = bytes.subarray(bodyBytes)
    // No early exit: how long it takes does not tell which secret it was.
    const genuine = this.#keys.map((key) => timingSafeEqual(macOf(key.mac, body), mac))
    const format = body.readUInt8(0)
    const isBound = format === formats.bound
    if (!genuine.includes(true) || !(isBound || format === formats.unbound)) return undefined
    return {
      partition: body.readUInt16BE(1),
      handle: body.subarray(3, 3 + handleBytes),
      counter: body.readUIntBE(3 + handleBytes, counterBytes),
      seal: body.subarray(sealOffset),
      isBound,
    }
  }

  /** Whether the record is the one that the token was sealed to, under any of the secrets. */
  fits(token: PresentedToken, record: SealedRecord): boolean {
    const isBound = record.authentication.jkt !== undefined
    if (isBound !== token.isBound) return false
    return this.#keys.some((key) => timingSafeEqual(sealOf(key.seal, record), token.seal))
  }

  /** Seals a record for the store itself, so that the issuer can judge it where no refresh token comes along. */
  sealRecord(handle: Buffer, record: SealedRecord): string {
    return sealRecord(handle, record, this.#first.handle)
  }

  /** @returns the handle of the session, or `undefined` where the record is not the one that was sealed */
  openRecord(sealed: string, record: SealedRecord): Buffer | undefined {
    for (const { handle } of this.#keys) {
      const opened = openRecord(sealed, record, handle)
      if (opened) return opened
    }
    return undefined
  }

  /** The text of a step-up, for the store. */
  makeStepUp(record: SteppedUpRecord, authentication: Authentication): string {
    return makeStepUp(record, authentication, this.#first.seal)
  }

  /**
   * How the user has signed in last: when the session began, or by a step-up since.
   *
   * @returns `undefined` where the step-up is not the one of this issuer for this session
   */
  authenticationOf(record: SteppedUpRecord): Authentication | undefined {
    if (record.stepUp === undefined) return record.authentication
    const keys = this.#keys.map(({ seal }) => seal)
    const steppedUp = readStepUp(record, record.stepUp, keys)
    const { jkt } = record.authentication
    return steppedUp && { ...steppedUp, ...(jkt !== undefined && { jkt }) }
  }

  get #first(): SecretKeys {
    const [first] = this.#keys
    if (!first) throw secretError('must hold at least one secret')
    return first
  }
}

function macOf(key: Buffer, body: Buffer): Buffer {
  return createHmac('sha256', key).update(body).digest()
}

function sealOf(key: Buffer, record: SealedRecord): Buffer {
  return createHmac('sha256', key).update(sealedText(record)).digest().subarray(0, sealBytes)
}

function secretError(expectation: string): TypeError {
  return new TypeError(`createIssuer: option "refreshTokenSecret" ${expectation}`)
}
