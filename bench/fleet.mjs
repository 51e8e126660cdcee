/**
 * `npm run bench:fleet`: what many resource servers cost one Redis. The servers are real followers, each with its own
 * connections, in a few processes; Redis has one core.
 *
 *   npm run bench:fleet -- --servers 1000 --kick-outs 20 --seconds 15
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { redisRevocations } from '../dist/redis/index.js'
import { startOwnRedis } from './processes/redis.mjs'
import { quantile } from './statistics.mjs'

const issuer = 'https://issuer.test'
const now = () => performance.timeOrigin + performance.now()

async function follow({ url, servers, readFrom }) {
  const waiting = new Map()
  const fleet = Array.from({ length: servers }, () =>
    redisRevocations(url, { issuer, ...readFrom }),
  )
  for (const revocations of fleet) {
    revocations.onKickOut(({ id }) => {
      const seen = (waiting.get(id) ?? 0) + 1
      waiting.set(id, seen)
      if (seen === servers) {
        waiting.delete(id)
        process.send({ id, at: now() })
      }
    })
  }
  await Promise.all(fleet.map((revocations) => revocations.ready()))
  process.send({ ready: true })
}

/** What Redis has done since it was asked last. */
async function accounts(redis) {
  const fields = new Map(
    (await redis.info('everything')).split('\r\n').map((line) => line.split(':')),
  )
  const of = (name) => Number(fields.get(name) ?? 0)
  return {
    at: now(),
    cpuMs: (of('used_cpu_user') + of('used_cpu_sys')) * 1000,
    aof: of('aof_current_size'),
    commands: of('total_commands_processed'),
    out: of('total_net_output_bytes'),
  }
}

async function over(redis, seconds) {
  const before = await accounts(redis)
  await sleep(seconds * 1000)
  const after = await accounts(redis)
  const per = (name) => ((after[name] - before[name]) * 1000) / (after.at - before.at)
  return { cpuMs: per('cpuMs'), aof: per('aof'), commands: per('commands'), out: per('out') }
}

async function main() {
  const { values } = parseArgs({
    options: {
      servers: { type: 'string', default: '1000' },
      'kick-outs': { type: 'string', default: '20' },
      seconds: { type: 'string', default: '15' },
      processes: { type: 'string', default: '4' },
    },
  })
  const [servers, rate, seconds, processes] = [
    values.servers,
    values['kick-outs'],
    values.seconds,
    values.processes,
  ].map(Number)
  const redis = await startOwnRedis({ pinned: true, args: ['--appendonly', 'yes', '--maxclients', '20000'] }) // prettier-ignore
  const url = `redis://127.0.0.1:${redis.port}`
  const admin = new Redis(url)
  const children = await Promise.all(
    Array.from({ length: processes }, async (_, index) => {
      const child = fork(new URL(import.meta.url), ['follow'])
      const own = Math.floor(servers / processes) + (index < servers % processes ? 1 : 0)
      child.send({ url, servers: own })
      await once(child, 'message')
      return child
    }),
  )
  const writer = redisRevocations(url, { issuer })
  // A log that was never opened has no epoch, which every report of a server names.
  await writer.kickOut({ subject: 'first' })
  await sleep(3000)
  const idle = await over(admin, seconds)

  const started = new Map()
  const last = []
  const seenBy = new Map()
  for (const child of children) {
    child.on('message', ({ id, at }) => {
      const seen = (seenBy.get(id) ?? 0) + 1
      seenBy.set(id, seen)
      if (seen === children.length) last.push(at - started.get(id))
    })
  }
  const resolved = []
  let unconfirmed = 0
  const kickOut = async (index) => {
    started.set(`user-${index}`, now())
    const result = await writer.kickOut({ subject: `user-${index}` })
    if (index < 0) return
    resolved.push(result.elapsedMs)
    unconfirmed += result.servers - result.confirmed
  }
  await kickOut(-1)
  const busy = over(admin, seconds)
  const results = []
  for (let index = 0; index < rate * seconds; index++) {
    const dueAt = (index * 1000) / rate
    if (index === 0) started.set('begin', now())
    const waitMs = started.get('begin') + dueAt - now()
    if (waitMs > 0) await sleep(waitMs)
    results.push(kickOut(index))
  }
  const load = await busy
  await Promise.all(results)
  await sleep(2000)

  const [p50, p99] = [0.5, 0.99].map((share) => quantile(last, share).toFixed(0))
  const [r50, r99] = [0.5, 0.99].map((share) => quantile(resolved, share).toFixed(0))
  const each = ((load.cpuMs - idle.cpuMs) * 1000) / rate / servers
  console.log(`${servers} servers in ${processes} processes, ${seconds} s each`)
  console.log(
    `idle: Redis ${(idle.cpuMs / 10).toFixed(1)} % of a core, ${idle.commands.toFixed(0)} commands/s, ` +
      `append-only file ${(idle.aof / 1000).toFixed(1)} kB/s, out ${(idle.out / 1000).toFixed(1)} kB/s`,
  )
  console.log(
    `${rate} kick-outs/s: Redis ${(load.cpuMs / 10).toFixed(1)} % of a core, ${each.toFixed(1)} us per kick-out and server, ` +
      `append-only file ${(load.aof / 1000).toFixed(1)} kB/s`,
  )
  console.log(`last server refuses after: p50 ${p50} ms, p99 ${p99} ms (${last.length} kick-outs)`)
  console.log(`kickOut() resolves after: p50 ${r50} ms, p99 ${r99} ms (${unconfirmed} unconfirmed)`)
  for (const child of children) child.kill()
  await writer.close()
  admin.disconnect()
  await redis.stop()
}

if (process.argv[2] === 'follow') process.once('message', (settings) => void follow(settings))
else await main()
