import type { SessionStore } from '../../src/issuer/sessions/session-store.ts'

/** A store that counts what is asked of it, and can be told to fail. */
export interface CountingStore extends SessionStore {
  /** Calls of `start`, `rotate`, `find` and `list`, kick-outs, and checks that ask the store. */
  readonly calls: string[]
  /** Called before each; what it throws is what the store rejects with. */
  before: (call: string) => unknown
  /** Called after each, before the caller learns the outcome: a reply that gets lost. */
  after: (call: string) => unknown
}

export function countingStore(store: SessionStore): CountingStore {
  const calls: string[] = []
  async function counted<Value>(call: string, act: () => Promise<Value>): Promise<Value> {
    calls.push(call)
    await counting.before(call)
    const value = await act()
    await counting.after(call)
    return value
  }
  const counting: CountingStore = {
    calls,
    before: () => undefined,
    after: () => undefined,
    retentionSeconds: store.retentionSeconds,
    partitionOf: (issuer, subject) => store.partitionOf(issuer, subject),
    start: async (session) => counted('start', async () => store.start(session)),
    rotate: async (request) => counted('rotate', async () => store.rotate(request)),
    amend: async (request) => counted('amend', async () => store.amend!(request)),
    find: async (sessionId) => counted('find', async () => store.find(sessionId)),
    list: async (issuer, subject) => counted('list', async () => store.list(issuer, subject)),
    revocations(issuer) {
      const revocations = store.revocations(issuer)
      return {
        ...revocations,
        kickOut: async (target, options) =>
          counted('kickOut', async () => revocations.kickOut(target, options)),
        checkNow: async (claims) => counted('checkNow', async () => revocations.checkNow(claims)),
      }
    },
    close: async () => store.close(),
  }
  return counting
}
