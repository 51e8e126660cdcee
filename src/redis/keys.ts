import { createHash } from 'node:crypto'
import type { RevocationLevel } from '../revocation/revocation.ts'
import type { LayoutSettings } from './options.ts'

const ownId = /^(\d{1,5})-[A-Za-z0-9_-]{22}$/

/** Hashes several parts, each with its length: without it `ab` + `c` and `a` + `bc` would have the same digest. */
function digestOf(...parts: readonly string[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) {
    const bytes = Buffer.from(part)
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest()
}

function nameOf(...parts: readonly string[]): string {
  return digestOf(...parts)
    .subarray(0, 18)
    .toString('base64url')
}

/**
 * Every key of a deployment. All keys of one user have one hash tag, so that each operation is one script in one slot. Ids
 * from outside are hashed, so that no id changes the slot of its key or names the key of another.
 */
export class Keys {
  readonly partitions: number
  readonly #keyPrefix: string
  readonly #prefix: string

  constructor({ keyPrefix, prefix, partitions }: LayoutSettings) {
    this.#keyPrefix = keyPrefix
    this.#prefix = prefix
    this.partitions = partitions
  }

  /** The partition of a user. */
  partitionOfUser(issuer: string, subject: string): number {
    return this.partitions === 1 ? 0 : digestOf(issuer, subject).readUInt32BE(0) % this.partitions
  }

  /** The partition of a `sid` or `jti`. Those of our issuer begin with their user's partition; others are in partition 0. */
  partitionOfId(id: string): number {
    const partition = Number(ownId.exec(id)?.[1] ?? 0)
    return partition < this.partitions ? partition : 0
  }

  /** The partition of a revocation. */
  partitionOf(level: RevocationLevel, issuer: string, id: string): number {
    switch (level) {
      case 'subject':
        return this.partitionOfUser(issuer, id)
      case 'session':
      case 'token':
        return this.partitionOfId(id)
      case 'client':
      case 'everyone':
        return 0
    }
  }

  /** The beginning of all keys of a partition. Scripts build the keys of a user's sessions from it, in the same slot. */
  base(partition: number): string {
    return `${this.#keyPrefix}{${this.#prefix}:${partition}}:`
  }

  meta(partition: number): string {
    return `${this.base(partition)}meta`
  }

  stream(partition: number): string {
    return `${this.base(partition)}stream`
  }

  servers(partition: number): string {
    return `${this.base(partition)}servers`
  }

  marks(partition: number): string {
    return `${this.base(partition)}marks`
  }

  /** A key that is never written. Scripts get it in place of a key that they do not need. */
  absent(partition: number): string {
    return `${this.base(partition)}-`
  }

  session(sessionId: string): string {
    return `${this.base(this.partitionOfId(sessionId))}session:${sessionId}`
  }

  user(issuer: string, subject: string): string {
    return `${this.base(this.partitionOfUser(issuer, subject))}user:${this.userName(issuer, subject)}`
  }

  userSessions(issuer: string, subject: string): string {
    return `${this.base(this.partitionOfUser(issuer, subject))}user-sessions:${this.userName(issuer, subject)}`
  }

  userName(issuer: string, subject: string): string {
    return nameOf('user', issuer, subject)
  }

  deny(level: RevocationLevel, issuer: string, id: string): string {
    return `${this.base(this.partitionOf(level, issuer, id))}deny:${level}:${this.denyName(level, issuer, id)}`
  }

  /** The last part of a look-up key. A session record holds its own, for the script that finds a reuse. */
  denyName(level: RevocationLevel, issuer: string, id: string): string {
    return nameOf(level, issuer, id)
  }

  /** The field of `marks` for a client or everyone. Scripts build the same name from a session's record. */
  markField(level: 'client' | 'everyone', issuer: string, id: string): string {
    return `${level}:${Buffer.byteLength(issuer)}:${issuer}:${id}`
  }
}
