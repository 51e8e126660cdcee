import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import {
  momentOfSignOut,
  openAdmin,
  press,
  pressAndConfirm,
  setStage,
  signIn,
  type Stage,
} from './stage.ts'

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

async function isSignedIn(page: Page): Promise<boolean> {
  return page.getByRole('heading', { name: 'My devices' }).isVisible()
}

/** Adds a note and waits for the API to have taken it: the page is signed in for more than the eye. */
async function addNote(page: Page, text: string): Promise<void> {
  await page.getByLabel('New note').fill(text)
  await page.getByRole('button', { name: 'Add' }).click()
  await page.locator('#notes').getByText(text).waitFor()
}

describe('signing in', () => {
  test('a wrong password is told, and no one is signed in', async () => {
    const page = await stage.browser.newPage()
    await page.goto(stage.loginUrl)
    await page.getByLabel('Name', { exact: true }).fill('ada')
    await page.getByLabel('Password').fill('difference engine')
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByText('do not belong together').waitFor()
    expect(await isSignedIn(page)).toBe(false)
  })

  test('a reload is still signed in, by the cookie', async () => {
    const page = await stage.signedIn('Ben')
    await page.reload()
    await page.getByText('Live from API server').waitFor()
    expect(await page.locator('#who-name').textContent()).toBe('Ben')
  })

  test('a first visit asks for no token, and nothing is wrong on the console', async () => {
    const page = await stage.browser.newPage()
    const complaints: string[] = []
    page.on('console', (message) => complaints.push(message.text()))
    page.on('requestfailed', (request) => complaints.push(request.url()))
    await page.goto(stage.loginUrl)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.waitForLoadState('networkidle')
    expect(complaints).toEqual([])
  })

  test('a reload while the login service cannot tell is signed in as soon as it can', async () => {
    const page = await stage.signedIn('Ben')
    let isAway = true
    await page.route('**/token', async (route) => {
      if (isAway) await route.abort()
      else await route.continue()
    })
    await page.reload()
    await page.getByText('cannot tell whether you are signed in').waitFor()
    isAway = false
    await page.getByText('Live from API server').waitFor()
  })

  test('signing out ends the session, in every tab', async () => {
    const page = await stage.signedIn('Ben')
    const tab = await page.context().newPage()
    await tab.goto(stage.loginUrl)
    await tab.getByText('Live from API server').waitFor()
    await page.getByRole('button', { name: 'Sign out', exact: true }).click()
    await page.getByText('You have signed out.').waitFor()
    await tab.getByText('You have signed out in another tab').waitFor()
    expect(await page.context().cookies()).toEqual([])
  })

  test('signing in as another user in one tab changes the other one too', async () => {
    const page = await stage.signedIn('Ben')
    const tab = await page.context().newPage()
    await tab.goto(stage.loginUrl)
    await tab.getByText('Live from API server').waitFor()
    const tokens = await page.evaluate(async () => {
      const body = JSON.stringify({ name: 'cleo', password: 'seven sealed scrolls' })
      const headers = { 'Content-Type': 'application/json' }
      return (await fetch('/login', { method: 'POST', headers, body })).status
    })
    expect(tokens).toBe(200)
    await tab.locator('#who-name', { hasText: 'Cleo' }).waitFor()
  })
})

describe('notes', () => {
  test('what one adds, the other sees without asking', async () => {
    const [ada, ben] = [await stage.signedIn('Ada'), await stage.signedIn('Ben')]
    await addNote(ada, 'Order punched cards')
    await ben.locator('#notes').getByText('Order punched cards').waitFor()
  })

  test('are told by a WebSocket, which a refresh does not close, and by an event stream', async () => {
    const page = await stage.browser.newPage()
    const sockets: string[] = []
    page.on('websocket', (socket) => {
      sockets.push(socket.url())
      socket.on('close', () => sockets.push('closed'))
    })
    await page.goto(stage.loginUrl)
    await signIn(page, 'Ada')
    await page.getByText('And by an event stream: 0 heard').waitFor()
    await press(page, 'Refresh now')
    await page.getByText('Refreshed at').waitFor()
    await addNote(page, 'Tell it twice')
    await page.getByText('And by an event stream: 1 heard').waitFor()
    expect(sockets).toEqual([`${stage.apiUrls[0]!.replace('http', 'ws')}/live`])
  })

  test('adding without the scope is refused, visibly', async () => {
    const cleo = await stage.signedIn('Cleo')
    await cleo.getByLabel('New note').fill('May I?')
    await cleo.getByRole('button', { name: 'Add' }).click()
    await cleo.getByText('does not grant notes:write').waitFor()
    expect(await isSignedIn(cleo)).toBe(true)
  })

  test('a note is text, whatever it looks like', async () => {
    const ada = await stage.signedIn('Ada')
    await addNote(ada, '<img src=x onerror="document.title=1">')
    expect(await ada.locator('#notes img').count()).toBe(0)
  })
})

