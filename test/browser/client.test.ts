import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { transform } from 'esbuild'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { KickoutClient } from '../../src/client/index.ts'
import {
  type ClientStage,
  type ClientWindow,
  setClientStage,
  shippedClient,
} from './client-stage.ts'
import { launchBrowser } from './stage.ts'

let browser: Browser
let stage: ClientStage
let context: BrowserContext

beforeAll(async () => {
  browser = await launchBrowser()
})
beforeEach(async () => {
  stage = await setClientStage()
  context = await browser.newContext()
})
afterEach(async () => {
  await context.close()
  await stage.close()
})
afterAll(async () => {
  await browser.close()
})

const resume = async (page: Page): Promise<boolean> =>
  page.evaluate(async () => (window as unknown as ClientWindow).client.resume())

const stateOf = async (page: Page): Promise<{ status: string; events: string[] }> =>
  page.evaluate(() => {
    const { client, events } = window as unknown as ClientWindow
    return { status: client.snapshot().status, events: [...events] }
  })

/** The status of a call of the API, or the name of the error. */
const call = async (page: Page, method = 'GET', url = stage.apiUrl): Promise<number | string> =>
  page.evaluate(
    async ([address, verb]) => {
      const { client } = window as unknown as ClientWindow
      return client.fetch(address, { method: verb }).then(
        ({ status }) => status,
        (error: unknown) => (error as Error).name,
      )
    },
    [url, method] as const,
  )

const untilStatus = async (page: Page, status: string): Promise<void> => {
  await page.waitForFunction(
    (wanted) => (window as unknown as ClientWindow).client.snapshot().status === wanted,
    status,
  )
}

async function kickOut(): Promise<void> {
  await stage.issuer.kickOut({ subject: 'ada' })
}

const withoutLocks = (): void => {
  Object.defineProperty(navigator, 'locks', { value: undefined })
}

describe('the entry', () => {
  test('is at most 4 kB gzipped, as shipped and minified', async () => {
    const shipped = readFileSync(shippedClient, 'utf8')
    const minified = await transform(shipped, { minify: true, format: 'esm' })
    const sizes = [shipped, minified.code].map((code) => gzipSync(code).length)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(4096)
    expect(shipped).not.toMatch(/\bimport\b/)
  })

  const good = { loginUrl: 'https://login.example', apiOrigins: ['https://api.example'] }
  test.each<[string, object]>([
    ['loginUrl', { loginUrl: 'http://login.example' }],
    ['loginUrl', { loginUrl: 'https://login.example?a=1' }],
    ['apiOrigins', { apiOrigins: ['https://api.example/'] }],
    ['apiOrigins', { apiOrigins: 'https://api.example' }],
    ['apiOrigins', { apiOrigins: ['*'] }],
    ['refreshPath', { refreshPath: 'token' }],
    ['lockTimeoutMs', { lockTimeoutMs: 0 }],
    ['requestTimeoutMs', { requestTimeoutMs: Number.NaN }],
    ['refreshAheadSeconds', { refreshAheadSeconds: -1 }],
    ['refreshAhead', { refreshAhead: 1 }],
  ])('names the wrong option %s of %j', (option, wrong) => {
    expect(() => new KickoutClient({ ...good, ...wrong })).toThrow(
      new RegExp(`^KickoutClient: option "${option}" `),
    )
  })

  test('can be created where there is no page, as on a server that renders one', () => {
    expect(new KickoutClient(good).snapshot()).toEqual({ status: 'unknown' })
  })
})

