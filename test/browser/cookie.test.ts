import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { setStage, type Stage } from './stage.ts'

let stage: Stage

beforeAll(async () => {
  stage = await setStage()
})

afterEach(async () => {
  await Promise.all(stage.browser.contexts().map(async (context) => context.close()))
})

afterAll(async () => {
  await stage.close()
})

async function refreshCookie(page: Page): Promise<string> {
  const [cookie] = await page.context().cookies()
  if (!cookie) throw new Error('There is no cookie')
  return cookie.value
}

/** Sends a form from a page, as any site can make a visitor's browser do. Resolves to the status of the answer. */
async function postForm(
  page: Page,
  url: string,
  fields: Record<string, string> = { grant_type: 'refresh_token' },
): Promise<number> {
  const answer = page.waitForResponse(url)
  await page.evaluate(
    ([action, entries]) => {
      const form = document.createElement('form')
      Object.assign(form, { method: 'post', action })
      for (const [name, value] of entries) {
        const input = document.createElement('input')
        Object.assign(input, { name, value })
        form.append(input)
      }
      document.body.append(form)
      form.submit()
    },
    [url, Object.entries(fields)] as const,
  )
  return (await answer).status()
}

describe('the refresh cookie', () => {
  test('is one, HttpOnly, SameSite=Strict, of this host alone, and ends with its session', async () => {
    const page = await stage.signedIn('Ben')
    const cookies = await page.context().cookies()
    expect(cookies).toEqual([
      expect.objectContaining({
        name: expect.stringMatching(/^refresh_token_\d+$/),
        domain: 'localhost',
        path: '/',
        httpOnly: true,
        sameSite: 'Strict',
        secure: false, // http: on loopback; over https it is __Host- and Secure
      }),
    ])
    const days = ((cookies[0]?.expires ?? 0) - Date.now() / 1000) / 86_400
    expect(days).toBeGreaterThan(6.9)
    expect(days).toBeLessThan(7.1)
  })

  test('is out of reach of scripts, and its value is in no body that they can read', async () => {
    const page = await stage.browser.newPage()
    await page.addInitScript(() => {
      const { fetch: original } = window
      const bodies: string[] = []
      Object.assign(window, { bodies })
      window.fetch = async (...request) => {
        const answer = await original(...request)
        const isJson = answer.headers.get('content-type')?.startsWith('application/json')
        if (isJson) bodies.push(await answer.clone().text())
        return answer
      }
    })
    await page.goto(stage.loginUrl)
    await page.getByRole('button', { name: 'Fill in Ada' }).click()
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByText('Live from API server').waitFor()
    const first = await refreshCookie(page)
    await page.getByRole('button', { name: 'Refresh now' }).click()
    await page.getByText('Refreshed at').waitFor()
    const second = await refreshCookie(page)
    expect(second).not.toBe(first)

    const reachable = await page.evaluate(() =>
      JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href]),
    )
    expect(reachable).toBe(JSON.stringify(['', {}, {}, `${stage.loginUrl}/`]))
    const everything = await page.evaluate(() =>
      (window as unknown as { bodies: string[] }).bodies.join(),
    )
    expect(everything).toContain('access_token')
    expect(everything).not.toContain(first)
    expect(everything).not.toContain(second)
    expect(everything).not.toContain('"refresh_token"')
  })

  test('is never sent to the API', async () => {
    const page = await stage.browser.newPage()
    const sent: { url: string; cookie: Promise<string | null> }[] = []
    page.on('request', (request) => {
      sent.push({ url: request.url(), cookie: request.headerValue('cookie').catch(() => null) })
    })
    await page.goto(stage.loginUrl)
    await page.getByRole('button', { name: 'Fill in Ada' }).click()
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByText('Live from API server').waitFor()
    await page.getByRole('button', { name: 'Refresh now' }).click()
    await page.getByText('Refreshed at').waitFor()
    const [api = ''] = stage.apiUrls
    const toApi = sent.filter(({ url }) => url.startsWith(api))
    expect(toApi.length).toBeGreaterThan(0)
    expect(await Promise.all(toApi.map(async ({ cookie }) => cookie))).toEqual(
      toApi.map(() => null),
    )
    const toLogin = sent.filter(({ url }) => url.endsWith('/token')).at(-1)
    expect(await toLogin?.cookie).toMatch(/^refresh_token_\d+=/)
  })
})

describe('a page of another origin', () => {
  // 127.0.0.1 is another site, where the browser keeps the cookie back; another port of localhost is the same site, where
  // it sends the cookie along and only the Origin gives the page away.
  test.each(['127.0.0.1', 'localhost'] as const)(
    'on %s can neither refresh nor sign out',
    async (host) => {
      const page = await stage.signedIn('Ben')
      const before = await refreshCookie(page)
      for (const path of ['/token', '/logout']) {
        const foreign = await stage.foreignPage(page.context(), host)
        expect(await postForm(foreign, stage.loginUrl + path)).toBe(403)
      }
      expect(await refreshCookie(page)).toBe(before)
      await page.reload()
      await page.getByText('Live from API server').waitFor()
    },
  )

  test('can read nothing of the login service', async () => {
    const page = await stage.signedIn('Ben')
    const foreign = await stage.foreignPage(page.context(), 'localhost')
    const outcome = await foreign.evaluate(async (url) => {
      const body = new URLSearchParams({ grant_type: 'refresh_token' })
      return fetch(url, { method: 'POST', credentials: 'include', body }).then(
        () => 'read',
        () => 'kept back',
      )
    }, `${stage.loginUrl}/token`)
    expect(outcome).toBe('kept back')
  })

  test('cannot sign anyone in with a form', async () => {
    const context = await stage.browser.newContext()
    const foreign = await stage.foreignPage(context, 'localhost')
    const fields = { name: 'ben', password: 'kites and keys' }
    expect(await postForm(foreign, `${stage.loginUrl}/login`, fields)).toBe(400)
    expect(await context.cookies()).toEqual([])
  })

  test('cannot show the page in a frame', async () => {
    const foreign = await stage.foreignPage(await stage.browser.newContext(), 'localhost')
    const refusal = foreign.waitForEvent('console', (message) =>
      message.text().includes("frame-ancestors 'none'"),
    )
    await foreign.evaluate((url) => {
      const frame = document.createElement('iframe')
      frame.src = url
      document.body.append(frame)
    }, stage.loginUrl)
    await refusal
  })
})
