import type { Redis } from 'ioredis'
import type { SessionRecord } from '../issuer/sessions/session-store.ts'
import { redisRevocations, redisStore } from '../redis/index.ts'
import { Keys } from '../redis/keys.ts'
import { type LayoutSettings, readStoreSettings } from '../redis/options.ts'
import { readServersScript } from '../redis/scripts/read-servers.ts'
import type { ServerReport } from '../revocation/confirm.ts'
import { type Given, textOf, wholeNumberOf } from './arguments.ts'
import { answer, connectToRedis, type RedisConnection } from './redis-client.ts'
import type { LogSummary, Store } from './store.ts'

/** How many keys a scan looks at per round trip. */
const scanCount = 1000

/** What flags say of the layout. */
export interface GivenLayout {
  readonly prefix: string | undefined
  readonly partitions: number | undefined
  readonly minReplicas: number | undefined
}

/** The layout as the servers have written it, and its keys. */
export interface RedisLayout {
  readonly settings: LayoutSettings
  readonly keys: Keys
  /** As Redis holds it; `undefined` where no log was opened. */
  readonly held: { readonly partitions: number; readonly retentionMs: number } | undefined
}

/** How many partitions the servers report in, where no log tells: they report before anything was ever written. */
async function countReportedPartitions(
  { client }: RedisConnection,
  keysFor: (partitions: number) => Keys,
): Promise<number> {
  let count = 0
  // By HGETALL, which the documented users of Redis may send.
  const reportsOf = async (partition: number) =>
    answer(client.hgetall(keysFor(partition + 1).servers(partition)))
  while (Object.keys(await reportsOf(count)).length > 0) count++
  return Math.max(count, 1)
}

/**
 * Finds out how the servers lay out their keys. A command must neither open a log with a number of partitions of its own
 * nor raise how long the servers keep kick-outs.
 */
export async function readLayout(
  connection: RedisConnection,
  given: GivenLayout,
): Promise<RedisLayout> {
  const { client } = connection
  const keysFor = (partitions: number) => new Keys(toSettings(connection, given, partitions))
  const keys = keysFor(1)
  const [heldPartitions, heldRetention] = await answer(
    client.hmget(keys.meta(0), 'partitions', 'retention_ms'),
  )
  const toldRetention = await answer(client.hget(keys.servers(0), '#retention_ms'))
  const retentionMs = Math.max(Number(heldRetention ?? 0), Number(toldRetention ?? 0))
  const held =
    typeof heldPartitions !== 'string'
      ? undefined
      : { partitions: Number(heldPartitions), retentionMs }
  const partitions =
    given.partitions ?? held?.partitions ?? (await countReportedPartitions(connection, keysFor))
  const settings = toSettings(connection, given, partitions, retentionMs)
  return { settings, keys: new Keys(settings), held }
}

/** @param retentionMs - 0 where Redis does not tell */
function toSettings(
  { client }: RedisConnection,
  { prefix, minReplicas }: GivenLayout,
  partitions: number,
  retentionMs = 0,
): LayoutSettings {
  return readStoreSettings(client, {
    ...(prefix !== undefined && { prefix }),
    ...(minReplicas !== undefined && { minReplicas }),
    ...(retentionMs > 0 && { retentionSeconds: retentionMs / 1000 }),
    partitions,
  })
}

/** The layout that flags and defaults give, where Redis may not be asked. */
export function assumedLayout(connection: RedisConnection, given: GivenLayout): RedisLayout {
  const settings = toSettings(connection, given, given.partitions ?? 1)
  return { settings, keys: new Keys(settings), held: undefined }
}

export function readGivenLayout(given: Given): GivenLayout {
  return {
    prefix: textOf(given, 'prefix'),
    partitions: wholeNumberOf(given, 'partitions', { min: 1, max: 65_535 }),
    minReplicas: wholeNumberOf(given, 'min-replicas', { min: 0, max: 100 }),
  }
}

/** Opens what the servers share on one Redis. */
export async function openRedisStore(
  url: string,
  place: string,
  given: GivenLayout,
): Promise<Store> {
  const connection = await connectToRedis(url)
  try {
    const layout = await readLayout(connection, given)
    return new RedisAdministration(connection, layout, place)
  } catch (error) {
    connection.close()
    throw error
  }
}

class RedisAdministration implements Store {
  readonly kind = 'redis'
  readonly place: string
  readonly revocations: Store['revocations']
  readonly #connection: RedisConnection
  readonly #layout: RedisLayout

