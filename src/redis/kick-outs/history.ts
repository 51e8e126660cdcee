import {
  Confirmation,
  type LogPosition,
  mayAccept,
  type Reached,
  type ServerReport,
} from '../../revocation/confirm.ts'
import {
  defaultConfirmTimeoutMs,
  type KickOutOptions,
  type KickOutPage,
  type KickOutQuery,
  type KickOutRecord,
  type ServerStatus,
  toKickOutRecord,
  UnknownKickOutError,
} from '../../revocation/revocations.ts'
import type { CommandConnection } from '../client/connection.ts'
import { toUnavailable } from '../client/failure.ts'
import { decodeEntry } from './entry-format.ts'
import { type RevocationLog, writeBudgetMs } from './publish.ts'
import { readKickOutsScript } from '../scripts/read-kick-outs.ts'
import { readServersScript } from '../scripts/read-servers.ts'

/** How many records are read at a time to find one by its id. */
const idScanPage = 1000

/** A record and where it stands: positions of one partition rise; those of several are ordered by their time. */
interface Found {
  readonly record: KickOutRecord
  readonly position: string
  readonly partition: number
}

function timeOf(position: string): number {
  return Number(position.slice(0, position.indexOf('-')))
}

/** The newest first; of the same millisecond, by position and partition. */
function newestFirst(a: Found, b: Found): number {
  const [aSeq, bSeq] = [a, b].map(({ position }) =>
    Number(position.slice(position.indexOf('-') + 1)),
  )
  return (
    timeOf(b.position) - timeOf(a.position) ||
    (bSeq ?? 0) - (aSeq ?? 0) ||
    b.partition - a.partition
  )
}

function cursorOf({ position, partition }: Found): string {
  return `${position}.${partition}`
}

/** Reads the history of kick-outs, the list of servers, and which servers have confirmed a kick-out. Writes nothing. */
export class History {
  readonly #connection: CommandConnection
  readonly #log: RevocationLog
  readonly #confirmations = new Map<number, Confirmation>()

  constructor(connection: CommandConnection, log: RevocationLog) {
    this.#connection = connection
    this.#log = log
  }

  /** Waits until every resource server that counts has applied an entry, or the time is up. */
  async confirm(
    partition: number,
    position: LogPosition,
    { confirmTimeoutMs = defaultConfirmTimeoutMs, onProgress }: KickOutOptions,
  ): Promise<Reached> {
    let confirmation = this.#confirmations.get(partition)
    if (!confirmation) {
      confirmation = new Confirmation(async () => this.#readServers(partition))
      this.#confirmations.set(partition, confirmation)
    }
    return confirmation.of(position, confirmTimeoutMs, onProgress)
  }

  /**
   * One page of the kick-outs of all partitions.
   *
   * @throws UnknownKickOutError, UnavailableError
   */
  async listKickOuts(query: KickOutQuery): Promise<KickOutPage> {
    try {
      const before = query.before === undefined ? undefined : await this.#locate(query.before)
      const found = await this.#read(query, before)
      const page = found.slice(0, query.limit)
      const last = page.at(-1)
      return {
        kickOuts: page.map(({ record }) => record),
        ...(last && found.length > query.limit && { next: cursorOf(last) }),
      }
    } catch (error) {
      if (error instanceof UnknownKickOutError) throw error
      throw toUnavailable('revocations', 'The kick-outs cannot be read', error)
    }
  }

  /** The newest kick-outs of all partitions before a given one. One more than the limit shows that there are more. */
  async #read(query: KickOutQuery, before: Found | undefined): Promise<Found[]> {
    const limit = query.limit + 1
    const pages = await Promise.all(
      this.#log.partitions.map(async (partition) =>
        this.#readPartition(partition, query, limit, before),
      ),
    )
    return pages
      .flat()
      .filter((found) => !before || newestFirst(before, found) < 0)
      .sort(newestFirst)
      .slice(0, limit)
  }

  async #readPartition(
    partition: number,
    { by = '', level, target = '', issuers }: Partial<KickOutQuery>,
    limit: number,
    before: Found | undefined,
  ): Promise<Found[]> {
    const found: Found[] = []
    // In another partition the read begins one millisecond later. The caller filters what is too new.
    let from =
      before === undefined
        ? ''
        : before.partition === partition
          ? before.position
          : `${timeOf(before.position) + 1}-0`
    for (;;) {
      const position = from
      const { entries, next } = await this.#connection.runPatiently(writeBudgetMs, async (client) =>
        readKickOutsScript(
          client,
          { servers_key: this.#log.keys.servers(partition) },
          {
            retention_ms: this.#log.settings.retentionMs,
            limit: limit - found.length,
            before: position,
            by,
            level: level ?? '',
            target,
            issuers: issuers ? JSON.stringify(issuers) : '',
          },
        ),
      )
      for (const entry of entries) {
        const { revocation } = decodeEntry(entry)
        if (revocation)
          found.push({ record: toKickOutRecord(revocation), position: entry[0], partition })
      }
      if (next === undefined || found.length >= limit) return found
      from = next
    }
  }

  /** Finds where a page begins: the position in a cursor, or for an id by reading the log back to it. */
  async #locate(before: string): Promise<Found> {
    const [, position, partitionText] = /^(\d{1,16}-\d{1,16})\.(\d{1,5})$/.exec(before) ?? []
    if (position !== undefined) {
      const partition = Number(partitionText)
      if (partition < this.#log.settings.partitions) {
        const entries = await this.#connection.runPatiently(writeBudgetMs, async (client) =>
          client.xrange(this.#log.keys.stream(partition), position, position),
        )
        const revocation = entries[0] && decodeEntry(entries[0]).revocation
        if (revocation) return { record: toKickOutRecord(revocation), position, partition }
      }
      throw new UnknownKickOutError()
    }
    for (let from: Found | undefined; ;) {
      const page: Found[] = await this.#read({ limit: idScanPage }, from)
      const found = page.find(({ record }) => record.id === before)
      if (found) return found
      if (page.length <= idScanPage) throw new UnknownKickOutError()
      from = page[idScanPage - 1]
    }
  }

  /** Live resource servers. A server is as fresh as its stalest partition. */
  async listServers(): Promise<ServerStatus[]> {
    let reports: ServerReport[]
    try {
      reports = (
        await Promise.all(
          this.#log.partitions.map(async (partition) => this.#readServers(partition)),
        )
      ).flat()
    } catch (error) {
      throw toUnavailable('revocations', 'The resource servers cannot be read', error)
    }
    const servers = new Map<string, ServerStatus>()
    // The oldest report first, so that the newest one decides the state of a server.
    reports.sort((a, b) => b.ageMs - a.ageMs)
    for (const { serverId, ageMs, state, stalenessMs, seq } of reports.filter(mayAccept)) {
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

  async #readServers(partition: number): Promise<ServerReport[]> {
    return this.#connection.runPatiently(writeBudgetMs, async (client) =>
      readServersScript(client, { servers_key: this.#log.keys.servers(partition) }, {}),
    )
  }
}