describe('refreshing', () => {
  test('two tabs refresh at once, again and again, and both go on', async () => {
    const page = await stage.signedIn('Ben')
    const tab = await page.context().newPage()
    await tab.goto(stage.loginUrl)
    await tab.getByText('Live from API server').waitFor()
    for (let round = 0; round < 5; round++) {
      await Promise.all([press(page, 'Refresh now'), press(tab, 'Refresh now')])
    }
    await page.getByText('Refreshed at').waitFor()
    await tab.getByText('Refreshed at').waitFor()
    await addNote(page, 'from the first tab')
    await addNote(tab, 'from the second tab')
  })

  test('ten tabs refresh at once and go on, until a kick-out empties all of them', async () => {
    const page = await stage.signedIn('Ben')
    const tabs = [page]
    while (tabs.length < 10) {
      const tab = await page.context().newPage()
      await tab.goto(stage.loginUrl)
      await tab.getByText('Live from API server').waitFor()
      tabs.push(tab)
    }
    await Promise.all(tabs.map(async (tab) => press(tab, 'Refresh now')))
    await Promise.all(tabs.map(async (tab) => tab.getByText('Refreshed at').waitFor()))
    await addNote(page, 'To all ten')
    await Promise.all(
      tabs.map(async (tab) => tab.locator('#notes').getByText('To all ten').waitFor()),
    )
    const moments = tabs.map(momentOfSignOut)
    const kickedOutAt = Date.now()
    await stage.issuer.kickOut({ subject: 'ben' })
    const elapsedMs = Math.max(...(await Promise.all(moments))) - kickedOutAt
    console.log(`kick-out to ten empty tabs: ${elapsedMs} ms`)
    expect(elapsedMs).toBeLessThan(5000)
  })

  test('tabs of a browser without locks go on too', async () => {
    const page = await stage.signedIn('Ben')
    const refresh = async (): Promise<number[]> =>
      page.evaluate(async () => {
        const post = async (): Promise<number> => {
          const body = new URLSearchParams({ grant_type: 'refresh_token' })
          return (await fetch('/token', { method: 'POST', body })).status
        }
        return Promise.all([post(), post(), post()])
      })
    expect(await refresh()).toEqual([200, 200, 200])
    await addNote(page, 'still here')
  })

  test('a 503 costs a wait and not the session', async () => {
    const page = await stage.signedIn('Ben')
    let refusals = 2
    await page.route('**/token', async (route) => {
      if (refusals-- > 0) await route.fulfill({ status: 503, headers: { 'Retry-After': '1' } })
      else await route.continue()
    })
    const startedAt = await press(page, 'Refresh now')
    await page.getByText('Refreshed at').waitFor()
    expect(Date.now() - startedAt).toBeGreaterThan(1900)
    expect(await isSignedIn(page)).toBe(true)
  })

  test('a 401 is answered by one refresh and one more try, not by a storm', async () => {
    const page = await stage.signedIn('Ben')
    const asked: string[] = []
    page.on('request', (request) => {
      if (request.method() === 'POST') asked.push(new URL(request.url()).pathname)
    })
    await page.route('**/notes', async (route) => {
      if (route.request().method() !== 'POST') await route.continue()
      else await route.fulfill({ status: 401, headers: { 'Access-Control-Allow-Origin': '*' } })
    })
    await page.getByLabel('New note').fill('once more')
    await page.getByRole('button', { name: 'Add' }).click()
    await page.getByText('was not added (401)').waitFor()
    expect(asked).toEqual(['/notes', '/token', '/notes'])
    expect(await isSignedIn(page)).toBe(true)
  })
})

