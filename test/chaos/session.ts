import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ReplicaStatus } from '../drills/support/places.ts'
import { People } from '../drills/support/people.ts'
import { findFaketime } from '../support/movable-clock.ts'
import { Random } from '../support/random.ts'
import { check, type CheckSettings, type Violation } from './check.ts'
import { Crowd } from './crowd.ts'
import { Member } from './fleet.ts'
import { type Account, type FaultEvent, History } from './history.ts'
import { memberFaults } from './member-faults.ts'
import { startStore, type Store, type StoreKind } from './store.ts'

export const repository = fileURLToPath(new URL('../..', import.meta.url))

export interface RunSettings {
  readonly kind: StoreKind
  readonly minutes: number
  readonly seed: number
  readonly servers: number
  readonly issuers: number
  readonly perSecond: number
  readonly root: string
  /** Whether the clocks of Redis jump too. */
  readonly storeClocks: boolean
  /** Whether Redis evicts too. */
  readonly evictions: boolean
  /** Ends the run as soon as one of these claims is violated. */
  readonly stopAt?: readonly Violation['claim'][]
  /** A fault of a process that is chosen more often than others. */
  readonly favourite?: string
}

export interface Outcome {
  readonly violations: readonly Violation[]
  readonly figures: Readonly<Record<string, string | number>>
  readonly file: string
}

const claims: CheckSettings = { maxStalenessMs: 2000, reuseGraceMs: 3000 }
const patienceMs = 8000
/** A turn of this process that comes so late means that the machine is too busy to judge times. */
const lateMs = 250
/** So does a second in which its processors had less than this share of their time to spare: other processes starve. */
const spareShare = 0.03
const spareEveryMs = 1000
const lookEveryMs = 5000

/** A fault on its way. */
interface UnderWay {
  readonly event: Omit<FaultEvent, 'to'>
  readonly heal: () => Promise<unknown>
}

/** What all processors together did since the machine was started, milliseconds. */
function processorTimes(): { idle: number; all: number } {
  let idle = 0
  let all = 0
  for (const { times } of cpus()) {
    idle += times.idle
    all += times.user + times.nice + times.sys + times.irq + times.idle
  }
  return { idle, all }
}

/** How long spans last together, where they overlap once. */
function lengthOf(spans: readonly { from: number; to: number }[]): number {
  let length = 0
  let end = Number.NEGATIVE_INFINITY
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    length += Math.max(0, to - Math.max(from, end))
    end = Math.max(end, to)
  }
  return length
}

/** One run: a store, processes, a crowd, faults until time is up, and what the checker says. */
export async function run(settings: RunSettings, folder: string): Promise<Outcome> {
  const random = new Random(settings.seed)
  const store = await startStore(
    settings.kind,
    { clocks: settings.storeClocks, evictions: settings.evictions },
    random,
  )
  const file = join(folder, `history-${settings.kind}-${settings.seed}-${Date.now()}.jsonl`)
  const session = new Session(settings, { random, store, folder, history: new History(file) })
  try {
    return { ...(await session.play()), file }
  } finally {
    await session.stop()
    await store.stop()
  }
}

interface Parts {
  readonly random: Random
  readonly store: Store
  readonly folder: string
  readonly history: History
}

class Session {
  readonly #settings: RunSettings
  readonly #random: Random
  readonly #store: Store
  readonly #folder: string
  readonly #history: History
  readonly #people = new People()
  readonly #members: Member[] = []
  readonly #clocksOff = new Map<string, number>()
  readonly #restUntil = new Map<string, number>()
  #faults = 0
  #watch: NodeJS.Timeout | undefined

  constructor(settings: RunSettings, { random, store, folder, history }: Parts) {
    this.#settings = settings
    this.#random = random
    this.#store = store
    this.#folder = folder
    this.#history = history
  }

