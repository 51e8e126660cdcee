import { beforeAll, describe, expect, test } from '@jest/globals'
import express from 'express'
import {
  createIssuer,
  generateSigningKey,
  type Issuer,
  type IssuerEvent,
  type TokenResponse,
} from '../../../src/issuer/index.ts'
import { redisStore } from '../../../src/redis/index.ts'
import { listen } from '../../support/http-client.ts'
import { useRedis } from '../../support/redis-for-tests.ts'
import { beginSettledLog, issuer as issuerName, useCleanup } from '../support/deployment.ts'

/*
 * The attacker writes to Redis as the user `default`, which may do everything, and has a session of their own. Without
 * `refreshTokenSecret` they get no access token that the login service did not mean to give.
 */
const redis = useRedis()
const { closing, template } = useCleanup()
const signingKey = await generateSigningKey('ES256')
const events: IssuerEvent[] = []
let issuer: Issuer
let url: string
let prefix: string

beforeAll(async () => {
  prefix = redis.uniquePrefix()
  await beginSettledLog(redis.client(), { prefix, partitions: 1 })
})

async function start(): Promise<void> {
  events.length = 0
  issuer = closing(
    createIssuer({
      issuer: issuerName,
      audience: 'https://api.example.com',
      signingKeys: [signingKey],
      refreshTokenSecret: 's'.repeat(32),
      store: redisStore(template(redis.server), { prefix }),
      onEvent: (event) => events.push(event),
    }),
  )
  url = closing(await listen(express().use(issuer.router))).url
}

async function refresh(token: string): Promise<{ status: number; json: TokenResponse }> {
  const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token })
  const response = await fetch(`${url}/token`, { method: 'POST', body })
  return { status: response.status, json: (await response.json()) as TokenResponse }
}

const keyOf = (sessionId: string) => `{${prefix}:0}:session:${sessionId}`

async function expectOver(tokens: TokenResponse): Promise<void> {
  const answer = await refresh(tokens.refresh_token)
  expect(answer).toMatchObject({ status: 400, json: { error: 'invalid_grant' } })
  expect(answer.json).not.toHaveProperty('access_token')
  expect(events.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['session.tampered', 'session.ended']),
  )
  expect(await refresh(tokens.refresh_token)).toMatchObject({ status: 400 })
  expect(await redis.client().exists(keyOf(tokens.session_id))).toBe(0)
}

const later = String(Date.now() + 1e12)
const changes: Record<string, Record<string, string>> = {
  'the scope of an administrator': { scope: 'sessions:admin' },
  'another user': { subject: 'root' },
  'another user with the scope of an administrator': {
    scope: 'sessions:admin',
    subject: 'root',
  },
  'another client': { client: 'trusted' },
  'a better authentication': { details: JSON.stringify({ authentication: { acr: 'gold' } }) },
  'a key of the attacker': {
    details: JSON.stringify({ authentication: { jkt: 'x'.repeat(43) } }),
  },
  'a later end': { ends_at: later, idle_until: later },
  'an earlier start': { started_at: '1' },
  'a version above every kick-out': { version: '9000000000000000' },
}

describe('a session record that was changed without the secret makes no token, and its session is over', () => {
  test.each(Object.entries(changes))('%s', async (_name, fields) => {
    await start()
    const own = await issuer.startSession({ subject: 'u1', scope: 'notes:read', clientId: 'web' })
    await redis.client().hset(keyOf(own.session_id), fields)
    await expectOver(own)
  })

  test("the whole record of another user's session", async () => {
    await start()
    const own = await issuer.startSession({ subject: 'u1', scope: 'notes:read' })
    const other = await issuer.startSession({ subject: 'root', scope: 'sessions:admin' })
    const client = redis.client()
    await client.hset(keyOf(own.session_id), await client.hgetall(keyOf(other.session_id)))
    await expectOver(own)
  })

  test.each([undefined, 'x'.repeat(43)])(
    'a session that is bound to a key, with the key %s',
    async (jkt) => {
      await start()
      const own = await issuer.startSession({ subject: 'u1', dpop: { jkt: 'k'.repeat(43) } })
      const details = JSON.stringify({ authentication: { jkt } })
      await redis.client().hset(keyOf(own.session_id), { details })
      await expectOver(own)
    },
  )

  test('after a refresh too, whose token is sealed like the first', async () => {
    await start()
    const own = await issuer.startSession({ subject: 'u1', scope: 'notes:read' })
    const { json: next } = await refresh(own.refresh_token)
    await redis.client().hset(keyOf(own.session_id), 'scope', 'sessions:admin')
    await expectOver({ ...next, session_id: own.session_id })
  })
})

