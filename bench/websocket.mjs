/**
 * `npm run bench:websocket`: how long a kicked-out WebSocket stays open, beside 1 000 others. Three processes: Redis, the
 * server, and the client that also kicks out, as a login service would. Measured from the call of `kickOut` to the `close`
 * event of the client.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { requireAuth } from 'express-kickout'
import { redisRevocations } from 'express-kickout/redis'
import { createTestIssuer } from 'express-kickout/testing'
import { acceptUpgrades } from 'express-kickout/websocket'
import { Redis } from 'ioredis'
import { WebSocket, WebSocketServer } from 'ws'
import { startOwnRedis } from './processes/redis.mjs'
import { quantile } from './statistics.mjs'

const openSockets = 1000
const kickOuts = 500
const barMs = 50
const issuer = 'https://issuer.test'

async function serve() {
  const redis = await startOwnRedis({ pinned: false })
  const test = createTestIssuer({ issuer })
  const connection = new Redis(redis.port)
  const revocations = redisRevocations(connection, { issuer })
  const guard = requireAuth({ ...test.options, revocations })
  await guard.ready()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const wss = new WebSocketServer({ noServer: true })
  acceptUpgrades(server, wss, guard)
  const child = fork(new URL(import.meta.url), ['client'])
  const tokens = await Promise.all(
    Array.from({ length: openSockets + kickOuts }, (_, index) =>
      test.token({ subject: `user-${index}` }),
    ),
  )
  child.send({ url: `ws://127.0.0.1:${server.address().port}`, redisPort: redis.port, tokens })
  const [samples] = await once(child, 'message')
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => quantile(samples, share).toFixed(1))
  console.log(
    `kick-out to closed, beside ${openSockets} open sockets, ${samples.length} times: ` +
      `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms (bar: p99 ${barMs} ms)`,
  )
  process.exitCode = Number(p99) <= barMs ? 0 : 1
  child.kill()
  for (const ws of wss.clients) ws.terminate()
  server.close()
  await guard.close()
  await revocations.close()
  connection.disconnect()
  await redis.stop()
}

async function measure({ url, redisPort, tokens }) {
  const revocations = redisRevocations(new Redis(redisPort), { issuer })
  await revocations.ready()
  const open = async (token) => {
    const ws = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } })
    await once(ws, 'open')
    return ws
  }
  for (const token of tokens.slice(0, openSockets)) await open(token)
  const samples = []
  for (let index = openSockets; index < tokens.length; index++) {
    const ws = await open(tokens[index])
    const closed = once(ws, 'close')
    const startedAt = performance.now()
    const kicked = revocations.kickOut({ subject: `user-${index}` })
    const [code] = await closed
    samples.push(performance.now() - startedAt)
    if (code !== 4401) throw new Error(`closed with ${code}`)
    await kicked
  }
  process.send(samples)
}

if (process.argv[2] === 'client') process.once('message', (settings) => void measure(settings))
else await serve()
