/** So many ids are in one map, which is quick to copy and the quickest to ask. */
const firstCapacity = 65_536
const shardCount = 16
/** Characters of an id that are looked at, at most. */
const sampled = 8

/**
 * Row numbers by id. A map is copied as a whole whenever it outgrows its table, and one of a million entries holds the
 * event loop for 60 ms while that happens; so what is beyond the usual number of kick-outs is spread over several.
 */
export class RowIndex {
  readonly #first = new Map<string, number>()
  #shards: Map<string, number>[] | undefined

  get(id: string): number | undefined {
    return this.#first.get(id) ?? this.#shards?.[shardOf(id)]?.get(id)
  }

  /** Adds an id that is not there yet. */
  add(id: string, row: number): void {
    if (this.#first.size < firstCapacity) {
      this.#first.set(id, row)
      return
    }
    this.#shards ??= Array.from({ length: shardCount }, () => new Map<string, number>())
    this.#shards[shardOf(id)]?.set(id, row)
  }

  delete(id: string): void {
    if (!this.#first.delete(id)) this.#shards?.[shardOf(id)]?.delete(id)
  }

  /** May go on while entries are added and deleted. */
  *[Symbol.iterator](): Generator<[string, number]> {
    yield* this.#first
    for (const shard of this.#shards ?? []) yield* shard
  }
}

/** Ids often begin or end alike, so characters from all over them count. */
function shardOf(id: string): number {
  const step = 1 + Math.floor(id.length / sampled)
  let hash = id.length
  for (let index = id.length - 1; index >= 0; index -= step) {
    hash = (Math.imul(hash, 31) + id.charCodeAt(index)) | 0
  }
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (shardCount - 1)
}
