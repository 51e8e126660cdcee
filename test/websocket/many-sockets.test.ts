import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { WebSocket, type WebSocketServer } from 'ws'
import type { Revocations } from '../../src/index.ts'
import { acceptUpgrades, type GuardedConnection } from '../../src/websocket/index.ts'
import { waitUntil } from '../support/wait.ts'
import {
  bearerHeaders,
  closed,
  connected,
  openStage,
  type Stage,
  webSocketServer,
} from '../support/web-socket-stage.ts'

const sockets = 2000
/** Open at a time. */
const atOnce = 100
const megabyte = 2 ** 20

let stage: Stage
let wss: WebSocketServer
/** Listeners for kick-outs, and how often it was asked whether the guard still sees them. */
let listeners = 0
let looks = 0

beforeEach(async () => {
  listeners = 0
  const { issuer, close } = await openStage()
  await close()
  const counting: Revocations = {
    ...issuer.revocations,
    onKickOut(listener) {
      listeners++
      return issuer.revocations.onKickOut(listener)
    },
    status() {
      looks++
      return issuer.revocations.status()
    },
  }
  stage = { ...(await openStage({ ...issuer.options, revocations: counting })), issuer }
  wss = webSocketServer(stage)
  acceptUpgrades(stage.server, wss, stage.guard)
})
afterEach(async () => {
  await stage.close()
})

async function collect(): Promise<void> {
  setFlagsFromString('--expose_gc')
  const collectGarbage = runInNewContext('gc') as () => void
  for (let round = 0; round < 3; round++) {
    collectGarbage()
    await sleep(20)
  }
}

test(`${sockets} sockets that come and go leave no listener, timer or memory behind`, async () => {
  const token = await stage.issuer.token({ subject: 'u1' })
  const made: WeakRef<GuardedConnection>[] = []
  const signals: WeakRef<AbortSignal>[] = []
  wss.on('connection', (_ws: WebSocket, _req: IncomingMessage, connection: GuardedConnection) => {
    made.push(new WeakRef(connection))
    signals.push(new WeakRef(connection.auth.signal))
  })
  const batch = async () => {
    const open = Array.from(
      { length: atOnce },
      () => new WebSocket(stage.url, bearerHeaders(token)),
    )
    await Promise.all(open.map(connected))
    await Promise.all(
      open.map(async (ws, index) => {
        // Each kind of end: by the client, in order or not.
        if (index % 2 === 0) ws.close()
        else ws.terminate()
        await once(ws, 'close')
      }),
    )
    await waitUntil(() => wss.clients.size === 0, { what: 'the server to see the ends' })
  }
  // What grows once, such as caches of Node, does not count.
  for (let index = 0; index < 5; index++) await batch()
  await collect()
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < sockets / atOnce; index++) await batch()
  await collect()
  const alive = (refs: WeakRef<object>[]) => refs.filter((ref) => ref.deref()).length
  // A few may still stand on a stack.
  expect(alive(made)).toBeLessThan(20)
  expect(alive(signals)).toBeLessThan(20)
  expect((process.memoryUsage().heapUsed - before) / megabyte).toBeLessThan(4)
  expect(listeners).toBe(1)
  const seen = looks
  await sleep(1200)
  expect(looks).toBe(seen)
}, 60_000)

test('one kick-out of a user closes all of the user, and leaves nothing behind', async () => {
  const [mine, other] = [
    await stage.issuer.token({ subject: 'u1' }),
    await stage.issuer.token({ subject: 'u2' }),
  ]
  const open = async (token: string, count: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        connected(new WebSocket(stage.url, bearerHeaders(token))),
      ),
    )
  const ends = (await open(mine, 200)).map(closed)
  await open(other, 50)
  await stage.issuer.revocations.kickOut({ subject: 'u1' })
  expect(new Set((await Promise.all(ends)).map(({ code }) => code))).toEqual(new Set([4401]))
  await waitUntil(() => wss.clients.size === 50, { what: 'the others to be all that is left' })
})
