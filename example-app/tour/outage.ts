import { setTimeout as sleep } from 'node:timers/promises'
import type { Servers } from '../servers.ts'
import { Device } from './device.ts'
import { duration, expectEqual, step } from './narrator.ts'
import type { RedisServer } from './redis-server.ts'

const patienceMs = 15_000

/** Asks until the API servers agree on an answer; resolves to how long that took. */
async function waitFor(device: Device, status: string, token: string): Promise<number> {
  const startedAt = performance.now()
  for (;;) {
    const now = await device.readNotes(token)
    const waitedMs = performance.now() - startedAt
    if (now === status) return waitedMs
    if (waitedMs > patienceMs) expectEqual(`the API after ${duration(waitedMs)}`, now, status)
    await sleep(20)
  }
}

/** Redis goes away for a while and comes back. */
export async function tellOutage(servers: Servers, redis: RedisServer): Promise<void> {
  const device = new Device(servers, 'cleo', 'tablet')
  const kickedOut = new Device(servers, 'ben', 'laptop')
  await Promise.all([device.signIn(), kickedOut.signIn()])
  expectEqual('both read', `${await device.readNotes()} ${await kickedOut.readNotes()}`, '200 200')
  await servers.issuer.kickOut({ subject: 'ben' })
  const good = device.tokens.access_token

  await step('Redis stops: requests go on while the copies are provably fresh', async () => {
    await redis.stop()
    expectEqual('the tablet reads', await device.readNotes(), '200')
    expectEqual('a user who was kicked out', await kickedOut.readNotes(), '401')
    return '200, and 401 for a user who was out already: neither asks Redis'
  })

  await step('Redis stays away: 503, never a guess and never a 401', async () => {
    const after = duration(await waitFor(device, '503', good))
    const signIn = await device.trySignIn()
    expectEqual('signing in', signIn.status, 503)
    return `503 with Retry-After ${signIn.headers.get('retry-after') ?? '?'} s from ${after} on; no client throws its session away`
  })

  await step('Redis comes back: everybody goes on with the tokens they had', async () => {
    await redis.resume()
    const after = duration(await waitFor(device, '200', good))
    expectEqual('a user who was kicked out', await kickedOut.readNotes(), '401')
    expectEqual('a refresh', (await device.refresh()).status, 200)
    return `200 again ${after} after Redis answered; who was kicked out still is`
  })
}
