import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import type { Answer } from '../../drills/support/http.ts'
import { HttpClient } from '../../drills/support/http.ts'
import { Worker } from '../../drills/support/worker.ts'
import { waitUntil } from '../../support/wait.ts'
import { useServers } from '../support/servers.ts'

/*
 * Three issuers and two resource servers, each a process of its own, and people who refresh and call all the time. Times are
 * those of production, three hundred times as fast: a key is published for 4 seconds instead of 20 minutes, resource
 * servers ask for keys every 2 seconds instead of 10 minutes, and a key signs for 6 seconds.
 */

const { start, closing } = useServers()
const accessTokenTtlSeconds = 4
const keepSeconds = accessTokenTtlSeconds + 10
const rotation = { everyDays: 6 / 86_400, publishAheadSeconds: 4 }
const jwksCache = { maxAgeSeconds: 2, cooldownSeconds: 1 }
/** What a guard grants a token past its `exp`. */
const toleranceSeconds = 5

interface Deployment {
  readonly issuers: readonly Worker[]
  readonly apis: readonly Worker[]
  readonly client: HttpClient
  /** Behind the load balancer, unless taken out of it. */
  readonly reachable: Set<Worker>
}

async function deploy(rotationOptions: object = rotation): Promise<Deployment> {
  const { server } = await start()
  const redis = { kind: 'single', host: server.host, port: server.port }
  const client = new HttpClient()
  closing({ close: () => client.close() })
  const startWorker = async (module: string, config: object): Promise<Worker> => {
    const worker = await Worker.start(module, { redis, ...config })
    closing({ close: async () => worker.kill() })
    return worker
  }
  const issuers = await Promise.all(
    [1, 2, 3].map(async () =>
      startWorker('./rotating-issuer-server.ts', {
        rotation: rotationOptions,
        accessTokenTtlSeconds,
      }),
    ),
  )
  const reachable = new Set(issuers)
  const balancer = await balance(client, reachable)
  closing(balancer)
  const { port } = balancer.address() as AddressInfo
  const jwksUri = `http://127.0.0.1:${port}/.well-known/jwks.json`
  const apis = await Promise.all(
    [1, 2].map(async () => startWorker('./discovering-server.ts', { jwksUri, jwksCache })),
  )
  return { issuers, apis, client, reachable }
}

