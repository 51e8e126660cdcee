import { within } from '../../timeout.ts'
import type { PostgresPool, QueryAnswer } from '../options.ts'
import { NotConnected } from './failure.ts'

const connectTimeoutMs = 2000

/** What is used of a `pg` Client. */
interface Client {
  query(text: string, values?: unknown[]): Promise<QueryAnswer>
  on(event: string, listener: (argument: { channel?: string }) => void): unknown
  connect?(): Promise<unknown>
  end?(): Promise<unknown>
  release?(destroy?: boolean): void
  /** Of `pg`: the socket, which may have to be cut where the server is silent. */
  readonly connection?: { readonly stream?: { destroy?(): void } }
}

/** A connection for the reader alone. It waits for notifications, and `close` does not wait for the server. */
export class OwnConnection {
  readonly #client: Client
  readonly #isPooled: boolean
  #onWake: (() => void) | undefined
  #isWoken = false
  #isLost = false

  private constructor(client: Client, isPooled: boolean) {
    this.#client = client
    this.#isPooled = isPooled
    const onEnd = () => {
      this.#isLost = true
      this.#wake()
    }
    client.on('error', onEnd)
    client.on('end', onEnd)
    client.on('notification', () => this.#wake())
  }

  /** A new connection with the options of the pool; one of the pool's own where it is not a `pg` Pool. */
  static async open(pool: PostgresPool): Promise<OwnConnection> {
    const { Client: Made, options } = pool as unknown as {
      Client?: new (options: unknown) => Client
      options?: object
    }
    const isPooled = Made === undefined || options === undefined
    const opening = isPooled ? (pool.connect() as Promise<unknown>) : connect(new Made(options))
    try {
      const client = (await within(opening, connectTimeoutMs, 'A connection')) as Client
      return new OwnConnection(client, isPooled)
    } catch (error) {
      opening.then(
        (late) => new OwnConnection(late as Client, isPooled).close(),
        () => undefined,
      )
      throw new NotConnected(error instanceof Error ? error.message : 'no connection')
    }
  }

  /** @throws the error of PostgreSQL, or `Timeout` */
  async query(text: string, values: unknown[] | undefined, budgetMs: number): Promise<QueryAnswer> {
    if (this.#isLost) throw new Error('The connection to PostgreSQL was lost')
    return within(this.#client.query(text, values), budgetMs, 'PostgreSQL')
  }

  /**
   * Resolves at a notification since the last call, at the loss of the connection, or after `timeoutMs`.
   *
   * @returns whether it was earlier than `timeoutMs`
   */
  async woken(timeoutMs: number): Promise<boolean> {
    if (!this.#isWoken && !this.#isLost) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs)
        timer.unref()
        this.#onWake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    const isWoken = this.#isWoken
    this.#onWake = undefined
    this.#isWoken = false
    return isWoken
  }

  close(): void {
    this.#isLost = true
    this.#wake()
    if (this.#isPooled) this.#client.release?.(true)
    else this.#client.end?.().catch(() => undefined)
    // A server that does not answer would keep the socket open.
    const { stream } = this.#client.connection ?? {}
    setTimeout(() => stream?.destroy?.(), 100).unref()
  }

  #wake(): void {
    this.#isWoken = true
    this.#onWake?.()
  }
}

async function connect(client: Client): Promise<Client> {
  client.on('error', () => undefined)
  try {
    await client.connect?.()
  } catch (error) {
    client.connection?.stream?.destroy?.()
    throw error
  }
  return client
}
