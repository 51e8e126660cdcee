import { describe, expect, test } from '@jest/globals'
import express from 'express'
import { createIssuer, generateSigningKey, memoryStore } from '../../src/issuer/index.ts'
import { send } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit, secret, serve, signingKey } from '../support/issuer-kit.ts'

closeKitsAfterEach()

const eventsOf = (kit: Awaited<ReturnType<typeof createKit>>, type: string) =>
  [...kit.events, ...kit.refusals].filter((event) => event.type === type)

describe('17 a token that the guard would refuse is an error of the login', () => {
  test('250 permissions by claims: the login fails, says why, and leaves no session', async () => {
    const permissions = Array.from({ length: 400 }, (_, index) => `permission:number:${index}`)
    const kit = await createKit({ issuer: { claims: () => ({ permissions }) } })
    await expect(kit.startSession()).rejects.toThrow(/would have \d+ bytes.*"claims"/)
    await expect(kit.startSession()).rejects.toBeInstanceOf(TypeError)
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })

  test('claims that grow later are our failure: 503, and the session goes on', async () => {
    let permissions: string[] = []
    const kit = await createKit({ issuer: { claims: () => ({ permissions }) } })
    const tokens = await kit.startSession()
    permissions = Array.from({ length: 400 }, (_, index) => `permission:number:${index}`)
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(503)
    permissions = []
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
  })

  test('Ed25519 keys are good for the defaults of the guard', async () => {
    const kit = await createKit({ issuer: { signingKeys: [await generateSigningKey('Ed25519')] } })
    const { access_token: token } = await kit.startSession()
    expect((await kit.call(token)).status).toBe(200)
  })
})

describe('18 every refusal is an event', () => {
  test('of the token endpoint: forged token, wrong secret, foreign origin', async () => {
    const kit = await createKit({ issuer: { clients: [{ clientId: 'web' }] } })
    await kit.refresh('nonsense')
    const { refresh_token: token } = await kit.startSession({ clientId: 'web' })
    await kit.refresh(token, { client_id: 'unknown' })
    await kit.revoke('', {})
    expect(eventsOf(kit, 'grant.rejected')).toEqual([
      expect.objectContaining({ endpoint: '/token', code: 'invalid_grant', reason: 'unknown' }),
      expect.objectContaining({ endpoint: '/token', code: 'invalid_client' }),
      expect.objectContaining({ endpoint: '/revoke', code: 'invalid_request' }),
    ])
    expect(JSON.stringify([...kit.events, ...kit.refusals])).not.toContain(token)
    const cookies = await createKit({ issuer: { cookie: {} } })
    await cookies.refresh('x', {}, { origin: 'https://evil.example' })
    expect(eventsOf(cookies, 'grant.rejected')).toEqual([
      expect.objectContaining({ endpoint: '/token', code: 'access_denied', reason: 'origin' }),
    ])
  })

  test('of the admin router, through the guard in front', async () => {
    const rejected: object[] = []
    const kit = await createKit({ guard: { onEvent: (event) => rejected.push(event) } })
    const { access_token: token } = await kit.startSession()
    await kit.call(token, '/admin/servers')
    expect(rejected).toContainEqual(
      expect.objectContaining({ type: 'auth.rejected', reason: 'scope' }),
    )
  })

  test('kick-outs of a client and of everyone end sessions', async () => {
    const kit = await createKit()
    await kit.issuer.kickOut({ client: 'web' })
    await kit.issuer.kickOut({ everyone: true })
    expect(eventsOf(kit, 'session.ended')).toEqual([
      expect.objectContaining({ reason: 'kicked_out', level: 'client', clientId: 'web' }),
      expect.objectContaining({ reason: 'kicked_out', level: 'everyone' }),
    ])
  })
})

