/** The first map holds this many ids: it is quick to copy, and one map is the quickest to ask. */
const firstCapacity = 65_536
const shardCount = 16
/** How many characters of an id its hash reads, at most. */
const sampled = 8

/**
 * Row numbers by id. V8 copies a whole map whenever the map outgrows its table: with a million entries that blocks the
 * event loop for 60 ms. So the ids beyond the usual number of kick-outs are spread over several maps.
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

  /** Entries may be added and deleted during the iteration. */
  *[Symbol.iterator](): Generator<[string, number]> {
    yield* this.#first
    for (const shard of this.#shards ?? []) yield* shard
  }
}

/** Ids often begin or end alike, so the hash reads characters from the whole id. */
function shardOf(id: string): number {
  const step = 1 + Math.floor(id.length / sampled)
  let hash = id.length
  for (let index = id.length - 1; index >= 0; index -= step) {
    hash = (Math.imul(hash, 31) + id.charCodeAt(index)) | 0
  }
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (shardCount - 1)
}
