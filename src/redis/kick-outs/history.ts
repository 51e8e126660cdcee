import {
  defaultConfirmTimeoutMs,
  type KickOutRecord,
  type ServerStatus,
  toKickOutRecord,
} from '../../revocation/revocations.ts'
import { Confirmation, liveWithinMs, type Reached } from './confirm.ts'
import type { CommandConnection } from '../client/connection.ts'
import { toUnavailable } from '../client/failure.ts'
import { decodeEntry } from './entry-format.ts'
import { type RevocationLog, writeBudgetMs } from './publish.ts'
import { readKickOutsScript } from '../scripts/read-kick-outs.ts'
import { type NodeReport, readServersScript } from '../scripts/read-servers.ts'

/** What the log tells whoever asks: how far a kick-out has come, who was kicked out, who follows. Reads only. */
export class Audit {
  readonly #connection: CommandConnection
  readonly #log: RevocationLog
  readonly #confirmations = new Map<number, Confirmation>()

  constructor(connection: CommandConnection, log: RevocationLog) {
    this.#connection = connection
    this.#log = log
  }

  /** Waits until every live resource server has applied an entry, or the time is up. */
  async confirm(
    partition: number,
    seq: number,
    timeoutMs = defaultConfirmTimeoutMs,
  ): Promise<Reached> {
    let confirmation = this.#confirmations.get(partition)
    if (!confirmation) {
      confirmation = new Confirmation(async () => this.#readNodes(partition))
      this.#confirmations.set(partition, confirmation)
    }
    return confirmation.of(seq, timeoutMs)
  }

  /** The newest kick-outs of all partitions. */
  async listKickOuts(limit: number): Promise<KickOutRecord[]> {
    try {
      const pages = await Promise.all(
        this.#log.partitions.map(async (partition) =>
          this.#connection.runPatiently(writeBudgetMs, async (client) =>
            readKickOutsScript(
              client,
              { stream_key: this.#log.keys.stream(partition) },
              { retention_ms: this.#log.settings.retentionMs, limit },
            ),
          ),
        ),
      )
      return pages
        .flatMap(({ entries, oldestMs }) =>
          entries
            .flatMap((entry) => decodeEntry(entry).revocation ?? [])
            .filter(({ at }) => at >= oldestMs),
        )
        .sort((a, b) => b.at - a.at)
        .slice(0, limit)
        .map(toKickOutRecord)
    } catch (error) {
      throw toUnavailable('revocations', 'The kick-outs cannot be read', error)
    }
  }

  /** Live resource servers. A server is as fresh as its stalest partition. */
  async listServers(): Promise<ServerStatus[]> {
    let reports: NodeReport[]
    try {
      reports = (
        await Promise.all(this.#log.partitions.map(async (partition) => this.#readNodes(partition)))
      ).flat()
    } catch (error) {
      throw toUnavailable('revocations', 'The resource servers cannot be read', error)
    }
    const servers = new Map<string, ServerStatus>()
    // The oldest word first: of the state, the newest word of a server counts.
    reports.sort((a, b) => b.ageMs - a.ageMs)
    for (const { serverId, ageMs, state, stalenessMs, seq } of reports) {
      if (ageMs > liveWithinMs) continue
      const known = servers.get(serverId)
      servers.set(serverId, {
        serverId,
        state: state as ServerStatus['state'],
        stalenessMs: Math.max(known?.stalenessMs ?? 0, stalenessMs + ageMs),
        applied: (known?.applied ?? 0) + seq,
      })
    }
    return [...servers.values()].sort((a, b) => (a.serverId < b.serverId ? -1 : 1))
  }

  async #readNodes(partition: number): Promise<NodeReport[]> {
    return this.#connection.runPatiently(writeBudgetMs, async (client) =>
      readServersScript(client, { servers_key: this.#log.keys.servers(partition) }, {}),
    )
  }
}
