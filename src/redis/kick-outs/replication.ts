import type { Redis } from 'ioredis'

const replications = new WeakMap<Redis, Replication>()

/**
 * Waits until Redis replicas have what was written on one connection.
 *
 * `WAIT` holds its connection up, and answers for everything written on it before. So there is one at a time, and it
 * serves all who wrote before it was sent: however many wait, none waits for longer than two of them.
 */
export class Replication {
  readonly #node: Redis
  #connections = 0
  #underWay: Promise<unknown> = Promise.resolve()
  #next: Promise<number> | undefined

  private constructor(node: Redis) {
    this.#node = node
    node.on('close', () => this.#connections++)
  }

  static of(node: Redis): Replication {
    let replication = replications.get(node)
    if (!replication) {
      replication = new Replication(node)
      replications.set(node, replication)
    }
    return replication
  }

  /**
   * How many replicas have what this connection has written. To be called as soon as the write was answered.
   *
   * @throws Error when the connection was lost: on a new one `WAIT` knows nothing of the write, and answers with every
   * replica there is
   */
  async reach(minReplicas: number, timeoutMs: number): Promise<number> {
    const connection = this.#connections
    if (!this.#next) {
      this.#next = this.#underWay.then(async () => {
        this.#next = undefined
        return this.#node.wait(minReplicas, timeoutMs)
      })
      this.#underWay = this.#next.catch(() => undefined)
    }
    const reached = await this.#next
    if (connection !== this.#connections) throw new Error('The connection was lost meanwhile')
    return reached
  }
}