describe('41 a phone loses the answer of a refresh and sleeps', () => {
  const lost = { session: { lostAnswerSeconds: 600 } }

  test('with lostAnswerSeconds it gets the successor after all, once', async () => {
    const kit = await createKit({ issuer: lost })
    const { refresh_token: first } = await kit.startSession()
    const { json: unheard } = await kit.refresh(first)
    kit.clock.advance(300_000)
    const late = await kit.refresh(first)
    expect(late.status).toBe(200)
    expect(late.json.refresh_token).toBe(unheard.refresh_token)
    expect(eventsOf(kit, 'refresh.retried_late')).toHaveLength(1)
    expect((await kit.refresh(first)).status).toBe(400)
    expect(eventsOf(kit, 'refresh.reused')).toHaveLength(1)
  })

  test('not when the successor was presented, not after that time, and not by default', async () => {
    for (const [options, waitMs, used] of [
      [lost, 300_000, true],
      [lost, 611_000, false],
      [{}, 300_000, false],
    ] as const) {
      const kit = await createKit({ issuer: options })
      const { refresh_token: first } = await kit.startSession()
      const { json } = await kit.refresh(first)
      if (used) await kit.refresh(json.refresh_token)
      kit.clock.advance(waitMs)
      expect((await kit.refresh(first)).json).toMatchObject({ error: 'invalid_grant' })
      expect(eventsOf(kit, 'refresh.reused')).toHaveLength(1)
    }
    const options = { issuer: 'https://login.example.com', audience: 'api', store: memoryStore() }
    const keys = { signingKeys: [signingKey], refreshTokenSecret: secret }
    expect(() =>
      createIssuer({ ...options, ...keys, session: { lostAnswerSeconds: 86_401 } }),
    ).toThrow(/lostAnswerSeconds/)
  })
})

describe('risk', () => {
  test('sees where the refresh comes from, and ends a session that looks stolen', async () => {
    const seen: object[] = []
    let answer: unknown = 'allow'
    const kit = await createKit({
      issuer: {
        risk: (session, request) => {
          seen.push({ ...request, subject: session.subject })
          if (answer instanceof Error) throw answer
          return answer as 'allow'
        },
      },
    })
    const tokens = await kit.startSession({ device: { name: 'Phone', ip: '192.0.2.1' } })
    const next = await kit.refresh(tokens.refresh_token, {}, { 'user-agent': 'curl/8' })
    expect(next.status).toBe(200)
    expect(seen).toEqual([
      {
        subject: 'u1',
        ip: expect.stringMatching(/127\.0\.0\.1/),
        userAgent: 'curl/8',
        device: { name: 'Phone', ip: '192.0.2.1' },
      },
    ])
    for (const failure of [new Error('down'), undefined, true]) {
      answer = failure
      expect((await kit.refresh(next.json.refresh_token)).status).toBe(503)
    }
    answer = 'end'
    const refused = await kit.refresh(next.json.refresh_token)
    expect([refused.status, refused.json.error]).toEqual([400, 'invalid_grant'])
    expect(eventsOf(kit, 'session.ended')).toMatchObject([{ reason: 'suspicious' }])
    expect((await kit.call(next.json.access_token)).status).toBe(401)
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })
})

test('P12 a login from a page on another site is refused with the reason', async () => {
  const page = 'https://app.example.org'
  const kit = await createKit({ issuer: { cookie: {}, allowedOrigins: [page] } })
  const app = express()
  app.use('/login', kit.issuer.crossOrigin, (_req, res) => void res.json({}))
  const server = await serve(app)
  const login = async (site: string) =>
    send(`${server.url}/login`, {
      method: 'POST',
      headers: { origin: page, 'sec-fetch-site': site },
    })
  expect((await login('same-site')).status).toBe(200)
  const refused = await login('cross-site')
  expect([refused.status, refused.json.error]).toEqual([403, 'access_denied'])
  expect(refused.json.error_description).toContain('two sites')
})

test('P14 two issuers on localhost have cookies of their own', async () => {
  const names = new Set<string>()
  for (const issuer of [
    await createKit({ issuer: { cookie: {} } }),
    await createKit({ issuer: { cookie: {} } }),
  ]) {
    const login = await send(`${issuer.url}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ subject: 'u1' }),
    })
    const [cookie = ''] = [login.headers['set-cookie'] ?? ''].flat()
    names.add(cookie.slice(0, cookie.indexOf('=')))
  }
  expect(names.size).toBe(2)
  for (const name of names) expect(name).toMatch(/^refresh_token_\d+$/)
})

test('ready() does ahead what the first request would', async () => {
  const issuer = createIssuer({
    issuer: 'https://login.example.com',
    audience: 'api',
    signingKeys: [signingKey],
    refreshTokenSecret: secret,
    store: memoryStore(),
  })
  await expect(issuer.ready()).resolves.toBeUndefined()
  await issuer.close()
})
