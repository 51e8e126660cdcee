import { expect, test } from '@jest/globals'
import { Redis } from 'ioredis'
import { redisRevocations, redisStore } from '../../../src/redis/index.ts'
import { startRedis } from '../../support/redis-server.ts'
import { waitUntil } from '../../support/wait.ts'
import { issuer, useCleanup } from '../support/deployment.ts'

const { closing } = useCleanup()

async function start() {
  const server = await startRedis()
  closing({ close: async () => server.stop() })
  const admin = server.client()
  const connections = async () =>
    String(await admin.client('LIST'))
      .trim()
      .split('\n').length
  return { server, admin, url: `redis://127.0.0.1:${server.port}`, connections }
}

test('32 a URL or options do, and close() closes every connection', async () => {
  const { url, server, connections } = await start()
  const before = await connections()
  for (const source of [url, { host: '127.0.0.1', port: server.port }]) {
    const revocations = redisRevocations(source, { issuer })
    await revocations.ready()
    // One for commands, one for reading.
    await revocations.kickOut({ subject: 'u1' })
    expect((await connections()) - before).toBe(2)
    await revocations.close()
    await waitUntil(async () => (await connections()) === before, { what: 'both to be closed' })
  }
})

test('what is no source is a TypeError that says what is', () => {
  for (const wrong of [undefined, null, 7, 'http://localhost', 'localhost:6379', new Map()]) {
    expect(() => redisRevocations(wrong as never)).toThrow(TypeError)
    expect(() => redisStore(wrong as never)).toThrow(/redis: (or rediss: )?URL/)
  }
})

test('P1 credentials that rotate: asked for at each connection, kick-outs and servers go on', async () => {
  const { server, admin } = await start()
  let password = 'first'
  const setPassword = async (next: string) =>
    admin.call('ACL', 'SETUSER', 'app', 'on', 'resetpass', `>${next}`, '~*', '&*', '+@all')
  await setPassword(password)
  let asked = 0
  const revocations = closing(
    redisRevocations(
      { host: '127.0.0.1', port: server.port },
      {
        issuer,
        credentials: async () => {
          asked++
          return Promise.resolve({ username: 'app', password })
        },
      },
    ),
  )
  await revocations.ready()
  await revocations.kickOut({ subject: 'a' })
  const before = asked
  password = 'second'
  await setPassword(password)
  await admin.client('KILL', 'USER', 'app')
  await waitUntil(
    async () =>
      revocations.kickOut({ subject: 'b' }).then(
        () => true,
        () => false,
      ),
    { what: 'a kick-out under the new password', timeoutMs: 5000 },
  )
  await waitUntil(() => revocations.status().state === 'live', { what: 'the server to be live' })
  expect(asked).toBeGreaterThan(before)
}, 20_000)

test("P1 a password that changes on the application's own client is read at each reconnect", async () => {
  const { server, admin } = await start()
  const setPassword = async (next: string) =>
    admin.call('ACL', 'SETUSER', 'app', 'on', 'resetpass', `>${next}`, '~*', '&*', '+@all')
  await setPassword('first')
  const template = new Redis({
    host: '127.0.0.1',
    port: server.port,
    username: 'app',
    password: 'first',
    lazyConnect: true,
  })
  const revocations = closing(redisRevocations(template, { issuer }))
  await revocations.kickOut({ subject: 'a' })
  await setPassword('second')
  template.options.password = 'second'
  await admin.client('KILL', 'USER', 'app')
  await waitUntil(
    async () =>
      revocations.kickOut({ subject: 'b' }).then(
        () => true,
        () => false,
      ),
    { what: 'a kick-out under the new password', timeoutMs: 5000 },
  )
}, 20_000)
