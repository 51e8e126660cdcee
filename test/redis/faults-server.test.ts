import { expect, test } from '@jest/globals'
import express from 'express'
import { createIssuer, generateSigningKey } from '../../src/issuer/index.ts'
import { redisStore } from '../../src/redis/index.ts'
import { listen, postForm, send } from '../support/http-client.ts'
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

/* Short forms of FAULTS: a server that is there and does not do what it should. */

const cleanup = useServers()
const { start, startBehindProxy, closing, template } = cleanup
const healMs = 3_000

test('D02 an issuer that starts without Redis publishes its keys, and answers 503 to what needs Redis', async () => {
  const { server } = await start()
  const app = express()
  const { url } = closing(await listen(app))
  const issuer = closing(
    createIssuer({
      ...{ issuer: url, audience: 'a', refreshTokenSecret: 's'.repeat(32) },
      signingKeys: [await generateSigningKey()],
      store: redisStore(template(server)),
    }),
  )
  app.use(issuer.router)
  const { refresh_token: token } = await issuer.startSession({ subject: 'u1' })
  await server.kill9()
  for (const path of ['/.well-known/jwks.json', '/.well-known/oauth-authorization-server']) {
    expect((await send(url + path)).status).toBe(200)
  }
  const refresh = async () =>
    postForm(`${url}/token`, { grant_type: 'refresh_token', refresh_token: token })
  for (const answer of [await refresh(), await postForm(`${url}/revoke`, { token })]) {
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toMatch(/^\d+$/)
  }
  await expect(issuer.kickOut({ subject: 'u1' })).rejects.toMatchObject({ status: 503 })
  await expect(issuer.startSession({ subject: 'u1' })).rejects.toMatchObject({ status: 503 })
  await server.restart()
  await waitUntil(async () => (await refresh()).status === 400, { what: 'an answer of Redis' })
})

test('D05 a slow server is live as long as it can be, and after that every answer is a quick 503', async () => {
  const { server, proxy } = await startBehindProxy()
  expect(server.running).toBe(true)
  const node = await startReadyNode(cleanup, proxy)
  for (const delayMs of [50, 200]) {
    proxy.delay(delayMs)
    await untilProvedAgain(node)
    expect(await node.ask('u1')).toMatchObject({ status: 200 })
    expect(node.revocations.status().state).toBe('live')
  }
  proxy.delay(2_000)
  await untilState(node, 'stale')
  // A look-up that takes longer than its budget is given up.
  expectUnavailable(await node.ask('u1'))
  proxy.delay(0)
  await untilState(node, 'live', healMs)
  expect(await node.ask('u1')).toMatchObject({ status: 200 })
}, 20_000)

test('D06 a server busy with another program’s endless script: 503 in time, the script is not killed, live again', async () => {
  const { admin, server } = await start()
  await admin.config('SET', 'busy-reply-threshold', '20')
  const node = await startReadyNode(cleanup, server)
  await node.kickOut('before')
  const busy = server.client().eval('while true do end', 0)
  const ended = busy.catch((error: unknown) => (error as Error).message)
  const pinged = async () => admin.ping().catch((error: unknown) => (error as Error).message)
  await waitUntil(async () => (await pinged()).startsWith('BUSY'), { what: 'the script to run' })
  await expectNotConfirmed(node.kickOut('too late'))
  await untilState(node, 'stale')
  expectUnavailable(await node.ask('u1'))
  expect(await node.ask('before')).toMatchObject({ status: 401 })
  // Still running: it is the one who started it who may end it.
  await admin.script('KILL')
  expect(await ended).toMatch(/killed by user/i)
  await untilState(node, 'live', healMs)
  await node.kickOut('too late')
  expect(await node.ask('too late')).toMatchObject({ status: 401 })
}, 20_000)

test('D12 a server that cannot save refuses to write: no kick-out is lost unnoticed, 503 with the reason, live again', async () => {
  const { admin, server } = await start('--enable-protected-configs', 'yes')
  const node = await startReadyNode(cleanup, server)
  await node.kickOut('before')
  // No file can be made there, not even by root.
  await admin.config('SET', 'dir', '/proc')
  await admin.config('SET', 'save', '3600 1000000')
  await admin.bgsave()
  await waitUntil(async () => (await admin.info('persistence')).includes('bgsave_status:err'), {
    what: 'the snapshot to fail',
  })
  await expectNotConfirmed(node.kickOut('too late'))
  await untilState(node, 'stale')
  const standing = await node.ask('u1')
  expectUnavailable(standing)
  expect(standing.error?.message).toContain('MISCONF')
  expect(await node.ask('before')).toMatchObject({ status: 401 })
  // What docs/redis.md advises: better a Redis that cannot save than servers that refuse everybody.
  await admin.config('SET', 'stop-writes-on-bgsave-error', 'no')
  await untilState(node, 'live', healMs)
  await node.kickOut('too late')
  expect(await node.ask('too late')).toMatchObject({ status: 401 })
}, 20_000)

test('D19 idle connections that the server closes, and as many clients as it takes', async () => {
  const { admin, server } = await start('--timeout', '1')
  const node = await startReadyNode(cleanup, server)
  await node.kickOut('first')
  const connections = async () =>
    String(await admin.client('LIST'))
      .trim()
      .split('\n').length
  const open = await connections()
  // The one for commands is idle now, while the reader goes on reading.
  await waitUntil(async () => (await connections()) < open, { what: 'the server to close it' })
  await node.kickOut('second')
  expect(await node.ask('second')).toMatchObject({ status: 401 })
  await admin.config('SET', 'maxclients', '1')
  const late = startNode(cleanup, server)
  void late.revocations.ready().catch(() => undefined)
  await waitUntil(async () => (await late.ask('u1')).status === 503, { what: 'a refusal' })
  await admin.config('SET', 'maxclients', '1000')
  await untilState(late, 'live', healMs)
})
