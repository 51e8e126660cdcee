import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { afterEach, expect, test } from '@jest/globals'
import express, { type RequestHandler } from 'express'
import {
  authErrorHandler,
  cutOnKickOut,
  memoryRevocations,
  requireAuth,
  type Revocations,
} from '../../src/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import { listen } from '../support/http-client.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => close()))
})

/** Opens a request and resolves when its answer has begun. */
async function open(url: string, token: string) {
  const sent = request(url, { headers: { authorization: `Bearer ${token}` } })
  sent.end()
  const [res] = (await once(sent, 'response')) as [IncomingMessage]
  res.resume()
  return res
}

async function start(handler: RequestHandler, between: RequestHandler[] = []) {
  const issuer = createTestIssuer()
  const revocations: Revocations = memoryRevocations({ issuer: issuer.issuer })
  const app = express()
  app.use(requireAuth({ ...issuer.options, revocations }), ...between, cutOnKickOut())
  app.get('/', handler)
  app.use(authErrorHandler())
  const server = await listen(app)
  closing.push(async () => server.close())
  return { issuer, revocations, url: server.url }
}

const stream: RequestHandler = (_req, res) => {
  res.writeHead(200, { 'Content-Type': 'text/event-stream' })
  res.write(': open\n\n')
}

test('an open event stream ends when its user is kicked out, and no other one does', async () => {
  const { issuer, revocations, url } = await start(stream)
  const mine = await open(url, await issuer.token({ subject: 'u1' }))
  const theirs = await open(url, await issuer.token({ subject: 'u2' }))
  const ended = once(mine, 'end')
  await revocations.kickOut({ subject: 'u1' })
  await ended
  expect(theirs.readableEnded).toBe(false)
  theirs.destroy()
})

test('a stream ends whose user was kicked out while an asynchronous middleware took its time', async () => {
  const kicked: { out?: () => Promise<unknown> } = {}
  const slow: RequestHandler = (_req, _res, next) => void kicked.out?.().then(() => next(), next)
  const { issuer, revocations, url } = await start(stream, [slow])
  kicked.out = async () => revocations.kickOut({ subject: 'u1' })
  const res = await open(url, await issuer.token({ subject: 'u1' }))
  await once(res, 'end')
})

test('a download of known length is cut off rather than ended, so that it is not taken for whole', async () => {
  const { issuer, revocations, url } = await start((_req, res) => {
    res.writeHead(200, { 'Content-Length': '1000' })
    res.write('a part')
  })
  const res = await open(url, await issuer.token({ subject: 'u1' }))
  const cut = once(res, 'error')
  await revocations.kickOut({ subject: 'u1' })
  expect(await cut).toEqual([expect.objectContaining({ code: 'ECONNRESET' })])
})

test('an answer of which nothing was sent yet is the 401 of the guard, and not an empty success', async () => {
  let begun: () => void = () => undefined
  const waits = new Promise<void>((resolve) => (begun = resolve))
  const { issuer, revocations, url } = await start((_req, res) => {
    res.set({ 'Content-Length': '1000', 'Content-Encoding': 'gzip', 'X-Frame-Options': 'DENY' })
    begun()
  })
  const answer = fetch(url, {
    headers: { authorization: `Bearer ${await issuer.token({ subject: 'u1' })}` },
  })
  await waits
  await revocations.kickOut({ subject: 'u1' })
  const { status, headers, json } = await answer.then(async (res) => ({
    status: res.status,
    headers: res.headers,
    json: await res.json(),
  }))
  expect(status).toBe(401)
  expect(headers.get('www-authenticate')).toMatch(/^Bearer realm="api", error="invalid_token"/)
  expect(headers.get('x-frame-options')).toBe('DENY')
  expect(json).toEqual({ error: 'invalid_token', error_description: expect.any(String) })
})

test('without requireAuth in front it is an error that says so; an optional guard without a token passes', async () => {
  const app = express()
  app.get('/alone', cutOnKickOut(), (_req, res) => void res.end())
  const { options } = createTestIssuer()
  const optional = requireAuth({ ...options, credentials: 'optional' })
  app.get('/optional', optional, cutOnKickOut(), (_req, res) => void res.end('fine'))
  const errors: unknown[] = []
  const onError: express.ErrorRequestHandler = (error, _req, res, _next) => {
    errors.push(error)
    res.status(500).end()
  }
  app.use(onError)
  const server = await listen(app)
  closing.push(async () => server.close())
  expect((await fetch(`${server.url}/alone`)).status).toBe(500)
  expect(errors).toEqual([
    new Error('cutOnKickOut: there is no requireAuth() in front of this route'),
  ])
  expect((await fetch(`${server.url}/optional`)).status).toBe(200)
})
