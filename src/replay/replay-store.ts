/**
 * Remembers what may be used once: the `jti` of proofs, assertions and logout tokens. Servers that share a store refuse each
 * other's replays.
 */
export interface ReplayStore {
  /**
   * Claims an id for the first and only time. Atomic: of many callers at once exactly one gets `true`.
   *
   * @param namespace - what kind of id it is; equal ids of two namespaces are different ones
   * @param id - any text, of any length
   * @param ttlMs - how long the store remembers it, milliseconds; more is no harm, less would be
   * @returns `true` the first time; `false` for as long as it is remembered
   * @throws UnavailableError (or rejects with it) when the store is full or away. It never forgets one id for another
   */
  claim(namespace: string, id: string, ttlMs: number): Promise<boolean>
  /**
   * Whether an id is claimed; claims nothing. For what may be done twice without harm, and is remembered after it was done.
   * Absent: the store cannot tell, and it is done again.
   *
   * @throws UnavailableError (or rejects with it) when the store is away
   */
  has?(namespace: string, id: string): Promise<boolean>
  /**
   * Since when the store would know a claimed id, milliseconds since the epoch; as of the last `claim`. What was issued
   * before that moment may have been used without the store knowing. Absent: since ever.
   */
  readonly remembersSinceMs?: number
  /**
   * Resolves when the store can vouch for everything that is issued from now on: in the second after the one that it began
   * to remember in, since `iat` has whole seconds. A guard that it was given to waits for it in its own `ready()`.
   */
  ready?(): Promise<void>
}
