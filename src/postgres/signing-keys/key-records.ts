import { randomBytes } from 'node:crypto'
import type { KeyRecord, KeyRecords } from '../../key-store/sealed-key-store.ts'
import { type Commands, writeBudgetMs } from '../client/commands.ts'
import { isUnfit, toUnavailable } from '../client/failure.ts'
import { encodeText } from '../encoding.ts'

interface ReadRow {
  readonly o_revision: string
  readonly o_sealed: string
  readonly o_now: string
}

/** The sealed signing keys of issuers, one row each. */
export class PostgresKeyRecords implements KeyRecords {
  readonly #commands: Commands

  constructor(commands: Commands) {
    this.#commands = commands
  }

  async read(issuer: string): Promise<KeyRecord> {
    const [row] = await this.#call('read', 'read_signing_keys', [encodeText(issuer)])
    const { o_revision: revision, o_sealed: sealed, o_now: now } = row as ReadRow
    return { revision, sealed, now: Number(now) }
  }

  async replace(issuer: string, revision: string, sealed: string): Promise<boolean> {
    const next = randomBytes(12).toString('base64url')
    const values = [encodeText(issuer), revision, next, sealed]
    const [row] = await this.#call('written', 'replace_signing_keys', values)
    return (row as { o_is_written: boolean }).o_is_written
  }

  async close(): Promise<void> {
    this.#commands.close()
    return Promise.resolve()
  }

  async #call(what: 'read' | 'written', name: string, values: unknown[]): Promise<unknown[]> {
    try {
      return await this.#commands.call(name, values, writeBudgetMs)
    } catch (error) {
      // The schema has another version. Waiting does not help.
      if (isUnfit(error)) throw error
      throw toUnavailable('signing', `The signing keys cannot be ${what}`, error)
    }
  }
}