/** One issuer after the other answers for the keys. */
async function balance(client: HttpClient, reachable: ReadonlySet<Worker>): Promise<Server> {
  let turn = 0
  const server = createServer((req, res) => {
    const all = [...reachable]
    const { port } = all[turn++ % all.length]!
    void client.send(port, { path: req.url ?? '/' }).then(({ status, body }) => {
      res.writeHead(status || 502, { 'content-type': 'application/json' }).end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

interface Tally {
  accepted: number
  /** 401 for a token that had not expired. */
  refused: { kid: string | undefined; challenge: string | undefined }[]
  unavailable: number
  refreshes: number
  /** Refreshes that were refused for good. */
  signedOut: number
  readonly kids: Set<string>
}

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

/** A client that calls both resource servers with each token, and refreshes at the issuers in turn. */
async function live(
  subject: string,
  { client, apis, reachable }: Deployment,
  tally: Tally,
  isOver: () => boolean,
): Promise<void> {
  let turn = subject.length
  const nextIssuer = (): number => [...reachable][turn++ % reachable.size]!.port
  const login = await client.send(nextIssuer(), {
    method: 'POST',
    path: '/login',
    json: { subject },
  })
  let tokens = JSON.parse(login.body) as Tokens
  while (!isOver()) {
    const { exp = 0 } = decodeJwt(tokens.access_token)
    const { kid = '' } = decodeProtectedHeader(tokens.access_token)
    tally.kids.add(kid)
    const answers = await Promise.all(
      apis.map(async ({ port }) => client.send(port, { token: tokens.access_token })),
    )
    for (const { status, challenge } of answers) {
      if (status === 200) tally.accepted++
      else if (status === 401 && Date.now() / 1000 < exp + toleranceSeconds) {
        tally.refused.push({ kid, challenge })
      } else if (status === 503) tally.unavailable++
    }
    if (Date.now() / 1000 > exp - accessTokenTtlSeconds / 2) {
      const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
      const answer: Answer = await client.send(nextIssuer(), {
        method: 'POST',
        path: '/token',
        form,
      })
      if (answer.status === 200) tokens = JSON.parse(answer.body) as Tokens
      if (answer.status === 400) tally.signedOut++
      if (answer.status === 400) return
      tally.refreshes++
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function newTally(): Tally {
  return { accepted: 0, refused: [], unavailable: 0, refreshes: 0, signedOut: 0, kids: new Set() }
}

async function createdBy(issuers: readonly Worker[]): Promise<string[]> {
  const all = await Promise.all(issuers.map(async (issuer) => issuer.ask<string[]>('created')))
  return all.flat()
}

async function kidsOf({ client }: Deployment, { port }: Worker): Promise<string[]> {
  const { body } = await client.send(port, { path: '/.well-known/jwks.json' })
  return (JSON.parse(body) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
}

test('three issuers and two resource servers go through rotations under load: not one 401', async () => {
  const deployment = await deploy()
  const { issuers } = deployment
  const tally = newTally()
  let isOver = false
  const people = Array.from({ length: 12 }, async (_, n) =>
    live(`user ${'x'.repeat(n)}`, deployment, tally, () => isOver),
  )
  await waitUntil(() => tally.kids.size >= 4, { what: 'three rotations', timeoutMs: 60_000 })
  isOver = true
  await Promise.all(people)

  expect(tally.refused).toEqual([])
  expect(tally.signedOut).toBe(0)
  expect(tally.accepted).toBeGreaterThan(500)
  expect(tally.refreshes).toBeGreaterThan(50)
  expect(tally.unavailable).toBe(0)
  // Exactly one process has made each key.
  const created = await createdBy(issuers)
  expect(new Set(created).size).toBe(created.length)
  expect(created).toEqual(expect.arrayContaining([...tally.kids]))
  // All processes publish the same set.
  await waitUntil(
    async () => {
      const sets = await Promise.all(issuers.map(async (issuer) => kidsOf(deployment, issuer)))
      return new Set(sets.map((kids) => kids.join())).size === 1
    },
    { what: 'the same keys everywhere', timeoutMs: 10_000 },
  )
}, 120_000)

test('an issuer that stood still over a whole rotation signs with the key of the others when it wakes up', async () => {
  const deployment = await deploy()
  const { issuers, reachable, client, apis } = deployment
  const [paused, ...others] = issuers as [Worker, Worker, Worker]
  const tally = newTally()
  const login = await client.send(paused.port, {
    method: 'POST',
    path: '/login',
    json: { subject: 'u1' },
  })
  const { kid: old } = decodeProtectedHeader((JSON.parse(login.body) as Tokens).access_token)
  reachable.delete(paused)
  paused.pause()
  let isOver = false
  const people = Array.from({ length: 4 }, async (_, n) =>
    live(`user ${'x'.repeat(n)}`, deployment, tally, () => isOver),
  )
  const timeoutMs = (keepSeconds + 30) * 1000
  await waitUntil(async () => !(await kidsOf(deployment, others[0])).includes(old!), {
    what: 'the old key to be gone',
    timeoutMs,
    everyMs: 200,
  })
  paused.resume()
  // The very first answers, while its timers have not run yet.
  const logins = await Promise.all(
    Array.from({ length: 5 }, async () =>
      client.send(paused.port, { method: 'POST', path: '/login', json: { subject: 'u2' } }),
    ),
  )
  reachable.add(paused)
  for (const { status, body } of logins) {
    expect(status).toBe(200)
    const { access_token: token } = JSON.parse(body) as Tokens
    expect(decodeProtectedHeader(token).kid).not.toBe(old)
    for (const { port } of apis) expect((await client.send(port, { token })).status).toBe(200)
  }
  await waitUntil(() => tally.refreshes > 20, { what: 'refreshes at all three' })
  isOver = true
  await Promise.all(people)
  expect(tally.refused).toEqual([])
  expect(tally.signedOut).toBe(0)
}, 120_000)
