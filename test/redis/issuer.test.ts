import { randomBytes } from 'node:crypto'
import { beforeAll, expect, test } from '@jest/globals'
import express from 'express'
import { decodeJwt } from 'jose'
import {
  type Client,
  createIssuer,
  generateSigningKey,
  hashClientSecret,
  type Issuer,
  type IssuerEvent,
  type TokenResponse,
} from '../../src/issuer/index.ts'
import { redisStore } from '../../src/redis/index.ts'
import { basic, listen, postForm } from '../support/http-client.ts'
import { useRedis } from '../support/redis-for-tests.ts'
import { waitUntil } from '../support/wait.ts'
import { beginSettledLog, issuer as issuerName, useCleanup } from './support/deployment.ts'

const redis = useRedis()
const { closing, template } = useCleanup()
const signingKey = await generateSigningKey('ES256')
const apiSecret = 'the secret of an API, thirty-two bytes'
let prefix: string

interface OnRedis {
  readonly issuer: Issuer
  readonly events: IssuerEvent[]
  refresh(refreshToken: string): Promise<{ status: number; json: TokenResponse }>
  isActive(token: string): Promise<boolean>
}

beforeAll(async () => {
  prefix = redis.uniquePrefix()
  await beginSettledLog(redis.client(), { prefix, partitions: 4 })
})

/** One issuer process of a deployment: each has connections of its own. */
async function startIssuer(reuseGraceMs = 10_000, clients?: Client[]): Promise<OnRedis> {
  const events: IssuerEvent[] = []
  const issuer = closing(
    createIssuer({
      issuer: issuerName,
      audience: 'https://api.example.com',
      signingKeys: [signingKey],
      refreshTokenSecret: 's'.repeat(32),
      store: redisStore(template(redis.server), { prefix, partitions: 4 }),
      session: { reuseGraceMs },
      ...(clients && { clients }),
      onEvent: (event) => events.push(event),
    }),
  )
  const server = closing(await listen(express().use(issuer.router)))
  return {
    issuer,
    events,
    async refresh(refreshToken) {
      const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken })
      const response = await fetch(`${server.url}/token`, { method: 'POST', body })
      return { status: response.status, json: (await response.json()) as TokenResponse }
    },
    async isActive(token) {
      const answer = await postForm(`${server.url}/introspect`, { token }, basic('api', apiSecret))
      return (answer.json as { active: boolean }).active
    },
  }
}

async function isRevoked(
  { issuer }: Pick<OnRedis, 'issuer'>,
  accessToken: string,
): Promise<boolean> {
  return (await issuer.revocations.checkNow(decodeJwt(accessToken))).revoked
}

function refreshTokenOf({ refresh_token: token }: TokenResponse): string {
  return token
}

test('R1 R2 RT01 500 refreshes of one token at once, over two issuers: one lineage', async () => {
  const issuers = [await startIssuer(), await startIssuer()] as const
  let token = refreshTokenOf(await issuers[0].issuer.startSession({ subject: 'racer' }))
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(
      Array.from({ length: 500 }, async (_, index) => issuers[index % 2]!.refresh(token)),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    const successors = new Set(answers.map(({ json }) => json.refresh_token))
    expect(successors.size).toBe(1)
    token = refreshTokenOf(answers[0]!.json)
  }
  const events = issuers.flatMap((each) => each.events.map(({ type }) => type))
  expect(events.filter((type) => type === 'session.refreshed')).toHaveLength(2)
  expect(events.filter((type) => type === 'refresh.retried')).toHaveLength(998)
  expect(events).not.toContain('refresh.reused')
  expect((await issuers[1].refresh(token)).status).toBe(200)
}, 30_000)

test('R6 RT09 500 kick-outs that race a refresh: no token survives', async () => {
  const [one, two] = [await startIssuer(), await startIssuer()] as const
  let before = 0
  for (let batch = 0; batch < 20; batch++) {
    await Promise.all(
      Array.from({ length: 25 }, async (_, index) => {
        const subject = `racing ${batch} ${index}`
        const session = await one.issuer.startSession({ subject })
        const token = refreshTokenOf(session)
        const refreshes: Promise<{ status: number; json: TokenResponse }>[] = []
        if (index % 3 !== 0) refreshes.push(two.refresh(token))
        // Somewhere along the way of the request that was just sent.
        for (let turns = Math.random() * 60; turns > 0; turns--) await new Promise(setImmediate)
        const kickOut = one.issuer.kickOut({ subject }, { confirmTimeoutMs: 0 })
        if (index % 3 !== 1) refreshes.push(two.refresh(token))
        await kickOut
        expect(await isRevoked(two, session.access_token)).toBe(true)
        for (const { status, json } of await Promise.all(refreshes)) {
          expect([200, 400]).toContain(status)
          if (status !== 200) continue
          before++
          expect(await isRevoked(two, json.access_token)).toBe(true)
          expect((await two.refresh(refreshTokenOf(json))).status).toBe(400)
        }
        expect(await two.issuer.listSessions(subject)).toEqual([])
      }),
    )
  }
  // Otherwise nothing raced.
  expect(before).toBeGreaterThan(10)
}, 60_000)

