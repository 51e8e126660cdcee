import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '../support/redis-server.ts'
import { type Drill, type Effort, type Figure, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'

const maxStalenessMs = 5000
/** The server under test; the others go on. */
const paused = 0

interface Pause {
  readonly name: string
  readonly ms: number
  readonly how: (fleet: Fleet) => Promise<void>
}

function pauses(effort: Effort): Pause[] {
  const seconds = pick(effort, { quick: [1, 6], usual: [1, 5, 20], full: [1, 5, 20, 60, 600] })
  const stopped = seconds.map((length) => ({
    name: `SIGSTOP for ${length} s`,
    ms: length * 1000,
    async how({ servers }: Fleet) {
      servers[paused]!.pause()
      await sleep(length * 1000)
      servers[paused]!.resume()
    },
  }))
  const stall = {
    name: 'event loop held for 3 s',
    ms: 3000,
    async how({ servers }: Fleet) {
      await servers[paused]!.ask('stall', 3000)
    },
  }
  return [...stopped, stall]
}

/**
 * Requests of people who are kicked out meanwhile wait in the server's queue: half of them sent before their kick-out,
 * half of them after it. Those that started later than the kick-out and the staleness allowed must be refused; and after
 * the pause, everybody.
 */
async function play(fleet: Fleet, { name, ms, how }: Pause, requests: number): Promise<Figure[]> {
  const { people, history } = fleet
  const subjects = Array.from({ length: requests / 4 }, (_, index) => `${name}-${index}`)
  for (const subject of subjects) people.add(subject)
  await Promise.all(subjects.slice(0, 100).map(async (subject) => fleet.call(subject, paused)))
  const healed = history.beginFault()
  const startedAt = performance.now()
  const pausing = how(fleet)
  const timeoutMs = ms + 30_000
  const early = subjects.map(async (subject) => fleet.call(subject, paused, timeoutMs))
  await sleep(50)
  await fleet.kickOutAll(subjects)
  // Into the queue while it is paused: each second two for everybody whose kick-out is old enough to count, and more at the end.
  const late: Promise<number>[] = []
  while (performance.now() - startedAt < ms - 200) {
    if (late.length < requests / 2) {
      late.push(...subjects.slice(0, 50).map(async (who) => fleet.call(who, paused, timeoutMs)))
    }
    await sleep(250)
  }
  late.push(...subjects.map(async (subject) => fleet.call(subject, paused, timeoutMs)))
  await pausing
  const answers = await Promise.all([...early, ...late])
  const liveAfterMs = await fleet.waitUntilProved()
  healed()
  const acceptedAfter = await fleet.countAccepted(subjects)
  return [
    none(`${name}: kicked out, and let in after it`, acceptedAfter),
    none(`${name}: no answer`, answers.filter((status) => status === 0).length),
    { what: `${name}: proved again after`, value: liveAfterMs, atMost: 2000, unit: 'ms' },
  ]
}

/** Q18: a resource server stands still while people are kicked out. */
export const pause: Drill = {
  name: 'pause',
  story: 'a server stands still with requests in its queue while people are kicked out',
  async run(effort) {
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      servers: 2,
      revocations: { maxStalenessMs },
    })
    const requests = pick(effort, { quick: 200, usual: 1000 })
    try {
      await fleet.waitUntilLive()
      const figures: Figure[] = []
      for (const one of pauses(effort)) figures.push(...(await play(fleet, one, requests)))
      const wrong = fleet.history.judge(maxStalenessMs)
      return [
        { what: 'requests judged', value: fleet.history.calls.length },
        none('accepted later than the staleness allowed', wrong.acceptedAfterKickOut.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
        none('503 with a challenge or without Retry-After', wrong.badUnavailable.length),
        ...figures,
      ]
    } finally {
      await fleet.stop()
      await redis.stop()
    }
  },
}
