import { expect, test } from '@jest/globals'
import { waitUntil } from '../support/wait.ts'
import { startProxy } from '../support/tcp-proxy.ts'
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
const { start, closing } = cleanup
const stream = '{kickout:0}:stream'
const healMs = 3_000

/** A and a copy of it, B, that gets nothing more from A: whatever is written now, a failover to B loses. */
async function startPair() {
  const a = await start()
  const b = await start()
  const proxy = closing(await startProxy({ upstream: a.server }))
  const node = await startReadyNode(cleanup, proxy)
  await node.kickOut('kept')
  await b.admin.replicaof(a.server.host, a.server.port)
  await waitUntil(
    async () => (await b.admin.info('replication')).includes('master_link_status:up'),
    { what: 'the copy' },
  )
  await b.admin.replicaof('NO', 'ONE')
  return { a, b, proxy, node }
}

test('F14 S4 S16 a failover that loses an acknowledged kick-out: it is refused on, and written again', async () => {
  const { b, proxy, node } = await startPair()
  const watching = await startReadyNode(cleanup, proxy)
  await node.kickOut('lost')
  await waitUntil(async () => (await watching.ask('lost')).status === 401, { what: 'it' })
  proxy.switchUpstream(b.server)
  proxy.reset()
  for (const server of [node, watching]) {
    expect(await server.ask('lost')).toMatchObject({ status: 401 })
    await untilProvedAgain(server, healMs)
    expect(await server.ask('lost')).toMatchObject({ status: 401 })
    expect(server.events).toContainEqual(expect.objectContaining({ reason: 'failover' }))
  }
  await waitUntil(async () => (await b.admin.xlen(stream)) >= 2, { what: 'it to be written' })
  const looking = startNode(cleanup, b.server, { mode: 'lookup' })
  await waitUntil(async () => (await looking.ask('lost')).status === 401, { what: 'look-ups' })
  const booted = await startReadyNode(cleanup, b.server)
  for (const subject of ['kept', 'lost']) {
    expect(await booted.ask(subject)).toMatchObject({ status: 401 })
  }
})

test('S2 F15 stream ids go backwards: kick-outs of the new primary are not skipped', async () => {
  const { a, b, proxy, node } = await startPair()
  await a.admin.call('XSETID', stream, `${Date.now() + 3_600_000}-0`)
  await node.kickOut('from the future')
  await untilProvedAgain(node)
  proxy.switchUpstream(b.server)
  proxy.reset()
  const writer = startNode(cleanup, b.server)
  for (let turn = 0; turn < 20; turn++) {
    await writer.kickOut(`u${turn}`)
    await waitUntil(async () => (await node.ask(`u${turn}`)).status === 401, {
      what: `kick-out ${turn}`,
      timeoutMs: healMs,
    })
  }
  await untilProvedAgain(node, healMs)
  expect(await node.ask('from the future')).toMatchObject({ status: 401 })
})

test('S2 ids and numbers that fit by chance: the newest entry of the log gives it away', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(cleanup, server)
  await node.kickOut('first')
  await untilProvedAgain(node)
  const [[id, fields]] = (await admin.xrange(stream, '-', '+')) as [[string, string[]]]
  const swapped = fields.map((field) => field.replace('first', 'second'))
  const [ms = ''] = id.split('-')
  await admin
    .multi()
    .del(stream)
    .xadd(stream, `${Number(ms) - 1}-0`, ...swapped)
    .exec()
  await waitUntil(async () => (await node.ask('second')).status === 401, {
    what: 'the entry under an older id',
    timeoutMs: healMs,
  })
})

test('D13 D14 the primary is demoted under us: refused, and live on the new one', async () => {
  const { a, b, proxy, node } = await startPair()
  await a.admin.replicaof(b.server.host, b.server.port)
  await expectNotConfirmed(node.kickOut('too late'))
  await untilState(node, 'stale')
  expectUnavailable(await node.ask('u1'))
  proxy.switchUpstream(b.server)
  await untilState(node, 'live', healMs)
  await waitUntil(async () => node.kickOut('again'), { what: 'a kick-out on the new primary' })
  expect(await node.ask('kept')).toMatchObject({ status: 401 })
})
