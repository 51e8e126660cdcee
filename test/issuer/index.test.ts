import { describe, expect, test } from '@jest/globals'
import { createIssuer, type IssuerEvent } from '../../src/issuer/index.ts'
import { postJson } from '../support/http-client.ts'
import {
  audience,
  closeKitsAfterEach,
  createKit,
  secret,
  signingKey,
  typesOf,
} from '../support/issuer-kit.ts'

closeKitsAfterEach()

const good = {
  issuer: 'https://login.example.com',
  audience,
  signingKeys: [signingKey],
  refreshTokenSecret: secret,
}

describe('events', () => {
  test('say that no store was given, and nothing where one was', async () => {
    const events: IssuerEvent[] = []
    createIssuer({ ...good, onEvent: (event) => events.push(event) })
    expect(events).toEqual([
      {
        type: 'store.insecure_default',
        at: expect.any(Number),
        message: expect.stringContaining('memoryStore()'),
      },
    ])
    expect((await createKit()).events).toEqual([])
  })

  test('tell the whole life of a session', async () => {
    const kit = await createKit()
    const { refresh_token: token, session_id: sessionId } = await kit.startSession({
      clientId: 'web',
    })
    await kit.refresh(token)
    await kit.refresh(token)
    kit.clock.advance(10_001)
    await kit.refresh(token)
    const who = { sessionId, subject: 'u1', at: expect.any(Number) }
    expect(kit.events).toEqual([
      { type: 'session.started', clientId: 'web', ...who },
      { type: 'session.refreshed', clientId: 'web', ...who },
      { type: 'refresh.retried', clientId: 'web', ...who },
      { type: 'refresh.reused', clientId: 'web', ...who },
      { type: 'session.ended', reason: 'reused', ...who },
    ])
  })

  test('hold no token, cookie or secret', async () => {
    const kit = await createKit()
    const tokens = await kit.startSession()
    const renewed = await kit.refresh(tokens.refresh_token)
    await kit.revoke(renewed.json.access_token)
    await kit.issuer.kickOut({ subject: 'u1' }, { reason: 'x' })
    const text = JSON.stringify(kit.events)
    for (const private_ of [
      tokens.access_token,
      tokens.refresh_token,
      renewed.json.refresh_token as string,
      secret,
      signingKey.d ?? '',
    ]) {
      expect(text).not.toContain(private_)
    }
  })

  test('a listener that throws or rejects changes nothing', async () => {
    const listeners: (() => unknown)[] = [
      () => {
        throw new Error('of the listener')
      },
      async () => Promise.reject(new Error('of the listener')),
    ]
    for (const onEvent of listeners) {
      const kit = await createKit({ issuer: { onEvent } })
      const { refresh_token: token } = await kit.startSession()
      expect((await kit.refresh(token)).status).toBe(200)
      expect((await kit.revoke(token)).status).toBe(200)
    }
  })
})

describe('send', () => {
  test('answers a login with everything that the client needs', async () => {
    const kit = await createKit()
    const answer = await postJson(`${kit.url}/login`, { subject: 'u1' })
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.headers['set-cookie']).toBeUndefined()
    expect(Object.keys(answer.json as object).sort()).toEqual([
      'access_token',
      'expires_in',
      'refresh_token',
      'session_id',
      'token_type',
    ])
  })
})

describe('kickOut', () => {
  test('means its own issuer unless told otherwise', async () => {
    const kit = await createKit()
    await kit.startSession()
    expect(await kit.issuer.kickOut({ subject: 'u1' })).toMatchObject({ sessionsEnded: 1 })
    await kit.startSession()
    const foreign = { issuer: 'https://other.example.com', subject: 'u1' }
    expect(await kit.issuer.kickOut(foreign)).toMatchObject({ sessionsEnded: 0 })
    expect(await kit.issuer.listSessions('u1')).toHaveLength(1)
    expect(typesOf(kit).filter((type) => type === 'kickout.published')).toHaveLength(2)
  })

  test('of a session says that it ended', async () => {
    const kit = await createKit()
    const { session_id: sessionId } = await kit.startSession()
    await kit.issuer.kickOut({ session: sessionId })
    await kit.issuer.kickOut({ session: sessionId })
    expect(kit.events.filter(({ type }) => type === 'session.ended')).toMatchObject([
      { sessionId, reason: 'kicked_out' },
    ])
  })

  test('through its revocations ends sessions too', async () => {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession()
    await kit.issuer.revocations.kickOut({ subject: 'u1' })
    expect((await kit.refresh(token)).status).toBe(400)
  })
})

test('does nothing before it is used: no request, no timer', async () => {
  const before = process.getActiveResourcesInfo().length
  createIssuer(good)
  expect(process.getActiveResourcesInfo().length).toBe(before)
})
