import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { Express } from 'express'
import { Cluster, Redis } from 'ioredis'
import type { RedisClient } from 'express-kickout/redis'
import type { RedisPlace, WorkerMemory } from './places.ts'

const loopDelay: IntervalHistogram = monitorEventLoopDelay({ resolution: 5 })
loopDelay.enable()

/** The configuration that this process was started with. */
export function readConfig(): unknown {
  return JSON.parse(process.argv[2] ?? '{}')
}

/** A client for the place; the package makes its own connections after it. */
export function connectTo(place: RedisPlace): RedisClient {
  const client =
    place.kind === 'cluster'
      ? new Cluster([...place.servers], { lazyConnect: true })
      : place.kind === 'sentinel'
        ? new Redis({ lazyConnect: true, sentinels: [...place.sentinels], name: place.name })
        : new Redis({ lazyConnect: true, host: place.host, port: place.port })
  client.on('error', () => undefined)
  return client
}

async function readMemory(): Promise<WorkerMemory> {
  for (let collection = 0; collection < 3; collection++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  const resources = process.getActiveResourcesInfo()
  return {
    rssMb: rss / 2 ** 20,
    heapMb: (heapUsed + external) / 2 ** 20,
    timers: resources.filter((name) => name === 'Timeout').length,
    sockets: resources.filter((name) => name.startsWith('TCP')).length,
  }
}

/** Longest time that the event loop was held since the last question, milliseconds. */
function readLoopDelay(): number {
  const longestMs = loopDelay.max / 1e6
  loopDelay.reset()
  return longestMs
}

/** Serves an app on a free port of the loopback, answers questions over IPC, and ends with the process that started it. */
export function serve(
  app: Express,
  questions: Readonly<Record<string, (argument: never) => unknown>>,
): void {
  const all: typeof questions = { memory: readMemory, loopDelay: readLoopDelay, ...questions }
  const server = app.listen(0, '127.0.0.1', () => {
    const address = server.address()
    process.send?.({ port: typeof address === 'object' ? address?.port : 0 })
  })
  server.keepAliveTimeout = 120_000
  process.on('message', ({ id, question, argument }: Asked) => {
    Promise.resolve()
      .then(() => all[question]?.(argument as never))
      .then(
        (value) => process.send?.({ id, value }),
        (error: unknown) => process.send?.({ id, error: String(error) }),
      )
  })
  process.on('disconnect', () => process.exit(0))
  process.on('unhandledRejection', (error) => {
    process.stderr.write(`unhandled rejection: ${String(error)}\n`)
    process.exit(70)
  })
}

interface Asked {
  readonly id: number
  readonly question: string
  readonly argument: unknown
}