describe('one session', () => {
  test('ten tabs refresh one after the other, and all go on', async () => {
    const tabs: Page[] = []
    for (let tab = 0; tab < 10; tab++) tabs.push(await stage.open(context))
    expect(await Promise.all(tabs.map(resume))).toEqual(tabs.map(() => true))
    expect(await Promise.all(tabs.map(async (tab) => call(tab)))).toEqual(tabs.map(() => 200))
    expect(stage.refreshes.atOnce).toBe(1)
    expect(stage.refreshes.count).toBe(10)
  })

  test('ten calls of one tab share one refresh', async () => {
    const page = await stage.open(context)
    const statuses = await page.evaluate(async (url) => {
      const { client } = window as unknown as ClientWindow
      const calls = Array.from({ length: 10 }, async () => (await client.fetch(url)).status)
      return Promise.all(calls)
    }, stage.apiUrl)
    expect(statuses).toEqual(Array.from({ length: 10 }, () => 200))
    expect(stage.refreshes.count).toBe(1)
  })

  test('a tab that dies with the lock frees it', async () => {
    const [dying, page] = [await stage.open(context), await stage.open(context)]
    await holdLock(dying)
    const resumed = resume(page)
    await dying.close()
    expect(await resumed).toBe(true)
  })

  test('a frozen tab that keeps the lock delays the others by lockTimeoutMs, no more', async () => {
    const [frozen, page] = [
      await stage.open(context),
      await stage.open(context, { lockTimeoutMs: 200 }),
    ]
    await holdLock(frozen)
    const devtools = await context.newCDPSession(frozen)
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
    const startedAt = performance.now()
    expect(await resume(page)).toBe(true)
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(200)
    expect(await call(page)).toBe(200)
    await devtools.send('Page.setWebLifecycleState', { state: 'active' })
  })

  test('tabs of a browser without Web Locks go on too', async () => {
    await context.addInitScript(withoutLocks)
    const tabs = [await stage.open(context), await stage.open(context), await stage.open(context)]
    expect(await tabs[0]!.evaluate(() => navigator.locks)).toBeUndefined()
    for (let round = 0; round < 5; round++) {
      expect(await Promise.all(tabs.map(resume))).toEqual([true, true, true])
    }
    expect(await Promise.all(tabs.map(async (tab) => call(tab)))).toEqual([200, 200, 200])
  })

  test('signing out signs every tab out', async () => {
    const [page, tab] = [await stage.open(context), await stage.open(context)]
    await resume(page)
    await resume(tab)
    await page.evaluate(async () => (window as unknown as ClientWindow).client.signOut())
    await untilStatus(tab, 'signed-out')
    expect(await stateOf(page)).toEqual({
      status: 'signed-out',
      events: ['signed-in', 'signed-out'],
    })
    expect(await call(tab)).toBe('SignedOutError')
    expect(await context.cookies()).toEqual([])
  })

  test('signing out that the login service did not confirm leaves the session as it is', async () => {
    const page = await stage.open(context)
    await resume(page)
    stage.instead.logout.push({ status: 503, headers: { 'Retry-After': '60' } })
    const name = await page.evaluate(async () =>
      (window as unknown as ClientWindow).client
        .signOut()
        .catch((error: unknown) => (error as Error).name),
    )
    expect(name).toBe('UnavailableError')
    expect((await stateOf(page)).status).toBe('signed-in')
    expect(await call(page)).toBe(200)
  })

  test('leaves nothing in any storage', async () => {
    const page = await stage.open(context)
    await resume(page)
    await call(page)
    const stored = await page.evaluate(async () => [
      { ...localStorage },
      { ...sessionStorage },
      await indexedDB.databases(),
      await caches.keys(),
      document.cookie,
    ])
    expect(stored).toEqual([{}, {}, [], [], ''])
  })

  test('gives subscribers one snapshot until something changes', async () => {
    const page = await stage.open(context)
    const seen = await page.evaluate(async () => {
      const { client } = window as unknown as ClientWindow
      const statuses: string[] = []
      const stop = client.subscribe(() => statuses.push(client.snapshot().status))
      await client.resume()
      const isSame = client.snapshot() === client.snapshot()
      stop()
      await client.signOut()
      return { statuses, isSame }
    })
    expect(seen).toEqual({ statuses: ['signed-in'], isSame: true })
  })
})

describe('the access token', () => {
  test('goes to apiOrigins, and to no other origin', async () => {
    const page = await stage.open(context)
    await resume(page)
    let sent: string | null | undefined
    await context.route('https://elsewhere.test/**', async (route) => {
      sent = await route.request().headerValue('authorization')
      await route.fulfill({
        status: 200,
        headers: { 'Access-Control-Allow-Origin': '*' },
        body: '',
      })
    })
    expect(await call(page, 'GET', 'https://elsewhere.test/notes')).toBe(200)
    expect(sent).toBeNull()
    expect(await call(page)).toBe(200)
    expect(stage.apiCalls.at(-1)?.authorization).toMatch(/^Bearer /)
  })

  test('that is refused is replaced once, and the call made once more', async () => {
    const page = await stage.open(context)
    await resume(page)
    stage.instead.api.push({ status: 401 })
    expect(await call(page)).toBe(200)
    expect([stage.refreshes.count, stage.apiCalls.length]).toEqual([2, 2])
    stage.instead.api.push({ status: 401 }, { status: 401 })
    expect(await call(page)).toBe(401)
    expect([stage.refreshes.count, stage.apiCalls.length]).toEqual([3, 4])
    expect((await stateOf(page)).status).toBe('signed-in')
  })

  test('of a session that was kicked out signs the page out at its next call', async () => {
    const page = await stage.open(context)
    await resume(page)
    await kickOut()
    expect(await call(page)).toBe('SignedOutError')
    expect(await stateOf(page)).toEqual({
      status: 'signed-out',
      events: ['signed-in', 'signed-out'],
    })
    const { count } = stage.refreshes
    expect(await call(page)).toBe('SignedOutError')
    expect(stage.refreshes.count).toBe(count)
  })
})

