import type { Redis } from 'ioredis'
import { issuer } from '../support/make-token.ts'
import { startRedis } from '../support/redis-server.ts'
import { type Drill, type Figure, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import type { WorkerMemory } from './support/places.ts'
import { Worker } from './support/worker.ts'

/** What `kick-out` writes, many at a time: the look-up keys are left out, a server that boots does not read them. */
const writeMany = `
local meta, stream = KEYS[1], KEYS[2]
local epoch = redis.call('HGET', meta, 'epoch')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = string.format('%.0f:%.0f:%.0f', now, now + 3600000, now)
for index = 1, tonumber(ARGV[1]) do
  local seq = redis.call('HINCRBY', meta, 'seq', 1)
  redis.call('XADD', stream, '*', 'd', seq .. ':' .. epoch .. ':' .. text,
    'r', '{"k":"' .. seq .. 'aaaaaaaaaaaa","i":"' .. ARGV[2] .. '","l":"subject","t":"user-' .. seq .. '"}')
end
return redis.call('XLEN', stream)
`
const perWrite = 5000

interface Bars {
  readonly kicks: number
  readonly liveMs: number
  readonly heapMb: number
}

async function fill(client: Redis, kicks: number): Promise<void> {
  for (let written = 0; written < kicks;) {
    written = Number(
      await client.eval(
        writeMany,
        2,
        '{kickout:0}:meta',
        '{kickout:0}:stream',
        Math.min(perWrite, kicks - written),
        issuer,
      ),
    )
  }
}

async function boot({ kicks, liveMs, heapMb }: Bars): Promise<Figure[]> {
  const redis = await startRedis()
  const { host, port } = redis
  const empty = await Fleet.start({
    redis: { kind: 'single', host, port },
    servers: 1,
    issuers: 0,
    nodeArgs: ['--expose-gc'],
  })
  const loaded: Worker[] = []
  try {
    await empty.waitUntilLive()
    const before = await empty.servers[0]!.ask<WorkerMemory>('memory')
    await empty.stop()
    await fill(redis.client(), kicks)
    const worker = await Worker.start('./booting-server.ts', { host, port }, ['--expose-gc'])
    loaded.push(worker)
    const booted = await worker.ask<{
      liveMs: number
      entries: number
      longestMs: number
      longestBusyMs: number
    }>('boot')
    const after = await worker.ask<WorkerMemory>('memory')
    return [
      { what: `${kicks} kick-outs: held after the boot`, value: booted.entries, atLeast: kicks },
      { what: `${kicks} kick-outs: live after`, value: booted.liveMs, atMost: liveMs, unit: 'ms' },
      {
        what: `${kicks} kick-outs: event loop held by work at most`,
        value: booted.longestBusyMs,
        atMost: 50,
        unit: 'ms',
      },
      {
        what: `${kicks} kick-outs: event loop held at most, other processes included`,
        value: booted.longestMs,
        unit: 'ms',
      },
      {
        what: `${kicks} kick-outs: heap above an empty server`,
        value: after.heapMb - before.heapMb,
        atMost: heapMb,
        unit: 'MB',
      },
      { what: `${kicks} kick-outs: resident memory`, value: after.rssMb, unit: 'MB' },
    ]
  } finally {
    await Promise.all(loaded.map(async (worker) => worker.kill()))
    await redis.stop()
  }
}

/** Q20: a server boots while very many kick-outs are live. */
export const bootDrill: Drill = {
  name: 'boot',
  story: 'a server boots with a hundred thousand, and with a million, live kick-outs',
  async run(effort) {
    const sizes = pick<readonly Bars[]>(effort, {
      quick: [{ kicks: 20_000, liveMs: 1500, heapMb: 15 }],
      usual: [
        { kicks: 100_000, liveMs: 1500, heapMb: 15 },
        { kicks: 1_000_000, liveMs: 12_000, heapMb: 100 },
      ],
    })
    const figures: Figure[] = []
    for (const size of sizes) figures.push(...(await boot(size)))
    return figures
  },
}
