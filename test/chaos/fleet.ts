import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ReplicaStatus } from '../drills/support/places.ts'
import { Worker } from '../drills/support/worker.ts'
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import type { Account, History } from './history.ts'
import type { ServerConfig } from './places.ts'

export type Role = 'api' | 'login'

export interface FleetSettings {
  readonly history: History
  /** Where the code under test lies: the repository, or a copy of it with a fault planted. */
  readonly root: string
  readonly folder: string
  readonly config: Omit<ServerConfig, 'proxies'>
  /** Every server of the store, each behind a proxy of each process. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  /** The library that lets a process's clock be set; without it clocks stay as they are. */
  readonly faketime: string | undefined
}

/** One process of ours, with its own links to the store and its own clock. */
export class Member {
  readonly name: string
  readonly proxies: readonly TcpProxy[]
  readonly #role: Role
  readonly #settings: FleetSettings
  readonly #clockFile: string
  #config: ServerConfig
  #worker: Worker | undefined
  #startedAt = 0

  private constructor(
    role: Role,
    name: string,
    settings: FleetSettings,
    proxies: readonly TcpProxy[],
  ) {
    this.#role = role
    this.name = name
    this.proxies = proxies
    this.#settings = settings
    this.#clockFile = join(settings.folder, `${name}.clock`)
    const places = settings.addresses.map(
      ({ host, port }, index) => [`${host}:${port}`, toPlace(proxies[index]!)] as const,
    )
    this.#config = { ...settings.config, proxies: Object.fromEntries(places) }
  }

  static async start(role: Role, name: string, settings: FleetSettings): Promise<Member> {
    const proxies = await Promise.all(
      settings.addresses.map(async (upstream) => startProxy({ upstream })),
    )
    const member = new Member(role, name, settings, proxies)
    await member.start()
    return member
  }

  get role(): Role {
    return this.#role
  }

  /** 0 while the process does not run. */
  get port(): number {
    return this.#worker?.port ?? 0
  }

  async start(changes: Partial<ServerConfig> = {}): Promise<void> {
    this.#config = { ...this.#config, ...changes }
    const { root, faketime } = this.#settings
    this.setClock(0)
    const module = pathToFileURL(join(root, `test/chaos/servers/${this.#role}-server.ts`)).href
    this.#worker = await Worker.start(module, this.#config, [], {
      ...(faketime !== undefined && {
        LD_PRELOAD: faketime,
        FAKETIME_TIMESTAMP_FILE: this.#clockFile,
        FAKETIME_CACHE_DURATION: '1',
        DONT_FAKE_MONOTONIC: '1',
      }),
    })
    this.#startedAt = performance.now()
    this.#settings.history.add({
      type: 'life',
      name: this.name,
      from: this.#startedAt,
      to: undefined,
    })
  }

  async kill(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    if (!worker) return
    const from = this.#startedAt
    this.#settings.history.add({ type: 'life', name: this.name, from, to: performance.now() })
    await worker.kill()
  }

  pause(): void {
    this.#worker?.pause()
  }

  resume(): void {
    this.#worker?.resume()
  }

  /** Steps the wall clock of this process. It takes up to a second until it notices. */
  setClock(aheadSeconds: number): void {
    const sign = aheadSeconds < 0 ? '-' : '+'
    writeFileSync(this.#clockFile, `${sign}${Math.abs(aheadSeconds)}\n`)
  }

  async status(): Promise<ReplicaStatus | undefined> {
    return this.#worker?.ask<ReplicaStatus>('status').catch(() => undefined)
  }

  async account(): Promise<Account> {
    const silent = { name: this.name, status: undefined, events: [] }
    const told = await this.#worker?.ask<Omit<Account, 'name'>>('account').catch(() => undefined)
    return { ...silent, ...told }
  }

  async stop(): Promise<void> {
    this.#worker?.resume()
    await this.#worker?.kill()
    await Promise.all(this.proxies.map(async (proxy) => proxy.close()))
  }
}

function toPlace({ host, port }: TcpProxy): { host: string; port: number } {
  return { host, port }
}
