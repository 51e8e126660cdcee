import { readChoice } from '../options.ts'
import {
  type KeyStore,
  readRotation,
  type Rotation,
  type RotationOptions,
  type SigningAlgorithm,
  signingAlgorithms,
  type StoredKey,
  type StoredKeys,
} from './key-store.ts'
import { type EncryptionKey, KeysRefused, Seal } from './seal.ts'

/** What a database keeps of an issuer: one text, which tells it nothing. */
export interface KeyRecords {
  /** @throws UnavailableError */
  read(issuer: string): Promise<KeyRecord>
  /** Compares and sets in one step. @throws UnavailableError */
  replace(issuer: string, revision: string, sealed: string): Promise<boolean>
  close(): Promise<void>
}

export interface KeyRecord {
  /** Empty where there is no record. */
  readonly revision: string
  readonly sealed: string
  /** The clock of the database, milliseconds. */
  readonly now: number
}

/** What every key store takes. */
export interface KeyStoreOptions {
  /**
   * Encrypts the private keys (AES-256-GCM), so that neither the store nor a copy of it can sign: 32 bytes or more. Of
   * several the first encrypts, all decrypt. Every issuer process needs the same; keep it apart from the store's backups.
   */
  encryptionKey: EncryptionKey
  /**
   * Of the keys that are made.
   *
   * @defaultValue 'ES256'
   */
  algorithm?: SigningAlgorithm
  /** When keys are made, published and dropped. */
  rotation?: RotationOptions
}

export const keyStoreOptionNames = ['encryptionKey', 'algorithm', 'rotation'] as const

/** A key store on a database that need not be trusted. */
export class SealedKeyStore implements KeyStore {
  readonly algorithm: string
  readonly rotation: Rotation
  readonly #records: KeyRecords
  readonly #seal: Seal

  /**
   * @param open - connects to the database, once the options are known to be good
   * @throws TypeError for a wrong option
   */
  constructor(where: string, options: KeyStoreOptions, open: () => KeyRecords) {
    this.#seal = new Seal(where, options.encryptionKey)
    this.algorithm = readChoice(where, 'algorithm', options.algorithm, signingAlgorithms, 'ES256')
    this.rotation = readRotation(where, options.rotation)
    this.#records = open()
  }

  async read(issuer: string): Promise<StoredKeys> {
    const { revision, sealed, now } = await this.#records.read(issuer)
    const keys = revision === '' ? undefined : toKeys(this.#seal.open(sealed, issuer), issuer)
    return { revision, now, keys }
  }

  async replace(issuer: string, revision: string, keys: readonly StoredKey[]): Promise<boolean> {
    return this.#records.replace(
      issuer,
      revision,
      this.#seal.close(JSON.stringify({ keys }), issuer),
    )
  }

  async close(): Promise<void> {
    await this.#records.close()
  }
}

/** What was encrypted here is believed to be what an issuer stored, unless a newer version has. */
function toKeys(text: string, issuer: string): readonly StoredKey[] {
  const { keys } = JSON.parse(text) as { keys?: unknown }
  const isList = Array.isArray(keys) && keys.length > 0
  const areKeys =
    isList &&
    keys.every((key: Partial<StoredKey>) => {
      const { jwk, publishedAt, signsFrom } = key
      return (
        typeof jwk?.kid === 'string' && Number.isFinite(publishedAt) && Number.isFinite(signsFrom)
      )
    })
  if (areKeys) return keys as StoredKey[]
  throw new KeysRefused(
    `The stored signing keys of ${issuer} were written by a version of express-kickout that this one does not understand`,
  )
}
