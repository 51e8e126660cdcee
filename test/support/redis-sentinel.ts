import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { askRedis, waitUntilInSync } from './ask-redis.ts'
import { onFreePorts } from './free-port.ts'
import { makeScratchDir, removeScratchDir } from './reaper.ts'
import { launchRedis } from './redis-process.ts'
import { type ClientOptions, type RedisServer, startRedis } from './redis-server.ts'
import { waitUntil } from './wait.ts'

const HOST = '127.0.0.1'
const NAME = 'm'

export interface StartSentinelOptions {
  /** @defaultValue 1 */
  readonly replicas?: number
  /** A majority of them must agree before a replica is promoted. @defaultValue 3 */
  readonly sentinels?: number
  /** @defaultValue 1000 */
  readonly downAfterMs?: number
  readonly primaryArgs?: readonly string[]
  readonly replicaArgs?: readonly string[]
  /** Lets the clock of each server be set, see `startRedis`; those of the Sentinels are the machine's. */
  readonly aheadMs?: number
}

export interface Sentinel {
  readonly host: string
  readonly port: number
  kill9(): Promise<void>
  pause(): void
  resume(): void
}

export interface SentinelDeployment {
  readonly name: string
  readonly sentinels: readonly Sentinel[]
  /** The server that was the primary at the start; it keeps this place after a failover. */
  readonly primary: RedisServer
  readonly replicas: readonly RedisServer[]
  /**
   * A client that asks the Sentinels for the primary; `stop()` closes it. Its connection errors are
   * swallowed.
   */
  client(options?: ClientOptions): Redis
  /**
   * Resolves with the promoted server when it is a primary and every answering Sentinel names it.
   */
  waitForPromotion(options?: {
    readonly from?: RedisServer
    readonly timeoutMs?: number
  }): Promise<RedisServer>
  stop(): Promise<void>
}

/**
 * Resolves when the replicas are in sync and all Sentinels know them and each other: ready to be
 * broken.
 */
export async function startSentinel(
  options: StartSentinelOptions = {},
): Promise<SentinelDeployment> {
  const { replicas: replicaCount = 1, sentinels: sentinelCount = 3, downAfterMs = 1000 } = options
  const cleanups: (() => Promise<void>)[] = []
  const stop = async () => {
    await Promise.all(cleanups.splice(0).map((cleanup) => cleanup()))
  }
  try {
    const clock = options.aheadMs === undefined ? {} : { aheadMs: options.aheadMs }
    const primary = await startRedis({ args: options.primaryArgs ?? [], ...clock })
    cleanups.push(() => primary.stop())
    const replicas: RedisServer[] = []
    for (let i = 0; i < replicaCount; i++) {
      const replicaOf = ['--replicaof', primary.host, String(primary.port)]
      const replica = await startRedis({
        args: [...replicaOf, ...(options.replicaArgs ?? [])],
        ...clock,
      })
      cleanups.push(() => replica.stop())
      replicas.push(replica)
    }
    await Promise.all(replicas.map(waitUntilInSync))
    const sentinels: Sentinel[] = []
    for (let i = 0; i < sentinelCount; i++) {
      const quorum = Math.floor(sentinelCount / 2) + 1
      const sentinel = await launchSentinel({ primary, quorum, downAfterMs })
      cleanups.push(() => sentinel.stop())
      sentinels.push(sentinel)
    }
    await waitUntilAcquainted(sentinels, replicaCount)
    const clients = new Set<Redis>()
    cleanups.push(() => {
      for (const client of clients) client.disconnect()
      return Promise.resolve()
    })
    return {
      name: NAME,
      sentinels,
      primary,
      replicas,
      client(clientOptions = {}) {
        const addresses = sentinels.map(({ host, port }) => ({ host, port }))
        const client = new Redis({
          ...{ sentinels: addresses, name: NAME, disconnectTimeout: 50 },
          ...clientOptions,
        })
        clients.add(client.on('error', () => undefined))
        return client
      },
      async waitForPromotion({ from = primary, timeoutMs = 15_000 } = {}) {
        const servers = [primary, ...replicas].filter((server) => server !== from)
        return await waitUntil(() => findPromoted(servers, sentinels), {
          what: 'a promotion that all Sentinels name',
          timeoutMs,
          everyMs: 25,
        })
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function launchSentinel(watched: {
  primary: RedisServer
  quorum: number
  downAfterMs: number
}) {
  const dir = makeScratchDir()
  const { primary, quorum, downAfterMs } = watched
  const launchOn = async (port: number) => {
    const file = join(dir, 'sentinel.conf')
    const lines = [
      `port ${port}`,
      `bind ${HOST}`,
      `sentinel monitor ${NAME} ${primary.host} ${primary.port} ${quorum}`,
      `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
      `sentinel failover-timeout ${NAME} 5000`,
    ]
    writeFileSync(file, `${lines.join('\n')}\n`)
    return { port, process: await launchRedis([file, '--sentinel'], { port, dir }) }
  }
  const { port, process } = await onFreePorts(1, launchOn).catch((error: unknown) => {
    removeScratchDir(dir)
    throw error
  })
  return {
    host: HOST,
    port,
    kill9: () => process.kill(),
    pause() {
      process.signal('SIGSTOP')
    },
    resume() {
      process.signal('SIGCONT')
    },
    async stop() {
      await process.kill()
      removeScratchDir(dir)
    },
  }
}

async function waitUntilAcquainted(sentinels: readonly Sentinel[], replicaCount: number) {
  const others = sentinels.length - 1
  await waitUntil(
    async () => {
      const states = await Promise.all(
        sentinels.map((sentinel) =>
          askRedis(sentinel, (client) => client.call('SENTINEL', 'MASTER', NAME)),
        ),
      )
      return states.every((state) => {
        const fields = toFields(state)
        return (
          fields.get('num-other-sentinels') === String(others) &&
          fields.get('num-slaves') === String(replicaCount) &&
          fields.get('flags') === 'master'
        )
      })
    },
    { what: 'the Sentinels to know each other', timeoutMs: 20_000, everyMs: 25 },
  )
}

async function findPromoted(servers: readonly RedisServer[], sentinels: readonly Sentinel[]) {
  const answers = await Promise.allSettled(
    sentinels.map((sentinel) =>
      askRedis(sentinel, (client) => client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)),
    ),
  )
  const ports = new Set(
    answers
      .filter((answer) => answer.status === 'fulfilled')
      .map(({ value }) => Number(Array.isArray(value) ? value[1] : 0)),
  )
  if (ports.size !== 1) return undefined
  const promoted = servers.find(({ port }) => ports.has(port))
  if (!promoted) return undefined
  const role = await askRedis(promoted, (client) => client.role())
  return role[0] === 'master' ? promoted : undefined
}

function toFields(flat: unknown): Map<string, string> {
  const fields = new Map<string, string>()
  if (!Array.isArray(flat)) return fields
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(String(flat[i]), String(flat[i + 1]))
  return fields
}
