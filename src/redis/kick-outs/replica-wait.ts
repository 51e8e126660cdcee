import type { Redis } from 'ioredis'

const waits = new WeakMap<Redis, ReplicaWait>()

/**
 * Waits until Redis replicas have what was written on one connection.
 *
 * `WAIT` blocks its connection, and its answer covers everything written on it before. So one `WAIT` runs at a time for
 * all writes before it. However many callers wait, each waits for two of them at most.
 */
export class ReplicaWait {
  readonly #node: Redis
  #connections = 0
  #underWay: Promise<unknown> = Promise.resolve()
  #next: Promise<number> | undefined

  private constructor(node: Redis) {
    this.#node = node
    node.on('close', () => this.#connections++)
  }

  static of(node: Redis): ReplicaWait {
    let wait = waits.get(node)
    if (!wait) {
      wait = new ReplicaWait(node)
      waits.set(node, wait)
    }
    return wait
  }

  /**
   * How many replicas have what this connection has written. To be called as soon as the write was answered.
   *
   * @throws Error when the connection was lost: on a new one `WAIT` knows nothing of the write, and counts every replica
   */
  async countReached(minReplicas: number, timeoutMs: number): Promise<number> {
    const connection = this.#connections
    if (!this.#next) {
      this.#next = this.#underWay.then(async () => {
        this.#next = undefined
        return this.#node.wait(minReplicas, timeoutMs)
      })
      this.#underWay = this.#next.catch(() => undefined)
    }
    const reached = await this.#next
    if (connection !== this.#connections)
      throw new Error('The connection was lost before the replicas confirmed')
    return reached
  }
}
