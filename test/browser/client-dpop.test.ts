import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { type ClientStage, type ClientWindow, setClientStage } from './client-stage.ts'
import { launchBrowser } from './stage.ts'

let browser: Browser
let context: BrowserContext
let stage: ClientStage

beforeAll(async () => {
  browser = await launchBrowser()
})
afterEach(async () => {
  await context.close()
  await stage.close()
})
afterAll(async () => {
  await browser.close()
})

async function setUp(dpop: Parameters<typeof setClientStage>[0] = {}): Promise<Page> {
  stage = await setClientStage(dpop)
  context = await browser.newContext()
  return stage.open(context, { dpop: true })
}

const resume = async (page: Page): Promise<boolean> =>
  page.evaluate(async () => (window as unknown as ClientWindow).client.resume())

const call = async (page: Page, path = '/notes?a=b#c', method = 'GET'): Promise<number> =>
  page.evaluate(
    async ([url, verb]) => {
      const { client } = window as unknown as ClientWindow
      return (await client.fetch(url, { method: verb })).status
    },
    [stage.apiUrl + path, method] as const,
  )

const schemes = (): unknown[] =>
  stage.apiCalls.map(({ authorization }) => authorization?.split(' ')[0])

const boundTo = async (page: Page): Promise<unknown> =>
  page.evaluate(() => (window as unknown as ClientWindow).client.snapshot().claims?.['cnf'])

test('a page signs in, refreshes and calls with proofs of a key that no script can read', async () => {
  const page = await setUp({ required: true })
  expect(await resume(page)).toBe(true)
  expect(await boundTo(page)).toEqual({ jkt: expect.stringMatching(/^[\w-]{43}$/) })
  expect(await call(page)).toBe(200)
  expect(await call(page, '/', 'POST')).toBe(200)
  expect(await resume(page)).toBe(true)
  expect(await call(page)).toBe(200)
  expect(schemes()).toEqual(['DPoP', 'DPoP', 'DPoP'])
  const exported = await page.evaluate(async () => {
    const opening = indexedDB.open('express-kickout')
    await new Promise((resolve) => {
      opening.onsuccess = resolve
    })
    const all = opening.result.transaction('keys').objectStore('keys').getAll()
    await new Promise((resolve) => {
      all.onsuccess = resolve
    })
    const keys = all.result as CryptoKeyPair[]
    const [pair] = keys
    const attempt = pair && crypto.subtle.exportKey('jwk', pair.privateKey)
    const refusal = await attempt?.then(String, (error: unknown) => (error as Error).name)
    return { count: keys.length, extractable: pair?.privateKey.extractable, refusal }
  })
  expect(exported).toEqual({ count: 1, extractable: false, refusal: 'InvalidAccessError' })
})

test('a second tab and a later visit have the same key, though both tabs open it at once', async () => {
  const first = await setUp()
  const second = await stage.open(context, { dpop: true })
  expect(await Promise.all([resume(first), resume(second)])).toEqual([true, true])
  expect(await Promise.all([call(first), call(second)])).toEqual([200, 200])
  await first.close()
  const later = await stage.open(context, { dpop: true })
  expect(await resume(later)).toBe(true)
  expect(await call(later)).toBe(200)
  expect(await boundTo(later)).toEqual(await boundTo(second))
})

test('the refresh cookie alone is worth nothing: neither without a key nor with another', async () => {
  const page = await setUp()
  const cookies = await context.cookies()
  const thief = await browser.newContext()
  await thief.addCookies(cookies)
  const without = await stage.open(thief)
  const refusal = without.evaluate(async () => (window as unknown as ClientWindow).client.resume())
  await expect(refusal).rejects.toThrow(/refused this page \(400\)/)
  const another = await stage.open(thief, { dpop: true })
  expect(await resume(another)).toBe(false)
  await thief.close()
  expect(await resume(page)).toBe(true)
  expect(await call(page)).toBe(200)
})

test('a nonce that the API asks for is learnt, and each answer brings the next', async () => {
  const page = await setUp({ nonce: { secret: 'n'.repeat(32) } })
  await resume(page)
  expect(await call(page)).toBe(200)
  expect(stage.apiCalls).toHaveLength(2)
  expect(await call(page)).toBe(200)
  expect(stage.apiCalls).toHaveLength(3)
})

test('a session that was begun without a proof stays a plain bearer, and proof() needs the option', async () => {
  stage = await setClientStage()
  context = await browser.newContext()
  await stage.open(context)
  const page = await stage.open(context, { dpop: true })
  expect(await resume(page)).toBe(true)
  expect(await call(page)).toBe(200)
  expect(schemes()).toEqual(['Bearer'])
  const plain = await stage.open(context)
  const refusal = plain.evaluate(async () => (window as unknown as ClientWindow).client.proof('/x'))
  await expect(refusal).rejects.toThrow(/needs the option "dpop"/)
})