describe('a step-up signs nothing for a record that was changed without the secret, and its session is over', () => {
  test.each(Object.entries(changes))('%s', async (_name, fields) => {
    await start()
    const own = await issuer.startSession({ subject: 'u1', scope: 'notes:read', clientId: 'web' })
    await redis.client().hset(keyOf(own.session_id), fields)
    await expect(issuer.stepUp(own.session_id, { acr: 'gold' })).rejects.toMatchObject({
      code: 'invalid_grant',
    })
    // A record of another user's name is not found where that user's version is, or is found and refused.
    expect(events.map(({ type }) => type)).toContain('session.tampered')
    expect(await refresh(own.refresh_token)).toMatchObject({ status: 400 })
  })

  test("the sealed record of another user's session", async () => {
    await start()
    const own = await issuer.startSession({ subject: 'u1', scope: 'notes:read' })
    const other = await issuer.startSession({ subject: 'root', scope: 'sessions:admin' })
    const client = redis.client()
    await client.hset(keyOf(own.session_id), await client.hgetall(keyOf(other.session_id)))
    await expect(issuer.stepUp(own.session_id, { acr: 'gold' })).rejects.toMatchObject({
      reason: 'tampered',
    })
    await expect(issuer.stepUp(other.session_id, { acr: 'gold' })).resolves.toBeDefined()
  })

  test.each([
    ['made up', JSON.stringify({ acr: 'gold', authTime: 2e9, seal: 'x'.repeat(43) })],
    ['without a seal', JSON.stringify({ acr: 'gold' })],
    ['no JSON', 'gold'],
    ['null', 'null'],
  ])('a step-up that is %s: neither refreshed nor stepped up', async (_name, text) => {
    await start()
    const own = await issuer.startSession({ subject: 'u1', scope: 'notes:read' })
    await redis.client().hset(keyOf(own.session_id), 'step_up', text)
    await expectOver(own)
    const second = await issuer.startSession({ subject: 'u1', scope: 'notes:read' })
    await redis.client().hset(keyOf(second.session_id), 'step_up', text)
    await expect(issuer.stepUp(second.session_id, { acr: 'silver' })).rejects.toMatchObject({
      reason: 'tampered',
    })
  })

  test('the step-up of another session of the same user', async () => {
    await start()
    const own = await issuer.startSession({ subject: 'u1' })
    const raised = await issuer.startSession({ subject: 'u1' })
    await issuer.stepUp(raised.session_id, { acr: 'gold' })
    const text = await redis.client().hget(keyOf(raised.session_id), 'step_up')
    await redis.client().hset(keyOf(own.session_id), 'step_up', text!)
    await expectOver(own)
  })
})

test('a session whose seal was lost is stepped up after its next refresh', async () => {
  await start()
  const own = await issuer.startSession({ subject: 'u1' })
  await redis.client().hdel(keyOf(own.session_id), 'sealed')
  await expect(issuer.stepUp(own.session_id, { acr: 'gold' })).rejects.toMatchObject({
    reason: 'unsealed',
  })
  await refresh(own.refresh_token)
  await expect(issuer.stepUp(own.session_id, { acr: 'gold' })).resolves.toBeDefined()
})

test('neither the record nor its step-up holds a token, nor the handle of one in the clear', async () => {
  await start()
  const own = await issuer.startSession({ subject: 'u1' })
  const raised = await issuer.stepUp(own.session_id, { acr: 'gold' })
  expect(raised.refresh_token).toBe(own.refresh_token)
  const record = JSON.stringify(await redis.client().hgetall(keyOf(own.session_id)))
  const handle = Buffer.from(own.refresh_token, 'base64url').subarray(3, 19)
  for (const form of ['base64url', 'base64', 'hex', 'latin1'] as const) {
    expect(record).not.toContain(handle.toString(form))
  }
  expect(record).not.toContain(own.refresh_token)
})

test('a session that was left alone is refreshed, with the device and times of the record changed', async () => {
  await start()
  const own = await issuer.startSession({ subject: 'u1', scope: 'a b', acr: 'gold', amr: ['pwd'] })
  await redis.client().hset(keyOf(own.session_id), 'seen_at', '1')
  expect(await refresh(own.refresh_token)).toMatchObject({ status: 200 })
  expect(events.map(({ type }) => type)).not.toContain('session.tampered')
})
