import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '../support/redis-server.ts'
import type { Drill } from './support/drill.ts'
import { none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'
import { HttpClient } from './support/http.ts'
import { largest } from './support/statistics.ts'

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly session_id: string
}

const loginAs = {
  method: 'POST',
  path: '/login',
  json: { subject: 'racer' },
  timeoutMs: 30_000,
} as const

/** Q08: one refresh token, presented by hundreds at the same time. */
export const refreshRace: Drill = {
  name: 'refresh-race',
  story: 'hundreds present one refresh token at once over two issuers: one step, one successor',
  async run(effort) {
    const rounds = effort.rounds ?? pick(effort, { quick: 3, usual: 20, full: 50 })
    const simultaneous = pick(effort, { quick: 100, usual: 500, full: 2000 })
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      issuers: 2,
      servers: 1,
      // A busy machine must not run out of the grace.
      session: { reuseGraceMs: 60_000 },
    })
    const client = new HttpClient(simultaneous)
    const steps: number[] = []
    const successors: number[] = []
    let granted = 0
    let refused = 0
    let unavailable = 0
    try {
      await fleet.waitUntilLive()
      const login = await client.send(fleet.issuers[0]!.port, loginAs)
      let tokens = JSON.parse(login.body) as Tokens
      const key = `{kickout:0}:session:${tokens.session_id}`
      const counter = async (): Promise<number> => Number(await redis.client().hget(key, 'counter'))
      for (let round = 0; round < rounds; round++) {
        const before = await counter()
        const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
        const answers = await Promise.all(
          Array.from({ length: simultaneous }, async (_, index) =>
            client.send(fleet.issuers[index % 2]!.port, {
              method: 'POST',
              path: '/token',
              form,
              timeoutMs: 30_000,
            }),
          ),
        )
        const won = answers.filter(({ status }) => status === 200)
        granted += won.length
        refused += answers.filter(({ status }) => status === 400).length
        unavailable += answers.filter(({ status }) => status === 503).length
        const bodies = won.map(({ body }) => JSON.parse(body) as Tokens)
        successors.push(new Set(bodies.map(({ refresh_token: token }) => token)).size)
        steps.push((await counter()) - before)
        tokens = { ...tokens, ...bodies[0] }
        await sleep(50)
      }
      return [
        { what: `granted of ${rounds} × ${simultaneous}`, value: granted, atLeast: 1 },
        { what: '503 of a busy machine', value: unavailable },
        none('refused or ended inside of the grace', refused),
        { what: 'steps of the counter in a round', value: largest(steps), atLeast: 1, atMost: 1 },
        {
          what: 'different successors in a round',
          value: largest(successors),
          atLeast: 1,
          atMost: 1,
        },
      ]
    } finally {
      client.close()
      await fleet.stop()
      await redis.stop()
    }
  },
}