test('Q10 RT06 20 000 forged refresh tokens cause no Redis command at all', async () => {
  const { issuer, refresh } = await startIssuer()
  const genuine = Buffer.from(
    refreshTokenOf(await issuer.startSession({ subject: 'owner' })),
    'base64url',
  )
  const forged = (index: number): string => {
    if (index % 4 === 0) return randomBytes(genuine.length).toString('base64url')
    if (index % 4 === 1) return genuine.subarray(0, index % genuine.length).toString('base64url')
    const changed = Buffer.from(genuine)
    const place = index % genuine.length
    changed.writeUInt8(changed.readUInt8(place) ^ (1 << (index % 8)), place)
    return changed.toString('base64url')
  }
  const admin = redis.client()
  const commands = async () =>
    [...(await admin.info('commandstats')).matchAll(/cmdstat_(\S+?):calls=(\d+)/g)]
      .filter(([, name]) => name !== 'info')
      .map(([, name, calls]) => `${name} ${calls}`)
  await commands()
  const before = await commands()
  const statuses = new Set<number>()
  for (let sent = 0; sent < 20_000; sent += 200) {
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => refresh(forged(sent + index))),
    )
    for (const { status } of answers) statuses.add(status)
  }
  expect(statuses).toEqual(new Set([400]))
  expect(await commands()).toEqual(before)
  expect((await refresh(genuine.toString('base64url'))).status).toBe(200)
}, 90_000)

test('Q09 R3 RT15 a session takes as much memory after 1 000 refreshes as after one', async () => {
  const { issuer } = await startIssuer()
  const store = redisStore(template(redis.server), { prefix, partitions: 4 })
  closing(store)
  const { session_id: sessionId } = await issuer.startSession({ subject: 'often', scope: 'a b' })
  const rotate = async (counter: number) =>
    store.rotate({
      sessionId,
      counter,
      clientId: undefined,
      scopes: undefined,
      graceMs: 10_000,
      lostAnswerMs: 0,
      idleTtlMs: 600_000,
    })
  const admin = redis.client()
  const usage = async () => {
    const keys = (await admin.keys(`*${prefix}*`)).filter((key) => /:(session|user)/.test(key))
    const sizes = await Promise.all(
      keys.sort().map(async (key) => [key, await admin.memory('USAGE', key)] as const),
    )
    return sizes.filter(([key]) => key.includes(sessionId) || key.includes(':user'))
  }
  await rotate(0)
  const after1 = await usage()
  expect(after1.length).toBeGreaterThan(0)
  for (let counter = 1; counter < 1_000; counter++) {
    expect((await rotate(counter)).outcome).toBe('rotated')
  }
  expect(await usage()).toEqual(after1)
}, 30_000)

test('R10 a refresh that Redis has lost in a failover: the session moves forward', async () => {
  const { issuer, refresh, events } = await startIssuer()
  const admin = redis.client()
  const tokens = await issuer.startSession({ subject: 'failed over' })
  const [key = ''] = await admin.keys(`*session:${tokens.session_id}`)
  const record = await admin.hgetall(key)
  const second = (await refresh(refreshTokenOf(tokens))).json
  const third = (await refresh(refreshTokenOf(second))).json
  await admin.hset(key, record)
  const fourth = await refresh(refreshTokenOf(third))
  expect(fourth.status).toBe(200)
  expect(events.map(({ type }) => type)).toContain('refresh.fast_forwarded')
  expect((await refresh(refreshTokenOf(third))).json.refresh_token).toBe(fourth.json.refresh_token)
  expect((await refresh(refreshTokenOf(second))).status).toBe(400)
  expect(await isRevoked({ issuer }, fourth.json.access_token)).toBe(true)
})

test('a session that had to go for another one is out on other servers, too', async () => {
  const one = await startIssuer()
  const limited = closing(
    createIssuer({
      issuer: issuerName,
      audience: 'https://api.example.com',
      signingKeys: [signingKey],
      refreshTokenSecret: 's'.repeat(32),
      store: redisStore(template(redis.server), { prefix, partitions: 4 }),
      session: { maxPerSubject: 1 },
    }),
  )
  const first = await limited.startSession({ subject: 'limited' })
  await limited.startSession({ subject: 'limited' })
  await waitUntil(async () => isRevoked(one, first.access_token), { what: 'the first to be out' })
  expect(await limited.listSessions('limited')).toHaveLength(1)
})

test('V11 what one issuer has kicked out is not active at the other one, from the next request on', async () => {
  const clients = [
    { clientId: 'web' },
    { clientId: 'api', secretHashes: [hashClientSecret(apiSecret)], introspect: true },
  ]
  const [one, other] = [await startIssuer(0, clients), await startIssuer(0, clients)]
  for (let round = 0; round < 20; round++) {
    const tokens = await one.issuer.startSession({ subject: `asked-${round}`, clientId: 'web' })
    const both = [tokens.access_token, refreshTokenOf(tokens)]
    for (const token of both) expect(await other.isActive(token)).toBe(true)
    const target = round % 2 === 0 ? { session: tokens.session_id } : { subject: `asked-${round}` }
    await one.issuer.kickOut(target, { confirmTimeoutMs: 0 })
    for (const token of both) expect(await other.isActive(token)).toBe(false)
  }
})
