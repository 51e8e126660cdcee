import { withLiveRevocations } from './live-revocations.mjs'

/** What `check()` costs and weighs on a replica with so many live revocations. */
export async function check(settings) {
  return withLiveRevocations(settings, async (replica, entries, redisBytes) => {
    const { emptyHeap, emptyRss } = replica
    const { heap, rss } = await replica.ask('memory')
    return {
      entries,
      redisBytes,
      checkMicros: await replica.ask('timeCheck', { calls: 2_000_000 }),
      heapMegabytes: (heap - emptyHeap) / 1e6,
      rssMegabytes: (rss - emptyRss) / 1e6,
    }
  })
}
