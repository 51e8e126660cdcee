import { startRedis } from '../support/redis-server.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import { largest } from './support/statistics.ts'

const subject = 'long-lived'
const graceMs = 300

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly session_id: string
}

/** Q09: one session is refreshed thousands of times, and then an ancestor comes back. */
export const rotationChain: Drill = {
  name: 'rotation-chain',
  story: 'thousands of rotations in constant memory; any ancestor that comes back ends the session',
  async run(effort) {
    const length = pick(effort, { quick: 200, usual: 10_000 })
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      servers: 2,
      session: { reuseGraceMs: graceMs },
    })
    const issuer = fleet.issuers[0]!
    const client = redis.client()
    const post = async (refreshToken: string) =>
      fleet.client.send(issuer.port, {
        method: 'POST',
        path: '/token',
        form: { grant_type: 'refresh_token', refresh_token: refreshToken },
      })
    const measure = async (): Promise<number> => {
      const keys = await client.keys('{kickout:0}:*')
      const owned = keys.filter((key) => /:(session|user|user-sessions):/.test(key))
      const sizes = await Promise.all(owned.map(async (key) => client.memory('USAGE', key)))
      return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
    }
    /** A chain of that many rotations; every token of it. */
    const grow = async (
      steps: number,
    ): Promise<{ chain: string[]; last: Tokens; sizes: number[] }> => {
      const login = await fleet.client.send(issuer.port, {
        method: 'POST',
        path: '/login',
        json: { subject },
      })
      let last = JSON.parse(login.body) as Tokens
      const chain = [last.refresh_token]
      const sizes: number[] = []
      while (chain.length <= steps) {
        const answer = await post(last.refresh_token)
        if (answer.status === 503) continue
        last = { ...last, ...(JSON.parse(answer.body) as Tokens) }
        chain.push(last.refresh_token)
        if (chain.length % Math.ceil(steps / 20) === 0) sizes.push(await measure())
      }
      return { chain, last, sizes }
    }
    let unnoticed = 0
    let stillIn = 0
    let stillRefreshing = 0
    try {
      await fleet.waitUntilLive()
      const { chain, last, sizes } = await grow(length)
      const judge = async (tokens: Tokens, ancestor: string): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, graceMs + 50))
        if ((await post(ancestor)).status !== 400) unnoticed++
        if ((await post(tokens.refresh_token)).status !== 400) stillRefreshing++
        await new Promise((resolve) => setTimeout(resolve, 1000))
        for (const server of fleet.servers) {
          const { status } = await fleet.client.send(server.port, { token: tokens.access_token })
          if (status !== 401) stillIn++
        }
      }
      await judge(last, chain[0]!)
      // An old, a young and the youngest ancestor of other sessions.
      for (const back of [15, 3, 2]) {
        const other = await grow(20)
        await judge(other.last, other.chain.at(-1 - back)!)
      }
      return [
        { what: 'rotations', value: length },
        {
          what: 'memory of all keys: most above least',
          value: largest(sizes) - Math.min(...sizes),
          atMost: 128,
          unit: 'B',
        },
        none('ancestors after the grace that were not taken for a theft', unnoticed),
        none('refresh tokens that outlived the theft', stillRefreshing),
        none('access tokens that outlived the theft', stillIn),
      ]
    } finally {
      await fleet.stop()
      await redis.stop()
    }
  },
}
