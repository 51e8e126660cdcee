import type { Redis } from 'ioredis'
import type { RevocationsState } from '../../events.ts'
import type { RedisClient } from '../options.ts'
import type { LogEntry } from '../../revocation/log.ts'
import { logStart } from '../../revocation/freshness.ts'
import { decodeEntry } from './entry-format.ts'
import { newEpoch, type RevocationLog } from './publish.ts'
import { heartbeatScript, type HeartbeatReply } from '../scripts/heartbeat.ts'
import { renewEpochScript } from '../scripts/renew-epoch.ts'

/** Entries of one read. Small enough that reading a million of them never holds the event loop for long. */
export const chunkSize = 500

/** What a resource server reports of itself with each heartbeat. */
export interface ServerFacts {
  /** `undefined` where there is nothing to report. */
  readonly serverId: string | undefined
  readonly state: RevocationsState
  readonly stalenessMs: number
  /** Number of the last entry applied, and the life of the log that it belongs to. */
  readonly seq: number
  readonly epoch: string | undefined
  readonly maxStalenessMs: number
  /** Whether it is the first heartbeat of a connection. */
  readonly isFirst: boolean
}

type OnPrimary = <Reply>(command: (client: RedisClient) => Promise<Reply>) => Promise<Reply>

/** One partition's log, as its reader asks for it over one connection. */
export class PartitionLog {
  readonly #client: Redis
  readonly #log: RevocationLog
  readonly #partition: number
  readonly #onPrimary: OnPrimary

  /**
   * @param client - where entries are read
   * @param onPrimary - runs a script where the head is; by default over the same connection
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

  /** What is newer than the cursor, as soon as there is something; nothing after `blockMs`. */
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

  /** Whether an entry that cannot be read still stands there. After a failover one of ours may have got its position. */
  async holdsUnreadable(position: string): Promise<boolean> {
    const reply = await this.#client.xrange(this.#stream, position, position)
    return reply.some((entry) => decodeEntry(entry).seq === undefined)
  }

  /** @param wasHoleSeen - what is missing from the middle cannot be counted again; what is missing at the end can */
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
