import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { startRedis } from '../support/redis-server.ts'
import { type Drill, none, pick } from './support/drill.ts'
import { Fleet } from './support/fleet.ts'

const maxStalenessMs = 2000
/** Users under way at a time, each with its own race. */
const atOnce = 25

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

interface Survivors {
  accessTokens: number
  refreshTokens: number
  /** I3: what `/token` answered carries a version below the kick-out although it came after it. */
  refreshed: number
}

async function login(fleet: Fleet, subject: string): Promise<Tokens> {
  const { port } = fleet.issuers[0]!
  for (;;) {
    const answer = await fleet.client.send(port, {
      method: 'POST',
      path: '/login',
      json: { subject },
    })
    if (answer.status === 200) return JSON.parse(answer.body) as Tokens
  }
}

async function refresh(fleet: Fleet, token: string, turn: number): Promise<Tokens | undefined> {
  const { port } = fleet.issuers[turn % fleet.issuers.length]!
  const form = { grant_type: 'refresh_token', refresh_token: token }
  const answer = await fleet.client.send(port, { method: 'POST', path: '/token', form })
  return answer.status === 200 ? (JSON.parse(answer.body) as Tokens) : undefined
}

/** A chain of refreshes runs while the user is kicked out at some moment of it. */
async function race(
  fleet: Fleet,
  subject: string,
  turn: number,
  survivors: Survivors,
): Promise<void> {
  const first = await login(fleet, subject)
  const held = [first]
  const kicked = { yet: false }
  const refreshing = (async () => {
    for (let step = 0; !kicked.yet || step < 3; step++) {
      const next = await refresh(fleet, held.at(-1)!.refresh_token, turn + step)
      if (!next) return
      held.push(next)
    }
  })()
  await sleep(Math.random() * 15)
  while (!(await fleet.kickOut(subject)));
  kicked.yet = true
  await refreshing
  survivors.refreshed += held.length - 1
  for (const { refresh_token: token } of held.slice(-2)) {
    if (await refresh(fleet, token, turn)) survivors.refreshTokens++
  }
  const statuses = await Promise.all(
    held.flatMap(({ access_token: token }) =>
      fleet.servers.map(async ({ port }) => (await fleet.client.send(port, { token })).status),
    ),
  )
  // Those that were let in get the time that the contract allows, and then are asked again.
  if (!statuses.includes(200)) return
  await sleep(maxStalenessMs)
  for (const { access_token: token } of held) {
    for (const { port } of fleet.servers) {
      const { status } = await fleet.client.send(port, { token })
      if (status === 200) {
        survivors.accessTokens++
        console.log('a survivor:', decodeJwt(token))
      }
    }
  }
}

/** Q11: a kick-out races the refreshes of the one who is kicked out. */
export const kickOutRace: Drill = {
  name: 'kick-out-race',
  story: 'a kick-out in the middle of refreshes: no token of them survives it',
  async run(effort) {
    const races = effort.rounds ?? pick(effort, { quick: 100, usual: 5000, full: 20_000 })
    const redis = await startRedis()
    const { host, port } = redis
    const fleet = await Fleet.start({
      redis: { kind: 'single', host, port },
      issuers: 2,
      servers: 2,
      revocations: { maxStalenessMs },
    })
    const survivors: Survivors = { accessTokens: 0, refreshTokens: 0, refreshed: 0 }
    try {
      await fleet.waitUntilLive()
      let next = 0
      await Promise.all(
        Array.from({ length: atOnce }, async () => {
          while (next < races) {
            const turn = next++
            await race(fleet, `racer-${turn}`, turn, survivors)
          }
        }),
      )
      return [
        { what: 'races', value: races },
        {
          what: 'refreshes that won against their kick-out',
          value: survivors.refreshed,
          atLeast: 1,
        },
        none('access tokens let in after the staleness allowed', survivors.accessTokens),
        none('refresh tokens that still work', survivors.refreshTokens),
      ]
    } finally {
      await fleet.stop()
      await redis.stop()
    }
  },
}
