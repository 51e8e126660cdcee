import type { JWK } from 'jose'
import { optionError, readNumber, readOptions } from '../options.ts'

/** What access tokens can be signed with. */
export const signingAlgorithms = [
  'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519',
] as const // prettier-ignore

export type SigningAlgorithm = (typeof signingAlgorithms)[number]

/** 32 bytes or more of secret. Of several the first encrypts, all decrypt. */
export type EncryptionKey = string | Uint8Array | readonly (string | Uint8Array)[]

/** A signing key as it is stored. All moments are milliseconds by the store's clock. */
export interface StoredKey {
  /** With `kid` and `alg`. Private until its successor has taken over, then public. */
  readonly jwk: JWK
  readonly publishedAt: number
  /** From when on it signs, until another one does. */
  readonly signsFrom: number
}

export interface StoredKeys {
  /** Changes with each write; empty where nothing is stored. */
  readonly revision: string
  /** By the store's clock. */
  readonly now: number
  /** `undefined` where nothing is stored. */
  readonly keys: readonly StoredKey[] | undefined
}

/** When signing keys are made and how long they stay. */
export interface RotationOptions {
  /**
   * How long a key signs, days; a fraction is allowed. `false`: until `issuer.rotateSigningKey()`.
   *
   * @defaultValue 90
   */
  everyDays?: number | false
  /**
   * How long a key is published before it signs, seconds: so long that every resource server knows it by then.
   *
   * @defaultValue 1200
   */
  publishAheadSeconds?: number
  /**
   * How long a key stays published after another one has taken over, seconds; at least the lifetime of access tokens.
   *
   * @defaultValue the lifetime of access tokens, and 10 seconds
   */
  keepSeconds?: number
}

/** The same, read. `keepMs` is the issuer's to complete: it knows how long its tokens live. */
export interface Rotation {
  readonly everyMs: number | undefined
  readonly publishAheadMs: number
  readonly keepMs: number | undefined
}

/**
 * Where the signing keys of issuers lie, for all their processes. The issuer decides what is stored; a store keeps it, and
 * encrypts it.
 */
export interface KeyStore {
  /** The algorithm of keys that are made for it. */
  readonly algorithm: string
  /** When keys are made, published and dropped. */
  readonly rotation: Rotation
  /**
   * @throws UnavailableError when it could not be read
   * @throws KeysRefused when what is stored must not be used: another encryption key, or a changed record
   */
  read(issuer: string): Promise<StoredKeys>
  /**
   * Stores the keys where the revision is still the one that was read. Atomic; safe to repeat.
   *
   * @returns whether it was
   * @throws UnavailableError when it is not known to have happened
   */
  replace(issuer: string, revision: string, keys: readonly StoredKey[]): Promise<boolean>
  /** Ends its connections. Safe to repeat. */
  close(): Promise<void>
}

/** The default of every option that has one. */
export const rotationDefaults = { everyDays: 90, publishAheadSeconds: 1200 } as const

const minKeyBytes = 32
const dayMs = 86_400_000
const maxSeconds = 10 * 365 * 86_400

/**
 * The bytes of each encryption key, copied: they are used later, when the caller may have wiped its own.
 *
 * @throws TypeError for a missing or short key
 */
export function readEncryptionKeys(where: string, value: unknown): readonly Uint8Array[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0) throw optionError(where, 'encryptionKey', 'must not be an empty list')
  return list.map((key) => {
    const isKey = typeof key === 'string' || key instanceof Uint8Array
    const secret = isKey ? new Uint8Array(Buffer.from(key)) : undefined
    if (secret !== undefined && secret.byteLength >= minKeyBytes) return secret
    throw optionError(
      where,
      'encryptionKey',
      `must be a string or Uint8Array of ${minKeyBytes} bytes or more, or a list of them; ` +
        'make one with: node -p "crypto.randomBytes(32).toString(\'base64url\')"',
    )
  })
}

/** @throws TypeError that names the option */
export function readRotation(where: string, value: unknown): Rotation {
  const given = value === undefined ? {} : value
  const inside = `${where}: rotation`
  readOptions(inside, given, ['everyDays', 'publishAheadSeconds', 'keepSeconds'])
  const { everyDays, publishAheadSeconds, keepSeconds } = given as RotationOptions
  if (everyDays !== undefined && everyDays !== false && !(everyDays > 0)) {
    throw optionError(inside, 'everyDays', 'must be a number of days above 0, or false')
  }
  const days =
    everyDays === false
      ? undefined
      : readNumber(inside, 'everyDays', everyDays, {
          fallback: rotationDefaults.everyDays,
          min: 0,
          max: 3650,
        })
  return {
    everyMs: days === undefined ? undefined : days * dayMs,
    publishAheadMs:
      readNumber(inside, 'publishAheadSeconds', publishAheadSeconds, {
        fallback: rotationDefaults.publishAheadSeconds,
        min: 0,
        max: maxSeconds,
      }) * 1000,
    keepMs:
      keepSeconds === undefined
        ? undefined
        : readNumber(inside, 'keepSeconds', keepSeconds, { fallback: 0, min: 0, max: maxSeconds }) *
          1000,
  }
}
