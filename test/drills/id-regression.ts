import { setTimeout as sleep } from 'node:timers/promises'
import { askRedis, waitUntilInSync } from '../support/ask-redis.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'

const kicksPerRound = 20
const aheadMs = 30_000
const maxStalenessMs = 2000

/** Makes the clock of the stream's ids run ahead: the entry is one of ours in all but its time. */
const pushAhead = `
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('XADD', KEYS[2], string.format('%.0f', now + ARGV[1]) .. '-0',
  'd', string.format('%.0f', seq) .. ':' .. epoch .. ':' .. string.format('%.0f:%.0f', now, now + 3600000) .. ':',
  'r', ARGV[2])
return seq
`

/** Q16: after the failover new entries have smaller ids than the last one that everybody has read. */
export const idRegression: Drill = {
  name: 'id-regression',
  story:
    'the promoted primary is 30 s behind: its first kick-outs have ids that were passed long ago',
  async run(effort) {
    const rounds = effort.rounds ?? pick(effort, { quick: 2, usual: 20, full: 50 })
    const servers = [await startRedis(), await startRedis()]
    let [old, next] = servers as [RedisServer, RedisServer]
    const proxy = await startProxy({ upstream: old })
    const fleet = await Fleet.start({
      redis: { kind: 'single', host: proxy.host, port: proxy.port },
      revocations: { maxStalenessMs },
    })
    let missed = 0
    let acknowledged = 0
    let regressions = 0
    try {
      await fleet.waitUntilLive()
      for (let round = 0; round < rounds; round++) {
        await askRedis(next, (client) => client.replicaof(old.host, old.port))
        await waitUntilInSync(next)
        await askRedis(next, (client) => client.replicaof('NO', 'ONE'))
        const healed = fleet.history.beginFault()
        // Only the old one gets this entry, and everybody reads it.
        const revocation = {
          k: `k${round}`,
          i: 'https://issuer.test',
          l: 'subject',
          t: `ahead-${round}`,
        }
        const keys = ['{kickout:0}:meta', '{kickout:0}:stream']
        await askRedis(old, (client) =>
          client.eval(pushAhead, 2, ...keys, aheadMs, JSON.stringify(revocation)),
        )
        await sleep(600)
        const highest = await lastId(old)
        proxy.switchUpstream(next)
        proxy.reset()
        await old.kill9()
        const subjects = Array.from({ length: kicksPerRound }, (_, i) => `late-${round}-${i}`)
        for (const subject of subjects) fleet.people.add(subject)
        await fleet.kickOutAll(subjects)
        acknowledged += subjects.length
        await sleep(maxStalenessMs / 4)
        if ((await lastId(next)) < highest) regressions++
        await fleet.waitUntilLive()
        missed += await fleet.countAccepted(subjects)
        healed()
        await old.restart()
        ;[old, next] = [next, old]
      }
      const wrong = fleet.history.judge(maxStalenessMs)
      return [
        { what: 'failovers in which ids went back', value: regressions, atLeast: 1 },
        { what: 'kick-outs acknowledged after them', value: acknowledged, atLeast: 1 },
        none('missed', missed),
        none('accepted later than the staleness allowed', wrong.acceptedAfterKickOut.length),
        none('401 for a user who was never kicked out', wrong.refusedInnocent.length),
      ]
    } finally {
      await fleet.stop()
      await proxy.close()
      await Promise.all(servers.map(async (server) => server.stop()))
    }
  },
}

async function lastId(server: RedisServer): Promise<number> {
  const [entry] = await askRedis(server, (client) =>
    client.xrevrange('{kickout:0}:stream', '+', '-', 'COUNT', 1),
  )
  return Number(entry?.[0].split('-')[0] ?? 0)
}