  async play(): Promise<Omit<Outcome, 'file'>> {
    await this.#startMembers()
    this.#watchBusiness()
    const crowd = new Crowd({
      history: this.#history,
      random: new Random(this.#settings.seed + 1),
      people: this.#people,
      members: () => this.#members,
      isClockOff: (member) => this.#isClockOff(member.name),
      perSecond: this.#settings.perSecond,
      maxStalenessMs: claims.maxStalenessMs,
    })
    if (!(await this.#waitUntilLive())) throw new Error('the servers did not become live')
    const startedAt = performance.now()
    const endsAt = startedAt + this.#settings.minutes * 60_000
    let lookedAt = startedAt
    let found: Violation[] = []
    crowd.start()
    try {
      await sleep(2000)
      while (performance.now() < endsAt && found.length === 0) {
        await this.#break()
        if (!this.#settings.stopAt || performance.now() - lookedAt < lookEveryMs) continue
        lookedAt = performance.now()
        found = this.#look()
      }
      if (found.length === 0) await sleep(claims.maxStalenessMs + 1000)
    } finally {
      await crowd.stop()
      clearInterval(this.#watch)
      this.#history.flush()
    }
    const violations = this.#settings.stopAt ? this.#look() : check(this.#history.events, claims)
    return { violations, figures: this.#figures(performance.now() - startedAt) }
  }

  async stop(): Promise<void> {
    clearInterval(this.#watch)
    await Promise.all(this.#members.map(async (member) => member.stop()))
  }

  #look(): Violation[] {
    return check(this.#history.events, claims).filter(({ claim }) =>
      this.#settings.stopAt?.includes(claim),
    )
  }

  async #startMembers(): Promise<void> {
    const { servers, issuers, root } = this.#settings
    const { place, addresses, minReplicas, partitions } = this.#store
    const { jwks, signingKey } = this.#people
    const fleet = {
      history: this.#history,
      root,
      folder: this.#folder,
      addresses,
      faketime: findFaketime(),
      config: {
        ...{ place, jwks, signingKey, minReplicas, partitions },
        ...claims,
        retentionSeconds: 4000,
      },
    }
    const names = [
      ...Array.from({ length: servers }, (_, index) => ['api', `api-${index + 1}`] as const),
      ...Array.from({ length: issuers }, (_, index) => ['login', `login-${index + 1}`] as const),
    ]
    this.#members.push(
      ...(await Promise.all(names.map(async ([role, name]) => Member.start(role, name, fleet)))),
    )
  }

  #isClockOff(name: string): boolean {
    return ['store', name].some(
      (target) => performance.now() < (this.#clocksOff.get(target) ?? Number.NEGATIVE_INFINITY),
    )
  }

  /** One or two faults at once, for a while, and then until everything is well. */
  async #break(): Promise<void> {
    const random = this.#random
    const causes = [random.chance(0.4) ? () => this.#breakStore() : () => this.#breakMember()]
    if (random.chance(0.3)) causes.push(() => this.#breakMember())
    const isLong = random.chance(this.#settings.minutes >= 5 ? 0.08 : 0.03)
    const lastsMs = 200 + random.below(isLong ? 30_000 : 4500)
    const underWay = (await Promise.all(causes.map(async (cause) => cause()))).filter(
      (one) => one !== undefined,
    )
    await sleep(lastsMs)
    await Promise.all(
      underWay.map(async ({ event, heal }) => {
        await heal().catch(() => undefined)
        const to = performance.now()
        if (event.isClock) this.#clocksOff.set(event.target, to + 1000)
        this.#history.add({ ...event, to })
        this.#faults++
      }),
    )
    const from = performance.now()
    const isLive = await this.#waitUntilLive()
    this.#history.add({
      ...({ type: 'recovery', from, to: performance.now(), isLive } as const),
      ...(!isLive && { accounts: await this.#hearMembers() }),
    })
    // A part of the time is calm, so that there is something to be served in.
    await sleep(random.chance(0.2) ? 6500 : random.below(1500))
  }

  async #breakStore(): Promise<UnderWay | undefined> {
    const fault = this.#random.pick(this.#store.faults)
    const now = performance.now()
    const { what, loss, isClock, restMs } = fault
    if (restMs !== undefined) {
      if (now < (this.#restUntil.get('store') ?? 0)) return undefined
      this.#restUntil.set('store', now + restMs)
    }
    const event = {
      ...({ type: 'fault', what, target: 'store', from: now } as const),
      ...(loss !== undefined && { loss }),
      ...(isClock && { isClock }),
    }
    if (isClock) this.#clocksOff.set('store', Number.POSITIVE_INFINITY)
    // What could not be done at all may still have done a part of its harm.
    const heal = await fault.cause().catch(() => async () => undefined)
    return { event, heal }
  }

  async #breakMember(): Promise<UnderWay | undefined> {
    const random = this.#random
    const member = random.pick(this.#members)
    const favourite = memberFaults.find((one) => one.what === this.#settings.favourite)
    const fault = favourite && random.chance(0.7) ? favourite : random.pick(memberFaults)
    const { what, isClock } = fault
    const now = performance.now()
    const isTaken = (this.#restUntil.get(member.name) ?? 0) > now
    if (isTaken) return undefined
    this.#restUntil.set(member.name, Number.POSITIVE_INFINITY)
    if (isClock) this.#clocksOff.set(member.name, Number.POSITIVE_INFINITY)
    const heal = await fault.cause(member, this.#random)
    return {
      event: {
        ...({ type: 'fault', what, target: member.name, from: now } as const),
        ...(isClock && { isClock }),
      },
      heal: async () => {
        await heal()
        this.#restUntil.set(member.name, 0)
      },
    }
  }

  async #waitUntilLive(): Promise<boolean> {
    const givesUpAt = performance.now() + patienceMs
    while (performance.now() < givesUpAt) {
      const statuses = await Promise.all(this.#members.map(async (member) => member.status()))
      if (statuses.every((status) => status?.state === 'live')) return true
      await sleep(25)
    }
    return false
  }

  /** What those that are not live have to say. */
  async #hearMembers(): Promise<Account[]> {
    const accounts = await Promise.all(this.#members.map(async (member) => member.account()))
    return accounts.filter(({ status }) => (status as ReplicaStatus | undefined)?.state !== 'live')
  }

  #watchBusiness(): void {
    let last = performance.now()
    let lookedAt = last
    let before = processorTimes()
    this.#watch = setInterval(() => {
      const now = performance.now()
      if (now - last > lateMs) this.#history.add({ type: 'busy', from: last, to: now })
      last = now
      if (now - lookedAt < spareEveryMs) return
      const times = processorTimes()
      const share = (times.idle - before.idle) / Math.max(1, times.all - before.all)
      if (share < spareShare) this.#history.add({ type: 'busy', from: lookedAt, to: now })
      before = times
      lookedAt = now
    }, 50)
  }

  #figures(ms: number): Outcome['figures'] {
    const { events } = this.#history
    const count = (type: string): number => events.filter((event) => event.type === type).length
    const answered = (status: number): number =>
      events.filter((event) => event.type === 'request' && event.status === status).length
    const kickOuts = events.filter((event) => event.type === 'kick-out')
    const busyMs = lengthOf(events.filter((event) => event.type === 'busy'))
    return {
      seconds: Math.round(ms / 1000),
      faults: this.#faults,
      requests: `${count('request')} (200: ${answered(200)}, 401: ${answered(401)}, 503: ${answered(503)}, none: ${answered(0)})`,
      'kick-outs': `${kickOuts.length} (acknowledged: ${kickOuts.filter(({ isAcknowledged }) => isAcknowledged).length})`,
      refreshes: count('refresh'),
      streams: count('stream'),
      'machine too busy to judge times': `${Math.round(busyMs / 1000)} s`,
    }
  }
}
