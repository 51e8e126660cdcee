import { describe, expect, test } from '@jest/globals'
import { redisRevocations } from '../../../src/redis/index.ts'
import type { RevocationsEvent } from '../../../src/events.ts'
import { startRedis } from '../../support/redis-server.ts'
import { waitUntil } from '../../support/wait.ts'
import { beginSettledLog, issuer, useCleanup } from '../support/deployment.ts'

const { closing, template } = useCleanup()

function claimsOf(sub: string) {
  const now = Math.floor(Date.now() / 1000)
  return { iss: issuer, aud: 'api', sub, iat: now - 10, exp: now + 600 }
}

async function start() {
  const server = await startRedis()
  closing({ close: async () => server.stop() })
  await beginSettledLog(server.client(), { prefix: 'kickout', partitions: 1 })
  const events: RevocationsEvent[] = []
  const revocations = closing(
    redisRevocations(template(server), {
      issuer,
      mode: 'lookup',
      onEvent: (event) => events.push(event),
    }),
  )
  await revocations.ready()
  const ask = async (sub: string) => {
    const startedAt = performance.now()
    const answer = await Promise.resolve(revocations.check(claimsOf(sub))).then(
      ({ revoked }) => (revoked ? 401 : 200),
      (error: unknown) => (error as { status?: number }).status,
    )
    return { answer, ms: performance.now() - startedAt }
  }
  return { server, revocations, events, ask }
}

describe('31 while Redis does not answer', () => {
  test('one look-up goes on asking, and all others are refused at once', async () => {
    const { server, ask } = await start()
    expect((await ask('u1')).answer).toBe(200)
    server.pause()
    const first = await Promise.all(Array.from({ length: 5 }, async () => ask('u1')))
    expect(first.every(({ answer }) => answer === 503)).toBe(true)
    const times: number[] = []
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(Array.from({ length: 10 }, async () => ask('u1')))
      expect(answers.every(({ answer }) => answer === 503)).toBe(true)
      // The probe alone waits for its budget.
      times.push(
        ...answers
          .map(({ ms }) => ms)
          .sort((x, y) => x - y)
          .slice(0, -1),
      )
    }
    times.sort((x, y) => x - y)
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(50)
    server.resume()
    await waitUntil(async () => (await ask('u1')).answer === 200, {
      what: 'service to be back',
      timeoutMs: 1500,
    })
  }, 20_000)
})

describe('46 servers that only look up', () => {
  test('a loss of state is noticed, and nothing is accepted until lost kick-outs can be back', async () => {
    const { server, revocations, events, ask } = await start()
    await revocations.kickOut({ subject: 'out' })
    expect((await ask('out')).answer).toBe(401)
    const other = await start2(server)
    expect((await other.ask('out')).answer).toBe(401)
    await server.client().flushall()
    expect((await other.ask('u1')).answer).toBe(503)
    expect(other.events).toContainEqual(
      expect.objectContaining({ type: 'revocations.gap', reason: 'epoch' }),
    )
    // The process that wrote the kick-out follows the log, and writes it again.
    await waitUntil(async () => (await other.ask('u1')).answer === 200, {
      what: 'the look-ups to be believed again',
      timeoutMs: 6000,
    })
    expect((await other.ask('out')).answer).toBe(401)
    expect(events.length).toBeGreaterThan(0)
  }, 20_000)

  async function start2(server: Awaited<ReturnType<typeof startRedis>>) {
    const events: RevocationsEvent[] = []
    const revocations = closing(
      redisRevocations(template(server), {
        issuer,
        mode: 'lookup',
        onEvent: (event) => events.push(event),
      }),
    )
    await revocations.ready()
    const ask = async (sub: string) => ({
      answer: await Promise.resolve(revocations.check(claimsOf(sub))).then(
        ({ revoked }) => (revoked ? 401 : 200),
        (error: unknown) => (error as { status?: number }).status,
      ),
    })
    return { events, ask }
  }
})

test('a process that first sees a log in its youth accepts nothing yet: others may be writing again what it lost', async () => {
  const { server, revocations } = await start()
  await server.client().flushall()
  // A new kick-out opens the log before those that hold the lost ones have noticed.
  await revocations.kickOut({ subject: 'another' }, { confirmTimeoutMs: 0 })
  const early = closing(redisRevocations(template(server), { issuer, mode: 'lookup' }))
  const claims = claimsOf('u1')
  await expect(Promise.resolve(early.check(claims))).rejects.toMatchObject({ status: 503 })
  await early.ready()
  expect(await early.check(claims)).toEqual({ revoked: false })
})
