import { expect, test } from '@jest/globals'
import express from 'express'
import { requireAuth } from '../../src/index.ts'
import { memoryRevocations } from '../../src/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import { bearer, send } from '../support/http-client.ts'
import { audience, closeKitsAfterEach, createKit, serve } from '../support/issuer-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'

closeKitsAfterEach()

test.each(['', '/', '/tenant', '/tenant/', '/a/b'])(
  'an issuer whose URL ends in "%s" is found by its metadata',
  async (path) => {
    const kit = await createKit({ clock: new FakeClock(Date.now()), path, discovery: true })
    const tokens = await kit.startSession()
    expect((await kit.call(tokens.access_token)).status).toBe(200)
    const mount = kit.base.replace(/\/$/, '')
    const { json } = await send(`${mount}/.well-known/oauth-authorization-server`)
    expect(json).toMatchObject({ issuer: kit.base, token_endpoint: `${mount}/token` })
    expect((await send(json.jwks_uri as string)).json.keys).toHaveLength(1)
  },
)

test('one API trusts two issuers and confuses neither their keys nor their users', async () => {
  const clock = new FakeClock(Date.now())
  const ours = await createKit({ clock, path: '/ours' })
  const theirs = createTestIssuer({ issuer: 'https://theirs.example.com', audience })
  const app = express()
  const jwks = (await send(`${ours.base}/.well-known/jwks.json`)).json
  const guard = requireAuth({
    issuer: [
      { issuer: ours.base, audience, jwks },
      { issuer: theirs.issuer, audience, jwks: theirs.options.jwks },
    ],
    revocations: ours.issuer.revocations,
  })
  app.use(guard)
  app.get('/', (_req, res) => res.end())
  const server = await serve(app)
  const status = async (token: string) =>
    (await send(server.url, { headers: bearer(token) })).status

  const own = (await ours.startSession({ subject: '42' })).access_token
  const foreign = await theirs.token({ subject: '42' })
  const masked = await theirs.token({ subject: '42', issuer: ours.base })
  expect([await status(own), await status(foreign), await status(masked)]).toEqual([200, 200, 401])

  await ours.issuer.kickOut({ subject: '42' })
  expect([await status(own), await status(foreign)]).toEqual([401, 200])
  await ours.issuer.kickOut({ issuer: theirs.issuer, everyone: true })
  expect(await status(foreign)).toBe(401)
  await guard.close()
})

test('two issuers on one store: each kicks out its own, by its own router too', async () => {
  const clock = new FakeClock()
  const first = await createKit({ clock, path: '/a' })
  const second = await createKit({ clock, path: '/b', store: first.store })
  const [a, b] = [
    await first.startSession({ subject: '42' }),
    await second.startSession({ subject: '42' }),
  ]
  await second.issuer.revocations.kickOut({ subject: '42' })
  expect((await first.call(a.access_token)).status).toBe(200)
  expect((await second.call(b.access_token)).status).toBe(401)
  expect(await first.issuer.listSessions('42')).toHaveLength(1)
  expect(await second.issuer.endSession(a.session_id)).toBe(false)
  expect((await first.call(a.access_token)).status).toBe(200)
  expect((await first.refresh(a.refresh_token)).status).toBe(200)
})

test('revocations made without an issuer ask for one', async () => {
  await expect(memoryRevocations().kickOut({ subject: '42' })).rejects.toThrow(/"issuer"/)
})
