import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { RedisServer } from '../../example-app/tour/redis-server.ts'
import { taken, takeScreenshot, takesScreenshots } from './look.ts'
import { openAdmin, press, pressAndConfirm, setStage, signIn, type Stage } from './stage.ts'

/* The pictures of the docs, as one story. `SCREENSHOTS=1` saves them to docs/images; the story is told either way. */

let redis: RedisServer
let stage: Stage

beforeAll(async () => {
  redis = await RedisServer.start()
  stage = await setStage({ redisUrl: redis.url })
})

afterAll(async () => {
  await stage.close()
  await redis.remove()
})

const desk = { viewport: { width: 1040, height: 690 } }
const phone = { viewport: { width: 390, height: 720 }, colorScheme: 'dark' } as const

async function openPage(options: BrowserContextOptions): Promise<Page> {
  const page = await (await stage.browser.newContext(options)).newPage()
  await page.goto(stage.loginUrl)
  return page
}

async function signInOn(page: Page, name: string, device: string): Promise<void> {
  await page.getByLabel('Name of this device').fill(device)
  await signIn(page, name)
}

async function addNote(page: Page, text: string): Promise<void> {
  await page.getByLabel('New note').fill(text)
  await page.keyboard.press('Enter')
  await page.locator('#notes').getByText(text).waitFor()
}

/** From the top, and without a focus that an earlier step has left behind. */
async function fromTheTop(page: Page): Promise<void> {
  await page.evaluate(() => {
    window.scrollTo(0, 0)
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur()
  })
}

test('Ada kicks Ben out, on the desk and on the phone', async () => {
  const [ada, ben, pocket] = [await openPage(desk), await openPage(phone), await openPage(phone)]
  await signInOn(ben, 'Ben', 'Phone')
  await signInOn(ada, 'Ada', 'Desk')
  await addNote(ada, 'Order punched cards')
  await addNote(ben, 'Fly the kite')
  await fromTheTop(ada)
  await takeScreenshot(ada, 'signed-in')

  await openAdmin(ada)
  await ada.locator('#servers li').nth(1).waitFor()
  // The plots have something to show.
  await ada.waitForFunction((points) => {
    const line = document.querySelector('.plot .line')?.getAttribute('d') ?? ''
    return (line.match(/L/g) ?? []).length > points
  }, takesScreenshots ? 18 : 2, { timeout: 50_000 }) // prettier-ignore
  await pressAndConfirm(ada, 'Kick out Ben', { yes: 'Yes, kick out Ben', reason: 'lost phone' })
  await ben.getByText('An administrator has signed you out').waitFor()
  await fromTheTop(ben)
  await takeScreenshot(ben, 'phone-kicked-out')
  await ada.locator('#kick-outs').getByText('lost phone').waitFor()
  await ada.locator('#outcome li').nth(1).waitFor()
  await ada.setViewportSize({ width: 1040, height: 1000 })
  await fromTheTop(ada)
  await takeScreenshot(ada, 'admin')
  await ada.emulateMedia({ colorScheme: 'dark' })
  await takeScreenshot(ada, 'admin-dark')

  await signInOn(pocket, 'Ada', 'Phone')
  await openAdmin(pocket)
  await press(pocket, 'Kick out Cleo')
  await pocket.getByLabel('Reason, for the record').fill('laptop sold')
  await takeScreenshot(pocket, 'phone-admin')
  expect(await pocket.getByRole('button', { name: 'Yes, kick out Cleo' }).isVisible()).toBe(true)
})

test('every picture of the docs was taken here, and every one taken is shown there', () => {
  const page = readFileSync(new URL('../../example-app/README.md', import.meta.url), 'utf8')
  const shown = [...page.matchAll(/\(\.\.\/docs\/images\/([\w-]+)\.png\)/g)].map(([, name]) => name)
  expect(shown.toSorted()).toEqual(taken().toSorted())
  const kept = readdirSync(new URL('../../docs/images/', import.meta.url))
  expect(kept.toSorted()).toEqual(taken().map((name) => `${name}.png`).toSorted())
}) // prettier-ignore
