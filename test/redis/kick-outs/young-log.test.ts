import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import express from 'express'
import { createIssuer, generateSigningKey, hashClientSecret } from '../../../src/issuer/index.ts'
import { redisRevocations, redisStore } from '../../../src/redis/index.ts'
import { waitUntil } from '../../support/wait.ts'
import { claimsOf, issuer } from '../support/deployment.ts'
import { useServers } from '../support/servers.ts'

/* The first second of a deployment: there was no kick-out yet, and nothing says so. */

const { start, closing, template } = useServers()

async function startEmpty() {
  const { server, admin } = await start()
  await admin.flushall()
  return { server, admin }
}

test('a log that is opened while ready() waits is waited for: the first look-up counts', async () => {
  const { server, admin } = await startEmpty()
  const looking = closing(redisRevocations(template(server), { issuer, mode: 'lookup' }))
  const isReady = looking.ready()
  const store = closing(redisStore(template(server)))
  await waitUntil(async () => (await admin.info('commandstats')).includes('cmdstat_eval'), {
    what: 'the log to be seen absent',
  })
  await store.ready?.()
  await isReady
  expect(await looking.check(claimsOf({ sub: 'u1' }))).toEqual({ revoked: false })
})

test('a machine gets its token from a process that has just started on an empty Redis', async () => {
  const { server } = await startEmpty()
  const secret = 'a secret of thirty-two characters'
  const login = closing(
    createIssuer({
      ...{ issuer, audience: 'api', refreshTokenSecret: 's'.repeat(32) },
      signingKeys: [await generateSigningKey('ES256')],
      store: redisStore(template(server)),
      clients: [
        {
          clientId: 'worker',
          secretHashes: [hashClientSecret(secret)],
          grants: ['client_credentials'],
          scopes: ['jobs'],
        },
      ],
    }),
  )
  const http = createServer(express().use(login.router)).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/token`, {
    method: 'POST',
    headers: { Authorization: `Basic ${Buffer.from(`worker:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  expect(await answer.json()).toMatchObject({ token_type: 'Bearer', scope: 'jobs' })
  expect(answer.status).toBe(200)
  http.close()
})
