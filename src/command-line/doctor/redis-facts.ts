import type { Redis } from 'ioredis'
import type { ServerReport } from '../../revocation/confirm.ts'
import { firstLine } from '../failure.ts'
import { answer, type RedisConnection } from '../redis-client.ts'
import type { RedisLayout } from '../redis-store.ts'
import type { ClockReading } from './clock-findings.ts'
import { readRights, type RedisRights } from './redis-rights.ts'

/** How many keys are looked at, at most, to find other deployments in the same database. */
const maxScannedKeys = 20_000

/** One primary of the deployment. */
export interface NodeFacts {
  /** Host and port. */
  readonly name: string
  /** The text of INFO; empty where this user may not ask. */
  readonly info: string
  /** A setting by CONFIG GET; `undefined` where this user, or the provider, does not allow that. */
  readonly setting: (name: string) => string | undefined
  readonly clock: ClockReading | undefined
}

/** The head of one partition. */
export interface PartitionFacts {
  readonly partition: number
  readonly epoch: string | undefined
  /** As written there; all of them have to agree. */
  readonly partitions: string | undefined
  readonly seq: number
  readonly first: number
  readonly entries: number
  readonly hasServers: boolean
}

export interface RedisFacts {
  readonly nodes: readonly NodeFacts[]
  readonly isCluster: boolean
  readonly rights: RedisRights
  readonly layout: RedisLayout
  readonly partitions: readonly PartitionFacts[]
  /** Partitions with a head that this layout does not know. */
  readonly beyond: readonly number[]
  /** Other prefixes that a deployment uses in the same database. */
  readonly otherPrefixes: readonly string[]
  readonly servers: readonly ServerReport[]
  /** What could not be read, in the words of Redis. */
  readonly failures: readonly string[]
}

const settings = [
  'maxmemory-policy',
  'appendonly',
  'appendfsync',
  'save',
  'min-replicas-to-write',
  'stop-writes-on-bgsave-error',
]

async function readNode(node: Redis): Promise<NodeFacts> {
  const { host, port } = node.options
  const info = await answer(node.info()).catch(() => '')
  const values = new Map<string, string>()
  for (const name of settings) {
    const reply = await answer(node.config('GET', name)).catch(() => [])
    const [, value] = reply as string[]
    if (value !== undefined) values.set(name, value)
  }
  const sentAt = Date.now()
  const time = await answer(node.time()).catch(() => undefined)
  const receivedAt = Date.now()
  return {
    name: `${host ?? 'localhost'}:${port ?? 6379}`,
    info,
    setting: (name) => values.get(name),
    clock: time && {
      there: Number(time[0]) * 1000 + Math.floor(Number(time[1]) / 1000),
      sentAt,
      receivedAt,
    },
  }
}

async function readPartition(
  { client }: RedisConnection,
  { keys }: RedisLayout,
  partition: number,
): Promise<PartitionFacts> {
  const [epoch, partitions, seq, first] = await answer(
    client.hmget(keys.meta(partition), 'epoch', 'partitions', 'seq', 'first'),
  )
  return {
    partition,
    epoch: epoch ?? undefined,
    partitions: partitions ?? undefined,
    seq: Number(seq ?? 0),
    first: Number(first ?? 1),
    entries: await answer(client.xlen(keys.stream(partition))),
    hasServers: Object.keys(await answer(client.hgetall(keys.servers(partition)))).length > 0,
  }
}

/** Prefixes, and partitions of our own prefix, that a look through the keys of the database shows. */
async function scan(
  { primaries }: RedisConnection,
  { settings: layout }: RedisLayout,
): Promise<{ otherPrefixes: string[]; beyond: number[] }> {
  const prefixes = new Set<string>()
  const beyond = new Set<number>()
  for (const node of primaries) {
    let [cursor, scanned] = ['0', 0]
    do {
      const [next, found] = await answer(node.scan(cursor, 'MATCH', '*:meta', 'COUNT', 1000))
      for (const key of found) {
        const [, keyPrefix, prefix = '', number] = /^(.*)\{([^{}]+):(\d+)\}:meta$/.exec(key) ?? []
        if (keyPrefix === undefined) continue
        const isOurs = keyPrefix === layout.keyPrefix && prefix === layout.prefix
        if (!isOurs) prefixes.add(keyPrefix + prefix)
        else if (Number(number) >= layout.partitions) beyond.add(Number(number))
      }
      cursor = next
      scanned += 1000
    } while (cursor !== '0' && scanned < maxScannedKeys)
  }
  return { otherPrefixes: [...prefixes].sort(), beyond: [...beyond].sort((a, b) => a - b) }
}

/**
 * Reads the reports of a partition's servers, and changes nothing: reading them by our script would forget silent ones.
 */
async function readReports(
  { client }: RedisConnection,
  { keys }: RedisLayout,
  partition: number,
  now: number,
): Promise<ServerReport[]> {
  const reports = await answer(client.hgetall(keys.servers(partition)))
  return Object.entries(reports).flatMap(([serverId, report]) => {
    const [saidAt, state = '', stalenessMs, seq, maxStalenessMs, epoch = ''] = report.split(':')
    if (!/^\d+$/.test(saidAt ?? '') || state === '') return []
    return {
      serverId,
      ageMs: Math.max(0, now - Number(saidAt)),
      state,
      stalenessMs: Number(stalenessMs),
      seq: Number(seq),
      maxStalenessMs: Number(maxStalenessMs),
      epoch,
    }
  })
}

/** The worst report of each server. */
function worstOf(reports: readonly ServerReport[]): ServerReport[] {
  const worst = new Map<string, ServerReport>()
  for (const report of reports) {
    const known = worst.get(report.serverId)
    if (!known || report.ageMs > known.ageMs) worst.set(report.serverId, report)
  }
  return [...worst.values()].sort((a, b) => (a.serverId < b.serverId ? -1 : 1))
}

/** Reads all that the findings are made of. What this user may not read is missing, and said so. */
export async function readRedisFacts(
  connection: RedisConnection,
  layout: RedisLayout,
): Promise<RedisFacts> {
  const failures: string[] = []
  const tolerate = async <Value>(reading: Promise<Value>, fallback: Value): Promise<Value> =>
    reading.catch((error: unknown) => {
      failures.push(firstLine(error))
      return fallback
    })
  const nodes = await Promise.all(connection.primaries.map(readNode))
  const rights = await readRights(connection.client, layout.keys)
  const numbers = Array.from({ length: layout.settings.partitions }, (_, partition) => partition)
  const now = nodes[0]?.clock?.there ?? Date.now()
  const partitions = numbers.map(async (number) => readPartition(connection, layout, number))
  const reports = numbers.map(async (number) => readReports(connection, layout, number, now))
  // Most users may not look through all keys, and need not.
  const scanned = await scan(connection, layout).catch(() => ({ otherPrefixes: [], beyond: [] }))
  return {
    nodes,
    isCluster: connection.isCluster,
    rights,
    layout,
    partitions: await tolerate(Promise.all(partitions), []),
    servers: worstOf((await tolerate(Promise.all(reports), [])).flat()),
    ...scanned,
    failures: [...new Set(failures)],
  }
}
