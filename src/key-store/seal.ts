import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { readEncryptionKeys, type StoredKey } from './key-store.ts'

const format = 'v1'
const cipher = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16
const keyIdBytes = 9

/** Stored keys that this process must not use. Waiting does not heal it; a setting or the record has to be changed. */
export class KeysRefused extends Error {
  override readonly name = 'KeysRefused'
}

interface DerivedKey {
  /** Names the key in what it has encrypted, and tells nothing about it. */
  readonly id: string
  readonly key: Buffer
}

function derive(secret: Uint8Array, purpose: string, bytes: number): Buffer {
  const info = `express-kickout signing keys: ${purpose}`
  return Buffer.from(hkdfSync('sha256', secret, '', info, bytes))
}

function readKey(secret: Uint8Array): DerivedKey {
  return {
    id: derive(secret, 'name', keyIdBytes).toString('base64url'),
    key: derive(secret, 'encryption', 32),
  }
}

/**
 * Encrypts the signing keys of issuers for a store that is not trusted: it can neither read them, nor change them, nor pass
 * those of one issuer off as another's. What it can do is lose them, or bring back an earlier record.
 *
 * A record is `v1.KEY.IV.TEXT.TAG`: AES-256-GCM with a random IV, and the issuer as additional data.
 */
export class Seal {
  readonly #keys: readonly [DerivedKey, ...DerivedKey[]]

  /** @throws TypeError for a missing or short key */
  constructor(where: string, encryptionKey: unknown) {
    const [first, ...others] = readEncryptionKeys(where, encryptionKey).map(readKey)
    this.#keys = [first as DerivedKey, ...others]
  }

  close(text: string, issuer: string): string {
    const [{ id, key }] = this.#keys
    const iv = randomBytes(ivBytes)
    const encryption = createCipheriv(cipher, key, iv, { authTagLength: tagBytes })
    encryption.setAAD(additionalData(issuer))
    const body = Buffer.concat([encryption.update(text, 'utf8'), encryption.final()])
    const parts = [iv, body, encryption.getAuthTag()].map((part) => part.toString('base64url'))
    return [format, id, ...parts].join('.')
  }

  /** @throws KeysRefused when the key is another one, or the record was changed */
  open(sealed: string, issuer: string): string {
    const [version, id, ...parts] = sealed.split('.')
    const [iv, body, tag] = parts.map((part) => Buffer.from(part, 'base64url'))
    if (version !== format || !iv || !body || tag?.byteLength !== tagBytes || parts.length !== 3) {
      throw new KeysRefused(
        `The stored signing keys of ${issuer} have a form that this version of express-kickout does not know: ` +
          'they were damaged, or written by a newer version',
      )
    }
    const known = this.#keys.find((key) => key.id === id)
    if (!known) {
      throw new KeysRefused(
        `The stored signing keys of ${issuer} are encrypted with another key than the option "encryptionKey" has: ` +
          'give the one that they were stored with. No new signing key is made, since all tokens would be refused',
      )
    }
    try {
      const decryption = createDecipheriv(cipher, known.key, iv, { authTagLength: tagBytes })
      decryption.setAAD(additionalData(issuer))
      decryption.setAuthTag(tag)
      return Buffer.concat([decryption.update(body), decryption.final()]).toString('utf8')
    } catch {
      throw new KeysRefused(
        `The stored signing keys of ${issuer} were changed without the encryption key: ` +
          'find out who writes to the store, and restore the record from a copy',
      )
    }
  }
}

function additionalData(issuer: string): Buffer {
  return Buffer.from(`${format}\0${issuer}`)
}

/** What was encrypted here is believed to be what an issuer stored, unless a newer version has. */
export function toKeys(text: string, issuer: string): readonly StoredKey[] {
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