  constructor(connection: RedisConnection, layout: RedisLayout, place: string) {
    this.#connection = connection
    this.#layout = layout
    const { prefix } = layout.settings
    this.place = `${place}, prefix ${prefix}`
    this.revocations = redisRevocations(connection.client, this.#options)
  }

  get #options() {
    const { prefix, partitions, retentionMs, minReplicas } = this.#layout.settings
    return { prefix, partitions, minReplicas, retentionSeconds: retentionMs / 1000 }
  }

  get #partitions(): number[] {
    return Array.from({ length: this.#layout.settings.partitions }, (_, partition) => partition)
  }

  async findSessions(subject: string, issuer: string | undefined): Promise<SessionRecord[]> {
    const store = redisStore(this.#connection.client, this.#options)
    try {
      const issuers = issuer === undefined ? await this.#issuersOf(subject) : [issuer]
      const lists = await Promise.all(issuers.map(async (name) => store.list(name, subject)))
      return lists.flat()
    } finally {
      await store.close()
    }
  }

  /** The issuers that a user has sessions of. Keys tell neither, so every session is looked at. */
  async #issuersOf(subject: string): Promise<string[]> {
    const { keys } = this.#layout
    const issuers = new Set<string>()
    const isOurs = new Set(this.#partitions.map((partition) => `${keys.base(partition)}session:`))
    for (const node of this.#connection.primaries) {
      // The prefix may hold characters that patterns give a meaning.
      const stream = node.scanStream({ match: '*session:*', count: scanCount })
      for await (const found of stream as AsyncIterable<string[]>) {
        const sessions = found.filter((key) =>
          isOurs.has(key.slice(0, key.indexOf('session:') + 8)),
        )
        if (sessions.length === 0) continue
        const records = await answer(readOwners(node, sessions))
        for (const [owner, name] of records) if (owner === subject && name) issuers.add(name)
      }
    }
    return [...issuers].sort()
  }

  async readLog(): Promise<LogSummary> {
    const { client } = this.#connection
    const { keys, settings, held } = this.#layout
    const heads = await Promise.all(
      this.#partitions.map(async (partition) => {
        const [epoch, createdAt, seq] = await answer(
          client.hmget(keys.meta(partition), 'epoch', 'created_at', 'seq'),
        )
        const entries = await answer(client.xlen(keys.stream(partition)))
        return { epoch, createdAt, seq: Number(seq ?? 0), entries }
      }),
    )
    const sum = (of: (head: (typeof heads)[number]) => number) =>
      heads.reduce((total, head) => total + of(head), 0)
    const { epoch, createdAt } = heads[0] ?? {}
    return {
      isOpened: held !== undefined,
      epoch: epoch ?? undefined,
      createdAt: typeof createdAt === 'string' ? Number(createdAt) : undefined,
      seq: sum(({ seq }) => seq),
      entries: sum(({ entries }) => entries),
      partitions: settings.partitions,
      retentionMs: held?.retentionMs,
    }
  }

  async readServers(): Promise<ServerReport[]> {
    const { client } = this.#connection
    const { keys } = this.#layout
    const reports = await Promise.all(
      this.#partitions.map(async (partition) =>
        answer(readServersScript(client, { servers_key: keys.servers(partition) }, {})),
      ),
    )
    return mergeReports(reports.flat())
  }

  async close(): Promise<void> {
    await this.revocations.close()
    this.#connection.close()
  }
}

/** Subject and issuer of sessions, in one round trip. */
async function readOwners(node: Redis, sessions: readonly string[]): Promise<(string | null)[][]> {
  const pipeline = node.pipeline()
  for (const key of sessions) pipeline.hmget(key, 'subject', 'issuer')
  const replies = (await pipeline.exec()) ?? []
  return replies.map(([error, reply]) => (error ? [] : (reply as (string | null)[])))
}

/** One report for each server: it is as silent and as stale as in its worst partition. */
function mergeReports(reports: readonly ServerReport[]): ServerReport[] {
  const merged = new Map<string, ServerReport>()
  for (const report of reports) {
    const known = merged.get(report.serverId)
    const oldest = known && known.ageMs > report.ageMs ? known : report
    merged.set(report.serverId, {
      ...oldest,
      seq: report.seq + (known?.seq ?? 0),
      stalenessMs: Math.max(report.stalenessMs, known?.stalenessMs ?? 0),
    })
  }
  return [...merged.values()].sort((a, b) => (a.serverId < b.serverId ? -1 : 1))
}
