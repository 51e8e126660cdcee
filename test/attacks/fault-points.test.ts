import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import express from 'express'
import { decodeJwt } from 'jose'
import { createIssuer, generateSigningKey, type Issuer } from '../../src/issuer/index.ts'
import { redisStore } from '../../src/redis/index.ts'
import { beginSettledLog } from '../redis/support/deployment.ts'
import {
  createFaultyRedis,
  type FaultPoint,
  type FaultyRedis,
} from '../redis/support/faulty-redis.ts'
import { type Answer, listen, type Listening, postForm } from '../support/http-client.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'

/*
 * Q27 Every command that refresh, revoke and kick-out send to Redis fails once in each way it can: before it was executed,
 * after it was executed, and with its answer lost. Whatever happens, nothing half-done lets anyone in, our failure is a
 * 503, and the same request succeeds when it is repeated.
 */

const name = 'https://login.example.com'
const signingKey = await generateSigningKey('ES256')

let server: RedisServer
let redis: FaultyRedis
let issuer: Issuer
let http: Listening

beforeAll(async () => {
  server = await startRedis()
  await beginSettledLog(server.client(), { prefix: 'kickout', partitions: 4 })
  redis = createFaultyRedis(server)
  issuer = createIssuer({
    issuer: name,
    audience: 'https://api.example.com',
    signingKeys: [signingKey],
    refreshTokenSecret: 's'.repeat(32),
    store: redisStore(redis.template, { partitions: 4 }),
  })
  http = await listen(express().use(issuer.router))
})

afterAll(async () => {
  await http.close()
  await issuer.close()
  redis.template.disconnect()
  await server.stop()
})

interface Person {
  readonly subject: string
  readonly sessionId: string
  readonly refreshToken: string
  readonly accessToken: string
}

let people = 0

async function login(): Promise<Person> {
  const subject = `user ${people++}`
  const tokens = await issuer.startSession({ subject, clientId: 'web' })
  return {
    subject,
    sessionId: tokens.session_id,
    refreshToken: tokens.refresh_token,
    accessToken: tokens.access_token,
  }
}

type Answered = Pick<Answer, 'status' | 'json' | 'headers'>

async function post(path: string, fields: Record<string, string>): Promise<Answered> {
  return postForm(http.url + path, fields)
}

async function isRevoked(accessToken: string): Promise<boolean> {
  const { revoked } = await issuer.revocations.checkNow(decodeJwt(accessToken))
  return revoked
}

async function refresh(refreshToken: string): Promise<Answered> {
  return post('/token', { grant_type: 'refresh_token', refresh_token: refreshToken })
}

interface Operation {
  readonly run: (person: Person) => Promise<Answered>
  /** What holds after the repetition. */
  readonly afterwards: (person: Person, answer: Answered) => Promise<void>
}

const isOut = async ({ accessToken, refreshToken, subject }: Person): Promise<void> => {
  expect(await isRevoked(accessToken)).toBe(true)
  expect((await refresh(refreshToken)).status).toBe(400)
  expect(await issuer.listSessions(subject)).toEqual([])
}

const operations: Record<string, Operation> = {
  refresh: {
    run: async ({ refreshToken }) => refresh(refreshToken),
    async afterwards(person, { json }) {
      expect(await isRevoked(String(json['access_token']))).toBe(false)
      expect(await issuer.listSessions(person.subject)).toHaveLength(1)
      // One lineage: the successor of a retry is the one that there was, and it can be used.
      const next = await refresh(String(json['refresh_token']))
      expect(next.status).toBe(200)
      expect((await refresh(String(next.json['refresh_token']))).status).toBe(200)
      // The first one is a grandparent by now: a theft, whatever went wrong before.
      expect((await refresh(person.refreshToken)).status).toBe(400)
      expect(await isRevoked(person.accessToken)).toBe(true)
    },
  },
  'revoke of a refresh token': {
    run: async ({ refreshToken }) => post('/revoke', { token: refreshToken }),
    afterwards: isOut,
  },
  'revoke of an access token': {
    run: async ({ accessToken }) => post('/revoke', { token: accessToken }),
    async afterwards({ accessToken, subject }) {
      expect(await isRevoked(accessToken)).toBe(true)
      expect(await issuer.listSessions(subject)).toHaveLength(1)
    },
  },
  'a reused refresh token': {
    async run({ refreshToken }) {
      return refresh(refreshToken)
    },
    async afterwards(person) {
      await isOut(person)
    },
  },
  'kick-out of a user': {
    run: async ({ subject }) => kickOut({ subject }),
    afterwards: isOut,
  },
  'kick-out of a session': {
    run: async ({ sessionId }) => kickOut({ session: sessionId }),
    afterwards: isOut,
  },
  'kick-out of a client': {
    run: async () => kickOut({ client: 'web' }),
    afterwards: isOut,
  },
  'kick-out of everyone': {
    run: async () => kickOut({ everyone: true }),
    afterwards: isOut,
  },
}

async function kickOut(target: Parameters<Issuer['kickOut']>[0]): Promise<Answered> {
  try {
    await issuer.kickOut(target, { confirmTimeoutMs: 0 })
    return { status: 200, json: {}, headers: {} }
  } catch (error) {
    const { status = 0 } = error as { status?: number }
    const { headers = {} } = error as { headers?: Record<string, string> }
    const lowered = Object.entries(headers).map(([header, value]) => [header.toLowerCase(), value])
    return { status, json: {}, headers: Object.fromEntries(lowered) as Answered['headers'] }
  }
}

/** The person, for a reused token with two rotations behind it. */
async function prepare(operation: string): Promise<Person> {
  const person = await login()
  if (operation !== 'a reused refresh token') return person
  const first = await refresh(person.refreshToken)
  await refresh(String(first.json['refresh_token']))
  return person
}

/** How many commands an operation sends when nothing fails. */
async function countCommands(operation: string): Promise<number> {
  const person = await prepare(operation)
  redis.watch()
  await operations[operation]?.run(person)
  return redis.stop()
}

const ways: readonly FaultPoint['way'][] = ['before', 'after', 'lost']

describe('Q27 RT13 every command of every operation fails once', () => {
  test.each(Object.keys(operations))(
    '%s',
    async (operation) => {
      const { run, afterwards } = operations[operation]!
      const commands = await countCommands(operation)
      expect(commands).toBeGreaterThan(0)
      for (const way of ways) {
        for (let index = 0; index < commands; index++) {
          const person = await prepare(operation)
          redis.watch({ way, index })
          const failed = await run(person)
          redis.stop()
          const point = `${operation}, command ${index + 1} of ${commands}, ${way}`
          // The last command of a kick-out asks who has it already: without an answer, no server has said so.
          const isConfirmation = /revoke|kick-out/.test(operation) && index === commands - 1
          // The first of a user's kick-out lists the sessions, for their events alone.
          const isForEvents = operation === 'kick-out of a user' && index === 0
          expect([point, failed.status]).toEqual([point, isConfirmation || isForEvents ? 200 : 503])
          if (!isConfirmation && !isForEvents) {
            expect(failed.headers).toMatchObject({ 'retry-after': expect.stringMatching(/^\d+$/) })
          }
          const answer = await run(person)
          const expected = operation === 'a reused refresh token' ? 400 : 200
          expect([point, answer.status]).toEqual([point, expected])
          await afterwards(person, answer)
        }
      }
    },
    60_000,
  )
})

test('the template is never used itself', () => {
  expect(redis.template.status).toBe('wait')
})
