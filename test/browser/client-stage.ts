import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { BrowserContext, Page } from 'playwright-core'
import { authErrorHandler, type DpopOptions, requireAuth } from 'express-kickout'
import { createIssuer, generateSigningKey, type Issuer, memoryStore } from 'express-kickout/issuer'
import type { KickoutClient, KickoutClientOptions } from '../../src/client/index.ts'

/** The client as it is shipped: what the build made. */
export const shippedClient = new URL('../../dist/client/index.js', import.meta.url)

/** What page functions of these tests find in their window. */
export interface ClientWindow {
  client: KickoutClient
  events: string[]
}

/** An answer in place of the next one of the login service or of the API. */
interface Answer {
  status: number
  headers?: Record<string, string>
  body?: unknown
}

/** A login service with an empty page, and an API on another origin. */
export interface ClientStage {
  loginUrl: string
  apiUrl: string
  issuer: Issuer
  /** Refreshes seen, and how many of them were under way at the same time, at most. */
  refreshes: { count: number; atOnce: number }
  apiCalls: { method: string; authorization: string | undefined; at: number }[]
  /** Answers of `/token` and of the API that take the place of the real ones, first in, first out. */
  instead: { token: Answer[]; logout: Answer[]; api: Answer[] }
  /** A page with a client of a signed-in person, before its first `resume`. */
  open(context: BrowserContext, options?: Partial<KickoutClientOptions>): Promise<Page>
  close(): Promise<void>
}

async function listen(host: string): Promise<{ server: Server; url: string }> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  return { server, url: `http://${host}:${(server.address() as AddressInfo).port}` }
}

/** @param dpop - of the guard of the API; a login that comes with a proof begins a bound session either way */
export async function setClientStage(dpop: Partial<DpopOptions> = {}): Promise<ClientStage> {
  const [login, api] = [await listen('localhost'), await listen('127.0.0.1')]
  const audience = 'https://client.example'
  const issuer = createIssuer({
    issuer: login.url,
    audience,
    store: memoryStore(),
    signingKeys: [await generateSigningKey('ES256')],
    refreshTokenSecret: 'x'.repeat(32),
    cookie: {},
  })
  const refreshes = { count: 0, atOnce: 0 }
  const apiCalls: ClientStage['apiCalls'] = []
  const instead: ClientStage['instead'] = { token: [], logout: [], api: [] }
  let underWay = 0

  const loginApp = express()
  loginApp.get('/', (_req, res) => {
    res.type('html').send('<!doctype html><title>Client</title><p>Page</p>')
  })
  loginApp.get('/client.js', (_req, res) => {
    res.type('js').send(readFileSync(shippedClient, 'utf8'))
  })
  loginApp.post('/login', async (req, res) => {
    const proof = req.get('DPoP')
    const key = proof === undefined ? {} : { dpop: { proof, url: `${login.url}/login` } }
    issuer.send(res, await issuer.startSession({ subject: 'ada', scope: 'notes', ...key }))
  })
  loginApp.use('/token', (_req, res, next) => {
    refreshes.count++
    refreshes.atOnce = Math.max(refreshes.atOnce, ++underWay)
    res.once('close', () => underWay--)
    next()
  })
  const answerInstead =
    (list: Answer[]): express.RequestHandler =>
    (_req, res, next) => {
      const answer = list.shift()
      if (!answer) next()
      else
        res
          .status(answer.status)
          .set(answer.headers ?? {})
          .json(answer.body ?? {})
    }
  loginApp.use('/token', answerInstead(instead.token))
  loginApp.use('/logout', answerInstead(instead.logout))
  loginApp.use(issuer.router)
  login.server.on('request', loginApp)

  const guard = requireAuth({
    ...{ issuer: login.url, audience, revocations: issuer.revocations },
    dpop: { publicUrl: api.url, ...dpop },
  })
  const apiApp = express()
  apiApp.use((req, res, next) => {
    res.set('Access-Control-Allow-Origin', '*')
    res.set('Access-Control-Expose-Headers', 'Retry-After, WWW-Authenticate')
    res.set('Access-Control-Allow-Headers', 'Authorization, Content-Type, DPoP')
    res.set('Access-Control-Allow-Methods', 'GET, POST')
    if (req.method === 'OPTIONS') {
      res.status(204).end()
      return
    }
    const { authorization } = req.headers
    apiCalls.push({ method: req.method, authorization, at: performance.now() })
    next()
  })
  apiApp.use(answerInstead(instead.api), guard)
  apiApp.use((_req, res) => {
    res.json({ ok: true })
  })
  apiApp.use(authErrorHandler())
  api.server.on('request', apiApp)
  await guard.ready()

  return {
    loginUrl: login.url,
    apiUrl: api.url,
    issuer,
    refreshes,
    apiCalls,
    instead,
    async open(context, options = {}) {
      const page = await context.newPage()
      await page.goto(login.url)
      const full = { loginUrl: login.url, apiOrigins: [api.url], ...options }
      await page.evaluate(async (settings) => {
        const url = '/client.js'
        const entry = (await import(url)) as { KickoutClient: typeof KickoutClient }
        const client = new entry.KickoutClient(settings)
        const events: string[] = []
        for (const type of ['signed-in', 'signed-out', 'step-up', 'unavailable'] as const) {
          client.addEventListener(type, () => events.push(type))
        }
        Object.assign(window, { client, events })
      }, full)
      if ((await context.cookies()).length > 0) return page
      await page.evaluate(async (isBound) => {
        const { client } = window as unknown as ClientWindow
        const headers = isBound ? { DPoP: await client.proof('/login') } : undefined
        await fetch('/login', { method: 'POST', ...(headers && { headers }) })
      }, options.dpop === true)
      return page
    },
    async close() {
      await guard.close()
      await issuer.close()
      for (const { server } of [login, api]) {
        server.close()
        server.closeAllConnections()
      }
    },
  }
}
