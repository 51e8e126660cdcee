import { describe, expect, test } from '@jest/globals'
import { redisRevocations, redisStore } from '../../../src/redis/index.ts'
import { Keys } from '../../../src/redis/keys.ts'
import { waitUntil } from '../../support/wait.ts'
import { claimsOf, failureOf, issuer } from '../support/deployment.ts'
import { useServers } from '../support/servers.ts'
import { startNode, startReadyNode } from '../support/standing.ts'

/* Processes of one deployment that were given different options, and servers that are not asked. */

const servers = useServers()
const { start, closing, template } = servers
const keys = new Keys({ keyPrefix: '', prefix: 'kickout', partitions: 1 } as never)

/** A token of a day, issued at a moment that it names. */
function tokenOf(sub: string, issuedAtMs: number) {
  const iat = Math.floor(issuedAtMs / 1000)
  return claimsOf({ sub, iat, exp: iat + 86_400 })
}

describe('1 the largest retentionSeconds counts, whatever process wrote the kick-out', () => {
  test('a kick-out by a process with 5 s is kept for the 25 hours of the servers', async () => {
    const { server, admin } = await start()
    const reader = await startReadyNode(servers, server, { retentionSeconds: 90_000 })
    const writer = startNode(servers, server, { retentionSeconds: 5 })
    await writer.kickOut('u1')
    await waitUntil(async () => (await reader.ask('u1')).status === 401, { what: 'the kick-out' })
    const [key = ''] = await admin.keys('*deny:*')
    expect(await admin.pttl(key)).toBeGreaterThan(89_000_000)
    expect(reader.revocations.check(tokenOf('u1', Date.now() - 1_000))).toMatchObject({
      revoked: true,
    })
    // Neither does the writer with the small value trim what is younger than the large one.
    for (let count = 0; count < 300; count++) await writer.kickOut(`other ${count}`)
    expect(await admin.xlen(keys.stream(0))).toBe(301)
  })

  test('a raise counts for tokens that are issued after it', async () => {
    const { server } = await start()
    const before = startNode(servers, server, { retentionSeconds: 3_720 })
    await before.kickOut('u1')
    const raised = await startReadyNode(servers, server, { retentionSeconds: 90_000 })
    await raised.kickOut('u2')
    const retentionOfOld = () => raised.revocations.retentionSecondsFor?.(Date.now() - 60_000)
    await waitUntil(() => retentionOfOld() === 3_720, { what: 'the raise' })
    expect(raised.revocations.retentionSecondsFor?.(Date.now() + 60_000)).toBe(90_000)
    // A process that was started before the raise learns of it.
    await before.revocations.ready()
    await waitUntil(() => before.revocations.retentionSeconds === 90_000, { what: 'it to be told' })
  })
})

describe('43 processes with different numbers of partitions', () => {
  type Role = 'server' | 'writer' | 'store' | 'look-up'
  const roles: Role[] = ['server', 'writer', 'store', 'look-up']
  const pairs = roles.flatMap((first) => roles.map((second) => [first, second] as const))

  test.each(pairs)('%s first, then %s: the second is refused', async (first, second) => {
    const { server, admin } = await start()
    await admin.flushall()
    const use = async (role: Role, partitions: number): Promise<unknown> => {
      const client = template(server)
      if (role === 'store') {
        const store = closing(redisStore(client, { partitions }))
        return store.ready?.()
      }
      const mode = role === 'look-up' ? 'lookup' : 'replica'
      const revocations = closing(redisRevocations(client, { issuer, partitions, mode }))
      if (role === 'writer') return revocations.kickOut({ subject: 'u1' }, { confirmTimeoutMs: 0 })
      await revocations.ready()
      // Servers alone hold no log open, so there is nothing yet to differ from.
      return undefined
    }
    await use(first, 16)
    if (first === 'server' || first === 'look-up') await use('writer', 16)
    const failure = await failureOf(async () => use(second, 1))
    expect(failure.message).toContain('Redis holds data of 16 partitions: set "partitions"')
    const reverse = await failureOf(async () => use(second, 4))
    expect(reverse.message).toContain('16 partitions')
  })
})

describe('44 servers that are not asked', () => {
  test('a server that stands still for longer than two seconds counts for as long as it may accept tokens', async () => {
    const { server, proxy } = await servers.startBehindProxy()
    await startReadyNode(servers, server, { maxStalenessMs: 4_000 })
    const paused = await startReadyNode(servers, proxy, { maxStalenessMs: 4_000 })
    const writer = startNode(servers, server)
    const [{ serverId } = { serverId: '' }] = (await paused.revocations.listServers()).filter(
      ({ applied }) => applied >= 0,
    )
    expect(serverId).not.toBe('')
    proxy.blackhole()
    await new Promise((resolve) => setTimeout(resolve, 2_300))
    const result = await writer.revocations.kickOut({ subject: 'u1' }, { confirmTimeoutMs: 50 })
    expect(result).toMatchObject({ servers: 2, confirmed: 1 })
    expect(result.unconfirmed).toHaveLength(1)
    proxy.pass()
  })

  test('a list of servers that cannot be read is not 0 of 0', async () => {
    const { server, admin } = await start()
    await startReadyNode(servers, server)
    await admin.acl('SETUSER', 'writer', 'on', '>secret', '~*', '&*', '+@all', '-hgetall')
    const revocations = closing(
      redisRevocations(template(server, { username: 'writer', password: 'secret' }), { issuer }),
    )
    const result = await revocations.kickOut({ subject: 'u1' }, { confirmTimeoutMs: 100 })
    expect(result).toMatchObject({ servers: Number.NaN, confirmed: 0, unconfirmed: [] })
  })
})

test('N8 two services on one prefix: the list of servers and `unconfirmed` say whose they are', async () => {
  const { server, proxy } = await servers.startBehindProxy()
  await startReadyNode(servers, server, { name: 'reports' })
  await startReadyNode(servers, proxy, { name: 'billing.v2' })
  const writer = startNode(servers, server)
  const ids = (await writer.revocations.listServers()).map(({ serverId }) => serverId)
  expect(ids).toEqual([
    expect.stringMatching(/^billing\.v2-[0-9a-f]{12}$/),
    expect.stringMatching(/^reports-[0-9a-f]{12}$/),
  ])
  proxy.blackhole()
  const { unconfirmed } = await writer.revocations.kickOut(
    { subject: 'u1' },
    { confirmTimeoutMs: 50 },
  )
  expect(unconfirmed).toEqual([ids[0]])
  proxy.pass()
  for (const name of ['', 'a b', 'x'.repeat(41), 7])
    expect(() => redisRevocations(template(server), { name: name as string })).toThrow(
      /redisRevocations: option "name"|"name"/,
    )
})
