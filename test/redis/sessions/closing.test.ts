import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import express from 'express'
import { createIssuer, generateSigningKey } from '../../../src/issuer/index.ts'
import { redisStore } from '../../../src/redis/index.ts'
import { issuer } from '../support/deployment.ts'
import { useServers } from '../support/servers.ts'

const { start, template } = useServers()

test('close() lets refreshes under way be answered: none is cut off, and none is lost', async () => {
  const { server } = await start()
  const login = createIssuer({
    issuer,
    audience: 'api',
    signingKeys: [await generateSigningKey('ES256')],
    refreshTokenSecret: ['s'.repeat(32)],
    store: redisStore(template(server)),
  })
  const app = express().use(login.router)
  const http = createServer(app).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/token`
  const sessions = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => login.startSession({ subject: `u${index}` })),
  )
  let arrived = 0
  const allArrived = new Promise<void>((resolve) => {
    http.on('request', () => ++arrived === sessions.length && resolve())
  })
  const answers = sessions.map(async ({ refresh_token: refreshToken }) => {
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken })
    return (await fetch(url, { method: 'POST', body })).status
  })
  await allArrived
  await login.close()
  http.close()
  expect(new Set(await Promise.all(answers))).toEqual(new Set([200]))
})
