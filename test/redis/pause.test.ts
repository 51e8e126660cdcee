import { connect, type Socket } from 'node:net'
import { expect, test } from '@jest/globals'
import { redisRevocations } from '../../src/redis/index.ts'
import { Worker } from '../drills/support/worker.ts'
import { claimsAt, issuer, makeSigner } from '../support/make-token.ts'
import { waitUntil } from '../support/wait.ts'
import { useServers } from './support/servers.ts'

const { start, closing, template } = useServers()
const signer = makeSigner('ES256')
const maxStalenessMs = 1_000

/** A connection that is open before the pause, and what comes back on it. */
async function openConnection(port: number): Promise<{ socket: Socket; answer: Promise<string> }> {
  const socket = connect({ port, host: '127.0.0.1' })
  await new Promise((resolve) => socket.once('connect', resolve))
  const answer = new Promise<string>((resolve, reject) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('end', () => resolve(text))
    socket.on('error', reject)
  })
  return { socket, answer }
}

test('S1 N08 a resource server that stood still for twice maxStalenessMs lets no one in who was kicked out meanwhile', async () => {
  const { server } = await start()
  const worker = await Worker.start('./resource-server.ts', {
    redis: { kind: 'single', host: server.host, port: server.port },
    jwks: { keys: [signer.publicJwk] },
    revocations: { maxStalenessMs, whenStale: 'reject' },
  })
  closing({ close: async () => worker.kill() })
  const writer = closing(redisRevocations(template(server), { issuer }))
  const people = Array.from({ length: 100 }, (_, index) => {
    const sub = `user ${index}`
    return {
      sub,
      isKickedOut: index % 2 === 0,
      token: signer.sign(claimsAt(Date.now() / 1000, { sub, sid: sub })),
    }
  })
  const isLive = async () =>
    (await worker.ask<{ state: string }>('status')).state === 'live' || undefined
  await waitUntil(isLive, { what: 'the resource server to be live', timeoutMs: 10_000 })
  // Tokens that are known: verifying them takes no time, in which news could come in.
  for (const { token } of people) {
    const { status } = await fetch(`http://127.0.0.1:${worker.port}/`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(status).toBe(200)
  }
  const connections = await Promise.all(people.map(async () => openConnection(worker.port)))

  worker.pause()
  const pausedAt = performance.now()
  await Promise.all(
    people
      .filter(({ isKickedOut }) => isKickedOut)
      .map(async ({ sub }) => writer.kickOut({ subject: sub }, { confirmTimeoutMs: 0 })),
  )
  connections.forEach(({ socket }, index) => {
    const { token } = people[index]!
    socket.write(
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    )
  })
  await waitUntil(() => performance.now() - pausedAt > 2 * maxStalenessMs, { what: 'the pause' })
  worker.resume()
  const answers = await Promise.all(connections.map(async ({ answer }) => answer))

  answers.forEach((answer, index) => {
    const { sub, isKickedOut } = people[index]!
    const status = Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1])
    // For a moment, "cannot be proved" is the right answer for every user; one who was not kicked out never gets a 401.
    expect({
      sub,
      status,
      isKnown: (isKickedOut ? [401, 503] : [200, 503]).includes(status),
    }).toEqual({ sub, status, isKnown: true })
    if (status === 503) expect(answer).toMatch(/retry-after: \d+/i)
    if (status === 503) expect(answer).not.toMatch(/www-authenticate/i)
  })
  await waitUntil(isLive, { what: 'the resource server to be live again', timeoutMs: 3_000 })
}, 60_000)
