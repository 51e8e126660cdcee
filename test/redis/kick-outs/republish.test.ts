import { expect, test } from '@jest/globals'
import { waitUntil } from '../../support/wait.ts'
import { useServers } from '../support/servers.ts'
import {
  type Node,
  startNode,
  startReadyNode,
  untilProvedAgain,
  untilState,
} from '../support/standing.ts'

const servers = useServers()
const { start } = servers
const stream = '{kickout:0}:stream'

async function kickOutAll(node: Node, subjects: readonly string[]): Promise<void> {
  for (let from = 0; from < subjects.length; from += 250) {
    const batch = subjects.slice(from, from + 250)
    await Promise.all(batch.map(async (subject) => node.kickOut(subject)))
  }
}

test('writes 2 000 lost kick-outs again, once, though three servers hold them', async () => {
  const { server, admin } = await start()
  const nodes = await Promise.all([1, 2, 3].map(async () => startReadyNode(servers, server)))
  const subjects = Array.from({ length: 2_000 }, (_, index) => `u${index}`)
  await kickOutAll(nodes[0]!, subjects)
  await admin.flushall()
  await waitUntil(async () => (await admin.xlen(stream)) >= subjects.length, {
    what: 'all to be written again',
    timeoutMs: 5_000,
  })
  const booted = await startReadyNode(servers, server)
  for (const subject of subjects) expect((await booted.ask(subject)).status).toBe(401)
  for (const node of nodes) await untilProvedAgain(node)
  // Who begins later finds most of it there; all three together do not write everything three times.
  expect(await admin.xlen(stream)).toBeLessThan(3 * subjects.length)
}, 30_000)

test('a server that boots waits until those that remember have written everything again', async () => {
  const { server, admin } = await start()
  const witness = await startReadyNode(servers, server)
  const subjects = Array.from({ length: 3_000 }, (_, index) => `u${index}`)
  await kickOutAll(witness, subjects)
  await admin.flushall()
  const booting = startNode(servers, server)
  await waitUntil(
    async () => {
      const standings = await Promise.all(
        ['u0', 'u1500', 'u2999'].map(async (subject) => booting.ask(subject)),
      )
      for (const { status } of standings) expect(status).not.toBe(200)
      return booting.revocations.status().state === 'live'
    },
    { what: 'the server to be live', timeoutMs: 10_000 },
  )
  for (const subject of subjects) expect((await booting.ask(subject)).status).toBe(401)
}, 30_000)

test('a version that was raised stays raised: who logged in again after the kick-out stays in', async () => {
  const { server, admin } = await start()
  const node = await startReadyNode(servers, server)
  await node.kickOut('u1')
  await node.kickOut('u1')
  const versions: number[] = []
  node.revocations.onKickOut(({ version = 0 }) => versions.push(version))
  await node.kickOut('u1')
  await admin.flushall()
  const booted = await startReadyNode(servers, server)
  const [version = 0] = versions
  const verdict = async (session_version: number) =>
    (
      await booted.revocations.check({
        ...{ iss: 'https://login.example.com', aud: 'a', exp: 4e9, iat: 1, sub: 'u1' },
        session_version,
      })
    ).revoked
  expect(await verdict(version - 1)).toBe(true)
  expect(await verdict(version)).toBe(false)
})

test('goes on when Redis goes away in the middle', async () => {
  const { server } = await start()
  const node = await startReadyNode(servers, server)
  await Promise.all(Array.from({ length: 500 }, async (_, index) => node.kickOut(`u${index}`)))
  await server.restart({ keepData: false })
  await server.restart({ keepData: false })
  await untilState(node, 'live')
  const booted = await startReadyNode(servers, server)
  await waitUntil(async () => (await booted.ask('u499')).status === 401, { what: 'the last one' })
  expect((await booted.ask('u0')).status).toBe(401)
}, 30_000)
