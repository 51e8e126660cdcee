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
const { start, startBehindProxy } = cleanup
const healMs = 3_000

test('D01 Redis is not there at boot: 503, no exit, and ready as soon as it is', async () => {
  const { server } = await start()
  await server.kill9()
  const node = startNode(cleanup, server)
  let isReady = false
  const ready = node.revocations.ready().then(() => (isReady = true))
  // 49: it waits for the copy for up to 250 ms.
  expectUnavailable(await node.ask('u1'), 500)
  expect(node.revocations.status()).toMatchObject({ state: 'starting' })
  await expectNotConfirmed(node.kickOut('u1'))
  expect(isReady).toBe(false)
  await server.restart()
  await ready
  expect(await node.ask('u2')).toMatchObject({ status: 200 })
})

test.each([
  ['with its data', ['--appendonly', 'yes', '--appendfsync', 'always'], true],
  ['empty', [], false],
] as const)(
  'D03 D09 Redis is killed and comes back %s: revoked stays revoked, also for a server that boots',
  async (_case, args, keepData) => {
    const { server } = await start(...args)
    const node = await startReadyNode(cleanup, server, { whenStale: 'reject' })
    await node.kickOut('out')
    await server.kill9()
    await expectNotConfirmed(node.kickOut('too late'))
    expect(await node.ask('out')).toMatchObject({ status: 401 })
    await untilState(node, 'stale')
    expectUnavailable(await node.ask('u1'))
    expect(await node.ask('out')).toMatchObject({ status: 401 })
    await server.restart({ keepData })
    await untilState(node, 'live', healMs)
    expect(await node.ask('out')).toMatchObject({ status: 401 })
    expect(await node.ask('u1')).toMatchObject({ status: 200 })
    const booted = await startReadyNode(cleanup, server)
    expect(await booted.ask('out')).toMatchObject({ status: 401 })
    expect(await booted.ask('u1')).toMatchObject({ status: 200 })
  },
)

test('D04 Redis hangs: stale in time, every answer in time, live when it goes on', async () => {
  const { server } = await start()
  const node = await startReadyNode(cleanup, server)
  await node.kickOut('out')
  server.pause()
  const pausedAt = performance.now()
  await expectNotConfirmed(node.kickOut('too late'))
  await untilState(node, 'stale')
  expect(performance.now() - pausedAt).toBeLessThan(2_000)
  for (const standing of await Promise.all(
    Array.from({ length: 50 }, async () => node.ask('u1')),
  )) {
    expectUnavailable(standing, 400)
  }
  expect(await node.ask('out')).toMatchObject({ status: 401 })
  server.resume()
  await untilState(node, 'live', healMs)
  expect(await node.ask('u1')).toMatchObject({ status: 200 })
})

test('N01 S9 half-open TCP: leaves live within maxStalenessMs, heals, and leaks no socket', async () => {
  const { proxy } = await startBehindProxy()
  const node = await startReadyNode(cleanup, proxy, { whenStale: 'reject' })
  await node.kickOut('other')
  const before = proxy.connections()
  proxy.blackhole()
  const brokenAt = performance.now()
  await untilState(node, 'stale')
  expect(performance.now() - brokenAt).toBeLessThan(1_500)
  expectUnavailable(await node.ask('u1'))
  // The reader gives the silent connection up, and tries others: nothing else would ever end it.
  await waitUntil(() => proxy.connections() > before, { what: 'another attempt to connect' })
  await waitUntil(() => performance.now() - brokenAt > 2_500, { what: 'more attempts' })
  expect(proxy.connections()).toBeLessThan(before + 6)
  proxy.pass()
  await untilState(node, 'live', 2_000)
  await waitUntil(() => proxy.connections() <= before, { what: 'old sockets to close' })
})

test('N02 the reply of a kick-out is lost: 503, and repeating it is safe', async () => {
  const { server, proxy } = await startBehindProxy()
  const node = await startReadyNode(cleanup, server)
  const writer = startNode(cleanup, proxy)
  await writer.kickOut('somebody')
  proxy.blackhole('toClient')
  await expectNotConfirmed(writer.kickOut('out'))
  await waitUntil(async () => (await node.ask('out')).status === 401, { what: 'the kick-out' })
  proxy.pass()
  await waitUntil(async () => writer.kickOut('out'), { what: 'the repetition' })
  expect(await node.ask('out')).toMatchObject({ status: 401 })
  expect((await node.revocations.listKickOuts({ limit: 10 })).kickOuts).toHaveLength(3)
})

test('N03 replies that are cut off or spoilt: the connection is made again and nothing is half applied', async () => {
  const { server, proxy } = await startBehindProxy()
  const node = await startReadyNode(cleanup, proxy, { maxStalenessMs: 5_000 })
  const writer = startNode(cleanup, server)
  for (let turn = 0; turn < 6; turn++) {
    if (turn % 2 === 0) proxy.cutAfter(10 + turn * 37)
    else proxy.corrupt()
    await writer.kickOut(`out-${turn}`)
    await waitUntil(async () => (await node.ask(`out-${turn}`)).status === 401, {
      what: `kick-out ${turn}`,
      timeoutMs: healMs,
    })
  }
  await untilProvedAgain(node)
  expect(await node.ask('u1')).toMatchObject({ status: 200 })
})

test('N04 connections that are killed over and over leave no listener and no connection behind', async () => {
  const { server, admin } = await start()
  const warnings: string[] = []
  const onWarning = ({ name }: Error) => warnings.push(name)
  process.on('warning', onWarning)
  const node = await startReadyNode(cleanup, server)
  for (let turn = 0; turn < 25; turn++) {
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await node.kickOut(`u${turn}`).catch(() => undefined)
  }
  await untilProvedAgain(node)
  expect(
    String(await admin.client('LIST'))
      .trim()
      .split('\n').length,
  ).toBeLessThanOrEqual(3)
  process.off('warning', onWarning)
  expect(warnings).toEqual([])
})
