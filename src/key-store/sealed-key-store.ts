import { readChoice } from '../options.ts'
import {
  type EncryptionKey,
  type KeyStore,
  readEncryptionKeys,
  readRotation,
  type Rotation,
  type RotationOptions,
  type SigningAlgorithm,
  signingAlgorithms,
  type StoredKey,
  type StoredKeys,
} from './key-store.ts'
import type { Seal } from './seal.ts'

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

interface OpenedStore {
  readonly records: KeyRecords
  readonly seal: Seal
  readonly toKeys: (text: string, issuer: string) => readonly StoredKey[]
}

/** A key store on a database that need not be trusted. */
export class SealedKeyStore implements KeyStore {
  readonly algorithm: string
  readonly rotation: Rotation
  readonly #open: () => Promise<OpenedStore>
  #opened: Promise<OpenedStore> | undefined
  #isClosed = false

  /**
   * @param open - connects to the database, at first use
   * @throws TypeError for a wrong option
   */
  constructor(
    where: string,
    options: KeyStoreOptions,
    open: () => KeyRecords | Promise<KeyRecords>,
  ) {
    const secrets = readEncryptionKeys(where, options.encryptionKey)
    this.algorithm = readChoice(where, 'algorithm', options.algorithm, signingAlgorithms, 'ES256')
    this.rotation = readRotation(where, options.rotation)
    this.#open = async () => {
      // Servers that issue nothing import the entry of a store too, and load none of this.
      const { Seal, toKeys } = await import('./seal.ts')
      return { records: await open(), seal: new Seal(where, secrets), toKeys }
    }
  }

  async read(issuer: string): Promise<StoredKeys> {
    const { records, seal, toKeys } = await this.#load()
    const { revision, sealed, now } = await records.read(issuer)
    const keys = revision === '' ? undefined : toKeys(seal.open(sealed, issuer), issuer)
    return { revision, now, keys }
  }

  async replace(issuer: string, revision: string, keys: readonly StoredKey[]): Promise<boolean> {
    const { records, seal } = await this.#load()
    return records.replace(issuer, revision, seal.close(JSON.stringify({ keys }), issuer))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await (await this.#opened)?.records.close()
  }

  async #load(): Promise<OpenedStore> {
    this.#opened ??= this.#open()
    const opened = await this.#opened
    // Closed before its first use: it must not connect.
    if (this.#isClosed) await opened.records.close()
    return opened
  }
}
