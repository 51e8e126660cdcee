import { createHash, randomBytes } from 'node:crypto'
import type { KeyRecord, KeyRecords } from '../../key-store/sealed-key-store.ts'
import type { CommandConnection } from '../client/connection.ts'
import { isUnfit, toUnavailable, toUnfit } from '../client/failure.ts'
import { inspect } from '../client/server-check.ts'
import type { KeyStoreSettings, RedisClient } from '../options.ts'
import { readSigningKeysScript } from '../scripts/read-signing-keys.ts'
import { replaceSigningKeysScript } from '../scripts/replace-signing-keys.ts'

/** How long one read or write may take. */
const budgetMs = 1000

/**
 * The sealed signing keys of issuers, one hash each. Their hash tag is their own, so that the ACL patterns of resource
 * servers do not cover them.
 */
export class RedisKeyRecords implements KeyRecords {
  readonly #connection: CommandConnection
  readonly #settings: KeyStoreSettings
  #inspectedConnection = 0

  constructor(connection: CommandConnection, settings: KeyStoreSettings) {
    this.#connection = connection
    this.#settings = settings
  }

  async read(issuer: string): Promise<KeyRecord> {
    const record_key = this.#keyOf(issuer)
    return this.#run('read', record_key, async (client) =>
      readSigningKeysScript(client, { record_key }, {}),
    )
  }

  async replace(issuer: string, revision: string, sealed: string): Promise<boolean> {
    const record_key = this.#keyOf(issuer)
    const next_revision = randomBytes(12).toString('base64url')
    return this.#run('written', record_key, async (client) =>
      replaceSigningKeysScript(client, { record_key }, { revision, next_revision, sealed }),
    )
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  #keyOf(issuer: string): string {
    const { keyPrefix, prefix } = this.#settings
    const name = createHash('sha256').update(issuer).digest('base64url').slice(0, 24)
    return `${keyPrefix}{${prefix}:signing-keys}:issuer:${name}`
  }

  async #run<Reply>(
    what: 'read' | 'written',
    key: string,
    command: (client: RedisClient) => Promise<Reply>,
  ): Promise<Reply> {
    try {
      await this.#inspect(key)
      return await this.#connection.run(budgetMs, command)
    } catch (error) {
      // A Redis that evicts keys would lose the signing keys, and all tokens would be refused.
      if (isUnfit(error)) throw toUnfit(error)
      throw toUnavailable('signing', `The signing keys cannot be ${what}`, error)
    }
  }

  /** Once for each connection. */
  async #inspect(key: string): Promise<void> {
    const { connectionNumber } = this.#connection
    if (connectionNumber > 0 && this.#inspectedConnection === connectionNumber) return
    await this.#connection.run(budgetMs, async (client) =>
      inspect(await this.#connection.nodeOf(client, key)),
    )
    this.#inspectedConnection = this.#connection.connectionNumber
  }
}
