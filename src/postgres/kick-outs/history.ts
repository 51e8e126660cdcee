import { Confirmation, type LogPosition, mayAccept } from '../../revocation/confirm.ts'
import type { Reached, ServerReport } from '../../revocation/confirm.ts'
import {
  defaultConfirmTimeoutMs,
  type KickOutOptions,
  type KickOutPage,
  type KickOutQuery,
  type ServerStatus,
  toKickOutRecord,
  UnknownKickOutError,
} from '../../revocation/revocations.ts'
import { type Commands, writeBudgetMs } from '../client/commands.ts'
import { toUnavailable } from '../client/failure.ts'
import { encodeText } from '../encoding.ts'
import type { StoreSettings } from '../options.ts'
import { decodeRow, type LogRow } from './entry-format.ts'

/** A row of `servers`; `said_at` is how long ago it reported. */
interface ServerRow {
  readonly server_id: string
  readonly said_at: string
  readonly state: string
  readonly staleness_ms: string
  readonly seq: string
  readonly max_staleness_ms: string
  readonly epoch: string
}

/** Reads the history of kick-outs, the list of servers, and which servers have confirmed a kick-out. */
export class History {
  readonly #commands: Commands
  readonly #settings: StoreSettings
  readonly #confirmation = new Confirmation(async () => this.#readServers())

  constructor(commands: Commands, settings: StoreSettings) {
    this.#commands = commands
    this.#settings = settings
  }

  /** Waits until every resource server that counts has applied an entry, or the time is up. */
  async confirm(
    position: LogPosition,
    { confirmTimeoutMs = defaultConfirmTimeoutMs, onProgress }: KickOutOptions,
  ): Promise<Reached> {
    return this.#confirmation.of(position, confirmTimeoutMs, onProgress)
  }

  /** @throws UnknownKickOutError, UnavailableError */
  async listKickOuts(query: KickOutQuery): Promise<KickOutPage> {
    const { limit, before, by, level, target, issuers } = query
    let rows: LogRow[] | null
    try {
      const [answer] = await this.#commands.call(
        'read_kick_outs',
        [
          Math.ceil(this.#settings.retentionMs),
          limit + 1,
          before === undefined ? null : encodeText(before),
          by === undefined ? null : encodeText(by),
          level ?? null,
          target === undefined ? null : encodeText(target),
          issuers?.map(encodeText) ?? null,
        ],
        writeBudgetMs,
      )
      rows = JSON.parse((answer as { o_rows: string }).o_rows) as LogRow[] | null
    } catch (error) {
      throw toUnavailable('revocations', 'The kick-outs cannot be read', error)
    }
    if (!rows) throw new UnknownKickOutError()
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    return {
      kickOuts: page.flatMap((row) => {
        const { revocation } = decodeRow(row)
        return revocation ? [toKickOutRecord(revocation)] : []
      }),
      ...(last && rows.length > limit && { next: last.kick_out_id }),
    }
  }

  /** @throws UnavailableError */
  async listServers(): Promise<ServerStatus[]> {
    try {
      return (await this.#readServers())
        .filter(mayAccept)
        .map(({ serverId, ageMs, state, stalenessMs, seq }) => ({
          serverId,
          state: state as ServerStatus['state'],
          stalenessMs: stalenessMs + ageMs,
          applied: seq,
        }))
    } catch (error) {
      throw toUnavailable('revocations', 'The servers cannot be read', error)
    }
  }

  async #readServers(): Promise<ServerReport[]> {
    const rows = (await this.#commands.call('read_servers', [], writeBudgetMs)) as ServerRow[]
    return rows.map((row) => ({
      serverId: row.server_id,
      ageMs: Math.max(Number(row.said_at), 0),
      state: row.state,
      stalenessMs: Number(row.staleness_ms),
      seq: Number(row.seq),
      maxStalenessMs: Number(row.max_staleness_ms),
      epoch: row.epoch,
    }))
  }
}
