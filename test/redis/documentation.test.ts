import { createServer, type Server } from 'node:http'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import express from 'express'
import { createIssuer, generateSigningKey, type Issuer } from '../../src/issuer/index.ts'
import { redisRevocations, redisStore } from '../../src/redis/index.ts'
import { blocksOf, documentationPages, readPage } from '../support/documentation.ts'
import { onFreePorts } from '../support/free-port.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import {
  findBlock,
  type RunningSample,
  runSample,
  type SampleChanges,
} from '../support/sample-process.ts'
import { waitUntil } from '../support/wait.ts'

/* The samples of the documentation, run as they are: only ports and addresses are those of this test. */

const audience = 'https://api.example.com'
const running: RunningSample[] = []
let server: RedisServer
let login: { readonly issuer: Issuer; readonly url: string; readonly http: Server }

beforeAll(async () => {
  server = await startRedis()
  login = await startLogin()
})

afterEach(async () => {
  await Promise.all(running.splice(0).map(async (sample) => sample.stop()))
})

afterAll(async () => {
  login.http.close()
  await login.issuer.close()
  await server.stop()
})

/** An issuer that tests sign users in at; its sessions and kick-outs are on the Redis of the samples. */
async function startLogin(): Promise<typeof login> {
  const app = express()
  const http = createServer(app)
  await new Promise<void>((resolve) => {
    http.listen(0, '127.0.0.1', resolve)
  })
  const { port } = http.address() as { port: number }
  const url = `http://127.0.0.1:${port}`
  const issuer = createIssuer({
    issuer: url,
    audience,
    signingKeys: [await generateSigningKey()],
    refreshTokenSecret: 's'.repeat(32),
    store: redisStore(server.url),
  })
  app.use(issuer.router)
  return { issuer, url, http }
}

function start(page: string, text: string, changes: SampleChanges = {}): RunningSample {
  const sample = runSample(findBlock(page, text), changes)
  running.push(sample)
  return sample
}

async function tokenOf(subject: string, scope = 'reports:read'): Promise<string> {
  return (await login.issuer.startSession({ subject, scope })).access_token
}

async function ask(
  url: string,
  token: string,
  init: RequestInit = {},
): Promise<{ status: number; body: unknown }> {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
  const answer = await fetch(url, { ...init, headers })
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) }
}

/** Until the sample answers at all; one that has ended says so. */
async function untilListening(sample: RunningSample, url: string): Promise<void> {
  await waitUntil(
    async () => {
      if (sample.process.exitCode !== null) throw new Error(sample.output())
      return (await fetch(url)).status > 0
    },
    { what: `the sample to answer: ${url}`, timeoutMs: 20_000, everyMs: 50 },
  )
}

test('README: the first screen kicks a user out', async () => {
  await onFreePorts(1, async (port) => {
    const sample = start('README.md', 'createTestIssuer', {
      replace: { 'listen(3001)': `listen(${port})` },
    })
    const printed = await waitUntil(() => /ADA=(\S+)\nADMIN=(\S+)\n/.exec(sample.output()), {
      what: 'the tokens to be printed',
      timeoutMs: 20_000,
    })
    const [, ada = '', admin = ''] = printed
    const base = `http://127.0.0.1:${port}`
    expect(await ask(`${base}/me`, ada)).toEqual({ status: 200, body: { hello: 'ada' } })
    expect(
      await ask(`${base}/admin/kick-outs`, admin, { method: 'POST', body: '{"subject":"ada"}' }),
    ).toMatchObject({
      status: 200,
      body: { sessions_ended: 0, servers: 1, confirmed: 1, unconfirmed: [] },
    })
    expect(await ask(`${base}/me`, ada)).toMatchObject({
      status: 401,
      body: { error: 'invalid_token' },
    })
  })
}, 40_000)

test('getting started: a guarded API, and a kick-out from a script', async () => {
  await onFreePorts(1, async (port) => {
    const api = start('docs/getting-started.md', 'guard.ready({ timeoutMs', {
      replace: { 'listen(3001)': `listen(${port})` },
      env: {
        ISSUER_BASE_URL: login.url,
        AUDIENCE: audience,
        KICKOUT_REDIS_URL: server.url,
      },
    })
    const base = `http://127.0.0.1:${port}`
    await untilListening(api, `${base}/reports`)
    const token = await tokenOf('u1')
    expect(await ask(`${base}/reports`, token)).toEqual({ status: 200, body: { for: 'u1' } })
    const script = start('docs/getting-started.md', 'of u1`', {
      replace: { 'redis://localhost:6379': server.url, 'https://login.example.com/': login.url },
    })
    expect(await script.ended()).toBe(0)
    expect(script.output()).toBe('1 of 1 servers refuse every token of u1\n')
    expect(await ask(`${base}/reports`, token)).toMatchObject({ status: 401 })
    const admin = await tokenOf('root', 'sessions:admin')
    expect(
      await ask(`${base}/admin/kick-outs`, admin, {
        method: 'POST',
        body: '{"subject":"u2","reason":"left"}',
      }),
    ).toMatchObject({ status: 200, body: { servers: 1, confirmed: 1 } })
  })
}, 60_000)

