import { waitUntil } from '../../support/wait.ts'
import { History } from './history.ts'
import { HttpClient } from './http.ts'
import { Load } from './load.ts'
import { People } from './people.ts'
import type { RedisPlace, ReplicaOptions, ReplicaStatus } from './places.ts'
import { Worker } from './worker.ts'

export interface FleetOptions {
  readonly redis: RedisPlace
  /** @defaultValue 3 */
  readonly servers?: number
  /** @defaultValue 1 */
  readonly issuers?: number
  readonly revocations?: ReplicaOptions
  readonly session?: { readonly reuseGraceMs?: number }
  readonly nodeArgs?: readonly string[]
}

/** Resource servers and issuers, each a process, and the people who use them. */
export class Fleet {
  readonly people = new People()
  readonly history = new History()
  readonly client = new HttpClient()
  readonly servers: Worker[] = []
  readonly issuers: Worker[] = []
  readonly #options: FleetOptions
  readonly #adminToken = this.people.admin()
  #turn = 0

  private constructor(options: FleetOptions) {
    this.#options = options
    this.people.addInnocent(40)
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options)
    const { servers = 3, issuers = 1 } = options
    await Promise.all([
      ...Array.from({ length: servers }, async () => fleet.addServer()),
      ...Array.from({ length: issuers }, async () => fleet.#addIssuer()),
    ])
    return fleet
  }

  async addServer(redis = this.#options.redis): Promise<Worker> {
    const { revocations = {}, nodeArgs } = this.#options
    const config = { redis, jwks: this.people.jwks, revocations }
    const server = await Worker.start('./resource-server.ts', config, nodeArgs)
    this.servers.push(server)
    return server
  }

  async #addIssuer(): Promise<void> {
    const { redis, revocations = {}, session = {} } = this.#options
    const { jwks, signingKey } = this.people
    const config = { redis, jwks, revocations, session, signingKey }
    this.issuers.push(await Worker.start('./issuer-server.ts', config))
  }

  async statuses(): Promise<ReplicaStatus[]> {
    return Promise.all(this.servers.map(async (server) => server.ask<ReplicaStatus>('status')))
  }

  /** Resolves when every server decides from its own copy; with the milliseconds that took. */
  async waitUntilLive(timeoutMs = 20_000): Promise<number> {
    const startedAt = performance.now()
    await waitUntil(async () => (await this.statuses()).every(({ state }) => state === 'live'), {
      what: 'every server to be live',
      timeoutMs,
      everyMs: 10,
    })
    return performance.now() - startedAt
  }

  /** Resolves when every server's proof is younger than every pause so far. */
  async waitUntilProved(timeoutMs = 20_000): Promise<number> {
    const startedAt = performance.now()
    await waitUntil(
      async () => (await this.statuses()).every(({ stalenessMs }) => stalenessMs < 900),
      {
        what: 'every server to have a fresh proof',
        timeoutMs,
        everyMs: 10,
      },
    )
    return performance.now() - startedAt
  }

  /** Resolves when so many more calls were answered, whatever the answer: what follows is watched under load. */
  async waitForCalls(count: number): Promise<void> {
    const { calls } = this.history
    const enough = calls.length + count
    await waitUntil(() => calls.length >= enough, {
      what: `${count} more calls to be answered`,
      timeoutMs: 20_000,
    })
  }

  /** Kicks out over HTTP and writes down when it was asked for and, with a 200, acknowledged. */
  async kickOut(subject: string, timeoutMs = 10_000): Promise<boolean> {
    const issuer = this.issuers[this.#turn++ % this.issuers.length]!
    this.history.noteAsked(subject, performance.now())
    const answer = await this.client.send(issuer.port, {
      method: 'POST',
      path: '/admin/kick-outs',
      token: this.#adminToken,
      json: { subject },
      timeoutMs,
    })
    if (answer.status === 200) this.history.noteAcknowledged(subject, answer.endedAt)
    else if (answer.status !== 503 && answer.status !== 0) {
      throw new Error(`a kick-out was answered with ${answer.status}: ${answer.body}`)
    }
    return answer.status === 200
  }

  /** Kicks all of them out, and asks again where a busy machine had it answered with a 503: that is safe. */
  async kickOutAll(subjects: readonly string[]): Promise<void> {
    for (let from = 0; from < subjects.length; from += 25) {
      await Promise.all(
        subjects.slice(from, from + 25).map(async (subject) => {
          while (!(await this.kickOut(subject)));
        }),
      )
    }
  }

  /** Asks one server about a user, into the history. */
  async call(subject: string, server: number, timeoutMs = 10_000): Promise<number> {
    const { port } = this.servers[server]!
    const answer = await this.client.send(port, { token: this.people.tokenOf(subject), timeoutMs })
    this.history.add(subject, server, answer)
    return answer.status
  }

  /** Asks every server about every one of these people; resolves with how many answers were a 200. */
  async countAccepted(subjects: readonly string[]): Promise<number> {
    let accepted = 0
    for (let from = 0; from < subjects.length; from += 100) {
      const statuses = await Promise.all(
        subjects
          .slice(from, from + 100)
          .flatMap((subject) => this.servers.map(async (_, index) => this.call(subject, index))),
      )
      accepted += statuses.filter((status) => status === 200).length
    }
    return accepted
  }

  /** Load of the innocent, and of those whom `suspects` names every other time. */
  load(perSecond: number, suspects: () => string | undefined = () => undefined): Load {
    let turn = 0
    return new Load(
      {
        client: this.client,
        history: this.history,
        ports: () => this.servers.map(({ port }) => port),
        next: () => {
          const suspect = turn++ % 2 === 0 ? suspects() : undefined
          return suspect === undefined
            ? this.people.nextInnocent()
            : { subject: suspect, token: this.people.tokenOf(suspect) }
        },
      },
      perSecond,
    )
  }

  async stop(): Promise<void> {
    this.client.close()
    await Promise.all([...this.servers, ...this.issuers].map(async (worker) => worker.kill()))
  }
}
