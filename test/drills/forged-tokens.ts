import { randomBytes, randomInt } from 'node:crypto'
import type { Redis } from 'ioredis'
import { startRedis } from '../support/redis-server.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'

const atOnce = 50
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Nearly a refresh token: a genuine one with something wrong with it. */
function forge(genuine: string, kind: number): string {
  switch (kind % 5) {
    case 0: {
      const at = randomInt(genuine.length - 1)
      const other = alphabet.replace(genuine[at]!, '')[randomInt(63)]!
      return genuine.slice(0, at) + other + genuine.slice(at + 1)
    }
    case 1:
      return genuine.slice(0, randomInt(genuine.length))
    case 2:
      return genuine + alphabet[randomInt(64)]!
    case 3: {
      // Another counter under the same signature.
      const bytes = Buffer.from(genuine, 'base64url')
      const at = bytes.length - 33
      bytes[at] = (bytes[at]! + 1 + randomInt(254)) % 256
      return bytes.toString('base64url')
    }
    default:
      return randomBytes(Buffer.from(genuine, 'base64url').length).toString('base64url')
  }
}

/** What any use of a session does: reading its record, writing it, ending it, appending to the log. Heartbeats do none of it. */
const touching = ['hgetall', 'xadd', 'del', 'zadd', 'zrem', 'pexpire'] as const

async function countTouches(redis: Redis): Promise<number> {
  const stats = await redis.info('commandstats')
  const calls = touching.map((name) =>
    Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0),
  )
  return calls.reduce((sum, count) => sum + count, 0)
}

/** Q10: forged refresh tokens by the hundred thousand. */
export const forgedTokens: Drill = {
  name: 'forged-tokens',
  story: 'forged refresh tokens by the hundred thousand: Redis is never asked, no session ends',
  async run(effort) {
    const forgeries = pick(effort, { quick: 2000, usual: 200_000 })
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      servers: 0,
      issuers: 2,
    })
    try {
      const login = await fleet.client.send(fleet.issuers[0]!.port, {
        method: 'POST',
        path: '/login',
        json: { subject: 'victim' },
      })
      const genuine = (JSON.parse(login.body) as { refresh_token: string }).refresh_token
      const client = redis.client()
      const before = await countTouches(client)
      const statuses = new Map<number, number>()
      let next = 0
      await Promise.all(
        Array.from({ length: atOnce }, async () => {
          while (next < forgeries) {
            const turn = next++
            const { status } = await fleet.client.send(fleet.issuers[turn % 2]!.port, {
              method: 'POST',
              path: '/token',
              form: { grant_type: 'refresh_token', refresh_token: forge(genuine, turn) },
            })
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
          }
        }),
      )
      const after = await countTouches(client)
      const alive = await fleet.client.send(fleet.issuers[1]!.port, {
        method: 'POST',
        path: '/token',
        form: { grant_type: 'refresh_token', refresh_token: genuine },
      })
      return [
        {
          what: 'forgeries refused with 400',
          value: statuses.get(400) ?? 0,
          atLeast: forgeries,
          atMost: forgeries,
        },
        none('commands on sessions that Redis ran for them', after - before),
        {
          what: 'answer to the genuine one afterwards',
          value: alive.status,
          atLeast: 200,
          atMost: 200,
        },
      ]
    } finally {
      await fleet.stop()
      await redis.stop()
    }
  },
}