test('issuer: the login service of the page signs in, refreshes and kicks out', async () => {
  await onFreePorts(1, async (port) => {
    const url = `http://127.0.0.1:${port}`
    const sample = start('docs/issuer.md', 'The admin routes', {
      before: 'const checkPassword = async (body: any) => ({ id: body.name as string })',
      replace: {
        'https://login.example.com': url,
        'redis://redis.internal:6379': server.url,
        'listen(3000)': `listen(${port})`,
      },
      env: {
        SIGNING_KEY: JSON.stringify(await generateSigningKey('ES256')),
        REFRESH_TOKEN_SECRET: 'a secret of thirty-two bytes or more',
      },
    })
    await untilListening(sample, `${url}/.well-known/jwks.json`)
    const signIn = async (name: string): Promise<Record<string, string>> => {
      const answer = await ask(`${url}/login`, '', {
        method: 'POST',
        body: JSON.stringify({ name }),
      })
      expect(answer.status).toBe(200)
      return answer.body as Record<string, string>
    }
    const ada = await signIn('ada')
    const refresh = async (): Promise<number> => {
      const body = new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: ada['refresh_token'] ?? '',
      })
      return (await fetch(`${url}/token`, { method: 'POST', body })).status
    }
    expect(await refresh()).toBe(200)
    const { access_token: root = '' } = await signIn('root')
    expect(
      await ask(`${url}/admin/kick-outs`, root, { method: 'POST', body: '{"subject":"ada"}' }),
    ).toMatchObject({ status: 200, body: { sessions_ended: 1 } })
    expect(await refresh()).toBe(400)
  })
}, 60_000)

test('deploy: the probes, and an end without a lost request', async () => {
  await onFreePorts(1, async (port) => {
    const sample = start('docs/deploy.md', '/readyz', {
      replace: {
        'https://login.example.com': login.url,
        'redis://redis.internal:6379': server.url,
        'listen(3001)': `listen(${port})`,
        '}, 5000)': '}, 50)',
      },
    })
    const base = `http://127.0.0.1:${port}`
    await untilListening(sample, `${base}/livez`)
    await waitUntil(async () => (await fetch(`${base}/readyz`)).status === 200, {
      what: 'the server to be ready',
    })
    sample.process.kill('SIGTERM')
    expect(await sample.ended()).toBe(0)
    expect(sample.output()).toBe('')
  })
}, 60_000)

test('deploy: an end before it was ever ready', async () => {
  await onFreePorts(1, async (port) => {
    const sample = start('docs/deploy.md', '/readyz', {
      replace: {
        'https://login.example.com': login.url,
        'redis://redis.internal:6379': 'redis://127.0.0.1:1',
        'listen(3001)': `listen(${port})`,
        '}, 5000)': '}, 50)',
      },
    })
    const base = `http://127.0.0.1:${port}`
    await untilListening(sample, `${base}/livez`)
    expect((await fetch(`${base}/readyz`)).status).toBe(503)
    sample.process.kill('SIGTERM')
    expect(await sample.ended()).toBe(0)
  })
}, 60_000)

test('migrating: what an old denylist holds is kicked out', async () => {
  const admin = server.client()
  await admin.set('denylist:token-1', '1', 'EX', 600)
  const sample = start('docs/migrating.md', 'scanStream', {
    before: "import { Redis } from 'ioredis'",
    replace: { 'redis://localhost:6379': server.url, 'https://login.example.com/': login.url },
  })
  expect(await sample.ended()).toBe(0)
  expect(sample.output()).toBe('')
  const revocations = redisRevocations(server.url, { issuer: login.url })
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: login.url, aud: audience, iat: now, exp: now + 600 }
  await revocations.ready()
  expect(await revocations.check({ ...claims, jti: 'token-1' })).toMatchObject({ revoked: true })
  expect(await revocations.check({ ...claims, jti: 'token-2' })).toEqual({ revoked: false })
  await revocations.close()
}, 40_000)

const marked = documentationPages().flatMap((page) =>
  blocksOf(page, readPage(page)).filter(({ isRun }) => isRun),
)
test.each(marked)(
  '$page: the block at line $line ends well',
  async (block) => {
    const sample = runSample(block)
    running.push(sample)
    expect({ code: await sample.ended(), output: sample.output() }).toEqual({ code: 0, output: '' })
  },
  40_000,
)