describe('being thrown out', () => {
  test('a kick-out is seen on the other page in under a second, by itself', async () => {
    const [ada, ben] = [await stage.signedIn('Ada'), await stage.signedIn('Ben')]
    const cleo = await stage.signedIn('Cleo')
    await openAdmin(ada)
    const moment = momentOfSignOut(ben)
    const pressedAt = await pressAndConfirm(ada, 'Kick out Ben', {
      yes: 'Yes, kick out Ben',
      reason: 'left the company',
    })
    const elapsedMs = (await moment) - pressedAt
    console.log(`kick-out to page change: ${elapsedMs} ms`)
    expect(elapsedMs).toBeLessThan(1000)
    const outcome = /Ben is out: in force on 1 of 1 server after \d+ ms/
    await ada.locator('#status').getByText(outcome).waitFor()
    await ada.locator('#kick-outs').getByText('left the company').waitFor()
    expect(await ben.evaluate(() => document.activeElement?.id)).toBe('ended-title')
    await ben.getByText('An administrator has signed you out').waitFor()
    await ben.locator('#ended').getByText('closed with 4401 (revoked)').waitFor()
    expect(await ben.locator('#ended').textContent()).not.toContain('left the company')
    expect(await isSignedIn(cleo)).toBe(true)
    await signIn(ben, 'Ben')
    expect(await isSignedIn(ben)).toBe(true)
  })

  test('an admin ends one session and leaves the other', async () => {
    const ada = await stage.signedIn('Ada')
    const [laptop, phone] = [await stage.browser.newPage(), await stage.browser.newPage()]
    for (const [page, device] of [[laptop, 'Laptop'], [phone, 'Phone']] as const) {
      await page.goto(stage.loginUrl)
      await page.getByLabel('Name of this device').fill(device)
      await signIn(page, 'Ben')
    } // prettier-ignore
    await openAdmin(ada)
    await pressAndConfirm(ada, "End the session of Ben's Phone", { yes: 'Yes, end it' })
    await phone.getByText('An administrator has signed you out').waitFor()
    expect(await isSignedIn(laptop)).toBe(true)
  })

  test('my other device is signed out from this one', async () => {
    const laptop = await stage.signedIn('Cleo')
    const phone = await stage.browser.newPage()
    await phone.goto(stage.loginUrl)
    await phone.getByLabel('Name of this device').fill('Phone')
    await signIn(phone, 'Cleo')
    const moment = momentOfSignOut(phone)
    const pressedAt = await press(laptop, 'Sign out Phone')
    expect((await moment) - pressedAt).toBeLessThan(1000)
    await laptop.getByText('Phone is signed out.').waitFor()
    await phone.getByText('from another of your devices').waitFor()
    expect(await isSignedIn(laptop)).toBe(true)
  })

  test('a device that may still be signed in is said to be', async () => {
    const laptop = await stage.signedIn('Cleo')
    const phone = await stage.browser.newPage()
    await phone.goto(stage.loginUrl)
    await phone.getByLabel('Name of this device').fill('Pocket')
    await signIn(phone, 'Cleo')
    await laptop.route('**/me/sessions/*', async (route) => route.abort())
    await press(laptop, 'Sign out Pocket')
    await laptop.getByText('Pocket may still be signed in. Try again.').waitFor()
    expect(await isSignedIn(phone)).toBe(true)
  })

  test('a stolen cookie, used, throws out the thief and the victim', async () => {
    const page = await stage.signedIn('Ben')
    await press(page, 'Let a thief copy my cookie')
    // The reader sets the pace: nothing ends before the page refreshes.
    await page.locator('#theft-story').getByText('read the notes (200)').waitFor()
    expect(await isSignedIn(page)).toBe(true)
    await press(page, 'Refresh, as this page soon would')
    await page.getByText('another person had a copy of it').waitFor()
    const story = page.locator('#ended-story')
    await story.getByText('refreshing is refused (400), and so is reading (401)').waitFor()
    expect(await story.getByText('refreshed with it (200)').isVisible()).toBe(true)
  })
})
