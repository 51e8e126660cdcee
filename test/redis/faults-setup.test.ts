import { expect, test } from '@jest/globals'
import { waitUntil } from '../support/wait.ts'
import { useServers } from './support/servers.ts'
import {
  expectNotConfirmed,
  expectUnavailable,
  startNode,
  startReadyNode,
  untilProvedAgain,
  untilState,
} from './support/standing.ts'

/* Short forms of FAULTS, each on servers of its own. The long ones are in test/drills. */

const cleanup = useServers()
const { start } = cleanup
const healMs = 3_000

test.each(['allkeys-lru', 'volatile-ttl'])(
  'D10 S5 maxmemory-policy %s is refused at start, by name, in both modes',
  async (policy) => {
    const { server } = await start('--maxmemory-policy', policy)
    for (const mode of ['replica', 'lookup'] as const) {
      const node = startNode(cleanup, server, { mode })
      await expect(node.revocations.ready()).rejects.toThrow(policy)
      await expect(node.revocations.ready()).rejects.toThrow(/noeviction/)
      await waitUntil(async () => (await node.ask('u1')).error?.message.includes(policy), {
        what: 'an answer that names the policy',
      })
      expectUnavailable(await node.ask('u1'))
    }
  },
)

test('D10 an eviction policy that is set later is noticed', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(cleanup, server, { whenStale: 'reject' })
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await untilState(node, 'stale', 15_000)
  expectUnavailable(await node.ask('u1'))
  await admin.config('SET', 'maxmemory-policy', 'noeviction')
  await untilState(node, 'live', healMs)
}, 30_000)

test('D11 a full Redis refuses kick-outs, and resource servers stay live', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(cleanup, server)
  await node.kickOut('before')
  await admin.config('SET', 'maxmemory', '1mb')
  await expectNotConfirmed(node.kickOut('too late'))
  await untilProvedAgain(node)
  await waitUntil(() => node.revocations.status().stalenessMs < 900, { what: 'a fresh proof' })
  expect(await node.ask('before')).toMatchObject({ status: 401 })
  expect(await node.ask('u1')).toMatchObject({ status: 200 })
  await admin.config('SET', 'maxmemory', '0')
  await node.kickOut('too late')
})

test('D15 S14 a primary that has lost its replicas is not believed, and neither are look-ups there', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(cleanup, server)
  const looking = startNode(cleanup, server, { mode: 'lookup' })
  await looking.revocations.ready()
  await node.kickOut('before')
  await admin.config('SET', 'min-replicas-to-write', '1')
  await expectNotConfirmed(node.kickOut('too late'))
  await untilState(node, 'stale')
  expectUnavailable(await node.ask('u1'))
  expectUnavailable(await looking.ask('u1'))
  expect((await node.ask('u1')).error?.message).toContain('NOREPLICAS')
  expect(await node.ask('before')).toMatchObject({ status: 401 })
  await admin.config('SET', 'min-replicas-to-write', '0')
  await untilState(node, 'live', healMs)
  expect(await looking.ask('u1')).toMatchObject({ status: 200 })
})

test('D17 SCRIPT FLUSH again and again is not noticed', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(cleanup, server)
  const done = new AbortController()
  const isDone = () => done.signal.aborted
  const flushes = (async () => {
    while (!isDone()) await admin.script('FLUSH')
  })()
  await Promise.all(Array.from({ length: 200 }, async (_, index) => node.kickOut(`u${index}`)))
  done.abort()
  await flushes
  expect(node.revocations.status()).toMatchObject({ state: 'live', entries: 200 })
})

test('D18 a user that is switched off: 503 with the reason, and live again', async () => {
  const { server, admin } = await start()
  await admin.acl('SETUSER', 'kickout', 'on', '>secret', '~*', '+@all')
  const node = startNode(cleanup, server, { whenStale: 'reject' })
  await node.revocations.ready()
  await admin.config('SET', 'requirepass', 'changed')
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await untilState(node, 'stale')
  const { error } = await node.ask('u1')
  expect(error?.message).toMatch(/NOAUTH|Authentication/i)
  await admin.config('SET', 'requirepass', '')
  await untilState(node, 'live', healMs)
})
