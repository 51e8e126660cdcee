import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import express from 'express'
import type { Browser } from 'playwright-core'
import { authErrorHandler, getAuth, requireAuth } from 'express-kickout'
import { generateSigningKey } from 'express-kickout/issuer'
import { redisRevocations } from 'express-kickout/redis'
import { startRedis } from '../support/redis-server.ts'
import { onFreePorts } from '../support/free-port.ts'
import { findBlock, runSample } from '../support/sample-process.ts'
import { waitUntil } from '../support/wait.ts'
import { launchBrowser } from './stage.ts'

/*
 * 20: the login service of docs/issuer.md as it is printed, a page on another origin of the same site, and an API on a third
 * with a strict guard. Only addresses and the password check are those of this test.
 */

let browser: Browser

beforeAll(async () => {
  browser = await launchBrowser()
})

afterAll(async () => {
  await browser.close()
})

async function listen(app: express.Express, host: string) {
  const server = createServer(app).listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://${host}:${port}`, close: () => server.close() }
}

test('20 a page on another origin signs in, refreshes, calls the API, and is kicked out', async () => {
  const redis = await startRedis()
  const pages = await listen(
    express().get('/', (_req, res) => {
      res.type('html').send('<!doctype html><title>App</title>')
    }),
    'localhost',
  )
  const stranger = await listen(
    express().get('/', (_req, res) => {
      res.type('html').send('<!doctype html><title>Stranger</title>')
    }),
    'localhost',
  )
  await onFreePorts(1, async (port) => {
    const loginUrl = `http://localhost:${port}`
    const key = await generateSigningKey('ES256')
    const sample = runSample(findBlock('docs/issuer.md', 'issuer.crossOrigin'), {
      before: `const signingKeys = [${JSON.stringify(key)}]
        const checkPassword = async ({ name }) => ({ id: name })
        setImmediate(() => app.listen(${port}, 'localhost'))`,
      replace: {
        'https://login.example.com': loginUrl,
        'redis://redis.internal:6379': redis.url,
        'https://app.example.com': pages.url,
      },
      env: { REFRESH_TOKEN_SECRET: 's'.repeat(32) },
    })
    const revocations = redisRevocations(redis.url, { issuer: loginUrl })
    try {
      await waitUntil(
        async () => {
          if (sample.process.exitCode !== null) throw new Error(sample.output())
          return (await fetch(`${loginUrl}/.well-known/jwks.json`)).ok
        },
        { what: 'the login service', timeoutMs: 20_000, everyMs: 50 },
      )
      const guard = requireAuth({
        ...{ issuer: loginUrl, audience: 'https://api.example.com', strict: true, revocations },
      })
      await guard.ready()
      const api = await listen(
        express()
          .use((req, res, next) => {
            res.set('Access-Control-Allow-Origin', pages.url)
            res.set('Access-Control-Allow-Headers', 'Authorization')
            if (req.method === 'OPTIONS') res.status(204).end()
            else next()
          })
          .use(guard)
          .get('/notes', (req, res) => {
            res.json({ reader: getAuth(req).subject })
          })
          .use(authErrorHandler()),
        '127.0.0.1',
      )
      const context = await browser.newContext()
      const page = await context.newPage()
      await page.goto(pages.url)
      const signIn = async (on: typeof page) =>
        on.evaluate(async (url) => {
          const headers = { 'Content-Type': 'application/json' }
          const body = JSON.stringify({ name: 'ada' })
          const init = { method: 'POST', credentials: 'include', headers, body } as const
          return fetch(`${url}/login`, init).then(
            async (answer) => ({ status: answer.status, body: await answer.text() }),
            () => ({ status: 0, body: '' }),
          )
        }, loginUrl)
      const refresh = async () =>
        page.evaluate(async (url) => {
          const body = new URLSearchParams({ grant_type: 'refresh_token' })
          const init = { method: 'POST', credentials: 'include', body } as const
          const answer = await fetch(`${url}/token`, init)
          const { access_token: token } = (await answer.json()) as { access_token?: string }
          return { status: answer.status, token: token ?? '' }
        }, loginUrl)
      const read = async (token: string) =>
        page.evaluate(
          async ([url, bearer]) => {
            const headers = { Authorization: `Bearer ${bearer}` }
            const answer = await fetch(`${url}/notes`, { headers })
            return { status: answer.status, body: await answer.text() }
          },
          [api.url, token],
        )

      const signedIn = await signIn(page)
      expect(signedIn.status).toBe(200)
      expect(signedIn.body).not.toContain('refresh_token')
      const refreshed = await refresh()
      expect(refreshed.status).toBe(200)
      expect(await read(refreshed.token)).toEqual({ status: 200, body: '{"reader":"ada"}' })
      await revocations.kickOut({ subject: 'ada' })
      expect((await read(refreshed.token)).status).toBe(401)
      expect((await refresh()).status).toBe(400)

      // Another page of the same site is not on the list: it reads no answer, and no cookie is set.
      const other = await (await browser.newContext()).newPage()
      await other.goto(stranger.url)
      expect((await signIn(other)).status).toBe(0)
      expect(await other.context().cookies(loginUrl)).toEqual([])
      await other.context().close()
      await context.close()
      api.close()
      await guard.close()
    } finally {
      await revocations.close()
      await sample.stop()
    }
  })
  pages.close()
  stranger.close()
  await redis.stop()
}, 60_000)
