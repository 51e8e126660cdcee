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
const stream = '{kickout:0}:stream'
const meta = '{kickout:0}:meta'
const healMs = 3_000

test.each([
  ['FLUSHALL', async ({ flushall }: Admin) => flushall()],
  ['DEL of the stream', async ({ del }: Admin) => del(stream)],
  ['XTRIM MAXLEN', async ({ xtrim }: Admin) => xtrim(stream, 'MAXLEN', 1)],
  ['XDEL in the middle', xdelSecond],
  ['DEL of the meta key', async ({ del }: Admin) => del(meta)],
  ['DEL of both', async ({ del }: Admin) => del(stream, meta)],
])(
  'S3 S4 D08 %s: running servers go on refusing, and one that boots refuses too',
  async (_case, lose) => {
    const { server, admin } = await start()
    const nodes = [await startReadyNode(cleanup, server), await startReadyNode(cleanup, server)]
    const writer = nodes[0]!
    const gone = ['a', 'b', 'c', 'd']
    for (const subject of gone) await writer.kickOut(subject)
    await lose({
      flushall: async () => admin.flushall(),
      del: async (...keys) => admin.del(...keys),
      xtrim: async (...given) => admin.xtrim(...given),
      xrange: async (...given) => admin.xrange(...given),
      xdel: async (...given) => admin.xdel(...given),
    })
    const booted = await startReadyNode(cleanup, server)
    for (const node of [...nodes, booted]) {
      for (const subject of gone) expect(await node.ask(subject)).toMatchObject({ status: 401 })
    }
    for (const node of [...nodes, booted]) {
      await untilProvedAgain(node, healMs)
      expect(await node.ask('u1')).toMatchObject({ status: 200 })
    }
    const causes = nodes.flatMap(({ events }) =>
      events.flatMap((event) => (event.type === 'revocations.gap' ? [event.reason] : [])),
    )
    expect(causes.length).toBeGreaterThan(0)
    // Once it is whole again no server reads it over and over.
    expect(causes.length).toBeLessThan(12)
    await writer.kickOut('after')
    await waitUntil(async () => (await booted.ask('after')).status === 401, { what: 'the next' })
  },
)

interface Admin {
  flushall(): Promise<unknown>
  del(...keys: string[]): Promise<unknown>
  xtrim(key: string, strategy: 'MAXLEN', threshold: number): Promise<unknown>
  xrange(key: string, from: string, to: string): Promise<[string, string[]][]>
  xdel(key: string, id: string): Promise<unknown>
}

async function xdelSecond({ xrange, xdel }: Admin): Promise<void> {
  const entries = await xrange(stream, '-', '+')
  await xdel(stream, entries[1]![0])
}

test.each(['reject', 'lookup'] as const)(
  'a server that was cut off when Redis lost a kick-out never lets it in (whenStale %s)',
  async (whenStale) => {
    const { server, admin, proxy } = await startBehindProxy()
    const witness = await startReadyNode(cleanup, server, { maxStalenessMs: 5_000 })
    const cutOff = await startReadyNode(cleanup, proxy, { whenStale })
    proxy.blackhole()
    await untilState(cutOff, 'stale')
    await witness.kickOut('out')
    await admin.flushall()
    proxy.reset()
    proxy.pass()
    await waitUntil(
      async () => {
        const { status } = await cutOff.ask('out')
        expect(status).not.toBe(200)
        return status === 401
      },
      { what: 'the kick-out to arrive', timeoutMs: healMs },
    )
    await untilState(cutOff, 'live')
    expect(await cutOff.ask('out')).toMatchObject({ status: 401 })
  },
)

test('look-ups after a loss do not take the empty Redis at its word', async () => {
  const { server, admin } = await start()
  const witness = await startReadyNode(cleanup, server, { maxStalenessMs: 5_000 })
  const looking = startNode(cleanup, server, { mode: 'lookup' })
  expect(await looking.ask('u1')).toMatchObject({ status: 200 })
  await witness.kickOut('out')
  await admin.flushall()
  await waitUntil(
    async () => {
      const { status } = await looking.ask('out')
      expect(status).not.toBe(200)
      return status === 401
    },
    { what: 'the kick-out to arrive', timeoutMs: healMs },
  )
})

test.each([
  ['junk fields', ['hello', 'world']],
  ['a version of tomorrow', ['d', '2:e:1:2:', 'r', '{"k":"x"}', 'z', '1']],
  ['no JSON', ['d', '1:e:1:2:', 'r', '{']],
  ['another level', ['d', '1:e:1:9999999999999:', 'r', '{"k":"x","i":"i","l":"galaxy","t":"t"}']],
  ['an empty id', ['d', '1:e:1:9999999999999:', 'r', '{"k":"x","i":"i","l":"subject","t":""}']],
])(
  'D22 S18 an entry of %s: nothing is proved while it is there, and live again without it',
  async (_case, fields) => {
    const { server, admin } = await start()
    const node = await startReadyNode(cleanup, server, { whenStale: 'reject' })
    await node.kickOut('before')
    const id = String(await admin.xadd(stream, '*', ...fields))
    await node.kickOut('after')
    await untilState(node, 'stale')
    expect(await node.ask('before')).toMatchObject({ status: 401 })
    expect(await node.ask('after')).toMatchObject({ status: 401 })
    expectUnavailable(await node.ask('u1'))
    const gaps = () => node.events.filter(({ type }) => type === 'revocations.gap').length
    expect(gaps()).toBeLessThanOrEqual(2)
    await admin.xdel(stream, id)
    await untilState(node, 'live', healMs)
    expect(await node.ask('u1')).toMatchObject({ status: 200 })
  },
)

test('D22 a stream key of the wrong type: 503, and live again without it', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(cleanup, server, { whenStale: 'reject' })
  await node.kickOut('before')
  await admin.set(stream, 'a string')
  await expectNotConfirmed(node.kickOut('too late'))
  await untilState(node, 'stale')
  expectUnavailable(await node.ask('u1'))
  await admin.del(stream)
  await untilState(node, 'live', healMs)
  expect(await node.ask('before')).toMatchObject({ status: 401 })
})
