import type { Redis } from 'ioredis'
import type { RevocationsState } from '../../events.ts'
import type { RedisClient } from '../options.ts'
import type { LogEntry } from '../../revocation/log.ts'
import { logStart } from '../../revocation/freshness.ts'
import { decodeEntry } from './entry-format.ts'
import { newEpoch, type RevocationLog } from './publish.ts'
import { heartbeatScript, type HeartbeatReply } from '../scripts/heartbeat.ts'
import { renewEpochScript } from '../scripts/renew-epoch.ts'

/** How many entries one read asks for. Parsing so many does not block the event loop for long. */
export const chunkSize = 500

/** What a resource server reports of itself with each heartbeat. */
export interface ServerFacts {
  /** `undefined` where there is nothing to report. */
  readonly serverId: string | undefined
  readonly state: RevocationsState
  readonly stalenessMs: number
  /** Number of the last entry applied, and the epoch that the number belongs to. */
  readonly seq: number
  readonly epoch: string | undefined
  readonly maxStalenessMs: number
  /** Whether it is the first heartbeat of a connection. */
  readonly isFirst: boolean
}

type OnPrimary = <Reply>(command: (client: RedisClient) => Promise<Reply>) => Promise<Reply>

/** Reads one partition's log over one connection. */
export class PartitionLog {
  readonly #client: Redis
  readonly #log: RevocationLog
  readonly #partition: number
  readonly #onPrimary: OnPrimary

  /**
   * @param client - where entries are read
   * @param onPrimary - runs a script on the primary, which has the head; by default over the same connection
   */
  constructor(
    client: Redis,
    log: RevocationLog,
    partition: number,
    onPrimary: OnPrimary = async (command) => command(client),
  ) {
    this.#client = client
    this.#log = log
    this.#partition = partition
    this.#onPrimary = onPrimary
  }

  /** Reports, and reads the head of the log. */
  async heartbeat(facts: ServerFacts): Promise<HeartbeatReply> {
    const { keys, layout } = this.#log
    return this.#onPrimary(async (client) =>
      heartbeatScript(
        client,
        { servers_key: keys.servers(this.#partition) },
        {
          ...layout,
          server_id: facts.serverId ?? '',
          state: facts.state,
          staleness_ms: Number.isFinite(facts.stalenessMs) ? Math.round(facts.stalenessMs) : 0,
          position: facts.seq,
          max_staleness_ms: facts.maxStalenessMs,
          epoch: facts.epoch ?? '',
          is_first: facts.isFirst ? 1 : 0,
        },
      ),
    )
  }

  /** Resolves with the entries after the cursor as soon as there is one, and with none after `blockMs`. */
  async readNewer(cursor: string, blockMs: number): Promise<LogEntry[]> {
    const reply = await this.#client.xread(
      'COUNT', chunkSize, 'BLOCK', blockMs, 'STREAMS', this.#stream, cursor,
    ) // prettier-ignore
    return (reply?.[0]?.[1] ?? []).map(decodeEntry)
  }

  /** The next chunk of the window behind the cursor. */
  async readWindow(cursor: string): Promise<LogEntry[]> {
    const start = cursor === logStart ? '-' : `(${cursor}`
    const reply = await this.#client.xrange(this.#stream, start, '+', 'COUNT', chunkSize)
    return reply.map(decodeEntry)
  }

  /** Whether an unreadable entry is still at its position. After a failover a readable one may be there. */
  async holdsUnreadable(position: string): Promise<boolean> {
    const reply = await this.#client.xrange(this.#stream, position, position)
    return reply.some((entry) => decodeEntry(entry).seq === undefined)
  }

  /**
   * Begins a new epoch of a log that lacks entries, so that every server reads it again.
   *
   * @param wasHoleSeen - whether a number in the middle is missing. Redis cannot see that by counting its entries
   */
  async renewEpoch(brokenEpoch: string | undefined, wasHoleSeen: boolean): Promise<void> {
    await this.#onPrimary(async (client) =>
      renewEpochScript(
        client,
        { meta_key: this.#log.keys.meta(this.#partition), stream_key: this.#stream },
        {
          broken_epoch: brokenEpoch ?? '',
          new_epoch: newEpoch(),
          hole_seen: wasHoleSeen ? '1' : '0',
        },
      ),
    )
  }

  get #stream(): string {
    return this.#log.keys.stream(this.#partition)
  }
}