describe('never signs out', () => {
  const stepUp = 'Bearer error="insufficient_user_authentication", acr_values="gold", max_age="60"'
  test.each([
    ['a 403', { status: 403 }, 403, []],
    ['a step-up 401', { status: 401, headers: { 'WWW-Authenticate': stepUp } }, 401, ['step-up']],
    ['a 503', { status: 503 }, 503, ['unavailable']],
  ])('%s of the API', async (_name, answer, status, events) => {
    const page = await stage.open(context)
    await resume(page)
    stage.instead.api.push(answer)
    expect(await call(page)).toBe(status)
    expect(await stateOf(page)).toEqual({ status: 'signed-in', events: ['signed-in', ...events] })
    expect([stage.refreshes.count, stage.apiCalls.length]).toEqual([1, 1])
  })

  test.each([
    [403, 'access_denied'],
    [401, 'invalid_client'],
    [400, 'unsupported_grant_type'],
  ])('a refusal %i %s of the login service that is about the request', async (status, error) => {
    const page = await stage.open(context)
    await resume(page)
    stage.instead.token.push({ status, body: { error } })
    await expect(resume(page)).rejects.toThrow(`refused this page (${status})`)
    expect((await stateOf(page)).status).toBe('signed-in')
    expect(await call(page)).toBe(200)
  })
})

describe('Retry-After', () => {
  test('of the login service is waited for', async () => {
    const page = await stage.open(context)
    stage.instead.token.push({ status: 503, headers: { 'Retry-After': '1' } })
    const startedAt = performance.now()
    expect(await resume(page)).toBe(true)
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(990)
    expect((await stateOf(page)).events).toEqual(['unavailable', 'signed-in'])
  })

  test('of over ten seconds is the caller’s, and no request is made before it is over', async () => {
    const page = await stage.open(context)
    stage.instead.token.push({ status: 503, headers: { 'Retry-After': '60' } })
    expect(await call(page)).toBe('UnavailableError')
    expect(await call(page)).toBe('UnavailableError')
    expect(stage.refreshes.count).toBe(1)
  })

  test('of the API is waited for, unless the method is one that may act twice', async () => {
    const page = await stage.open(context)
    await resume(page)
    const busy = { status: 503, headers: { 'Retry-After': '1' } }
    stage.instead.api.push(busy)
    expect(await call(page)).toBe(200)
    const [first, second] = stage.apiCalls
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(990)
    stage.instead.api.push(busy)
    expect(await call(page, 'POST')).toBe(503)
  })
})

describe('a page that was away', () => {
  test('offline, keeps its session, and goes on when it is back', async () => {
    const page = await stage.open(context)
    await resume(page)
    await context.setOffline(true)
    await expect(resume(page)).rejects.toThrow('cannot be reached')
    expect(await call(page)).toBe('TypeError')
    expect(await stateOf(page)).toEqual({
      status: 'signed-in',
      events: ['signed-in', 'unavailable'],
    })
    await context.setOffline(false)
    expect(await call(page)).toBe(200)
    expect(await resume(page)).toBe(true)
  })

  test('frozen, finds out at its next call that it was kicked out meanwhile', async () => {
    const page = await stage.open(context)
    await resume(page)
    const devtools = await context.newCDPSession(page)
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
    await kickOut()
    await devtools.send('Page.setWebLifecycleState', { state: 'active' })
    expect(await call(page)).toBe('SignedOutError')
  })

  test.each([[false, 'signed-in'], [true, 'signed-out']] as const)(
    'in the back/forward cache, kicked out meanwhile: %s, is then %s by itself',
    async (isKickedOut, status) => {
      const page = await stage.open(context)
      await resume(page)
      await page.goto(`${stage.loginUrl}/?other`)
      if (isKickedOut) await kickOut()
      await page.goBack({ waitUntil: 'commit' })
      await page.waitForFunction(() => 'client' in window)
      await untilStatus(page, status)
      if (isKickedOut) return
      expect(await call(page)).toBe(200)
      expect(stage.refreshes.count).toBe(2)
    },
  ) // prettier-ignore
})

async function holdLock(page: Page): Promise<void> {
  await page.evaluate(async (url) => {
    await new Promise<void>((granted) => {
      void navigator.locks.request(`express-kickout:${url}/token`, () => {
        granted()
        return new Promise(() => undefined)
      })
    })
  }, stage.loginUrl)
}
