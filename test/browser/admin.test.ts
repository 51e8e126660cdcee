import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { RedisServer } from '../../example-app/tour/redis-server.ts'
import { overflow, smallTargets, weakTexts } from './look.ts'
import { openAdmin, press, pressAndConfirm, setStage, signIn, type Stage } from './stage.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

let redis: RedisServer
let stage: Stage
/** What the policy of the page has refused, and errors that nothing caught. */
const complaints: string[] = []

beforeAll(async () => {
  redis = await RedisServer.start()
  stage = await setStage({ redisUrl: redis.url })
})

afterEach(async () => {
  expect(complaints.splice(0)).toEqual([])
  await Promise.all(stage.browser.contexts().map(async (context) => context.close()))
})

afterAll(async () => {
  await stage.close()
  await redis.remove()
})

/** A resource server in a process of its own, which can be paused. */
async function startThirdServer(): Promise<ChildProcess> {
  const script = `
    import { redisRevocations } from 'express-kickout/redis'
    const revocations = redisRevocations(process.env.URL, { prefix: 'kickout-demo' })
    await revocations.ready()
    console.log('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
    env: { ...process.env, URL: redis.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

async function openAs(name: string, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await (await stage.browser.newContext(options)).newPage()
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (/Content Security Policy|Trusted/.test(message.text())) complaints.push(message.text())
  })
  await page.goto(stage.loginUrl)
  await signIn(page, name)
  return page
}

async function adminPage(options: BrowserContextOptions = {}): Promise<Page> {
  const page = await openAs('Ada', options)
  await openAdmin(page)
  return page
}

describe('the people', () => {
  test('are found by a part of their name, and anyone by an exact id', async () => {
    const page = await adminPage()
    const rows = page.locator('#sessions > li:not(.nested)')
    await page.getByRole('button', { name: 'Kick out Cleo', exact: true }).waitFor()
    expect(await rows.count()).toBe(3)
    const search = page.getByLabel('Find a person')
    await search.fill('cLe')
    await page.getByRole('button', { name: 'Kick out Ben', exact: true }).waitFor({ state: 'detached' })
    expect(await rows.count()).toBe(1)

    await stage.issuer.startSession({ subject: 'u-4711', device: { name: 'Tablet' } })
    await search.fill('u-4711')
    await page.getByText('Signed in on 1 device').waitFor()
    expect(await page.locator('#sessions').textContent()).toContain('Tablet')
  }) // prettier-ignore

  test('are kicked out after a question with their name, and oneself after another one', async () => {
    const page = await adminPage()
    await press(page, 'Kick out Ada')
    await page.getByRole('heading', { name: 'Kick out yourself, Ada?' }).waitFor()
    await page.getByText('This page is one of them.').waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('heading', { name: 'Kick out yourself, Ada?' }).waitFor({ state: 'hidden' })
    expect(await page.getByRole('heading', { name: 'Who is signed in where' }).isVisible()).toBe(true)
    await pressAndConfirm(page, 'Kick out Ada', { yes: 'Yes, kick out Ada' })
    await page.getByText('An administrator has signed you out').waitFor()
  }) // prettier-ignore

  test.each([
    ['an answer 503', 'the kick-out was not stored'],
    ['no answer', 'the login service did not answer'],
  ])('are not out after %s, and that is said', async (what, why) => {
    const [page, ben] = [await adminPage(), await openAs('Ben')]
    await page.route('**/admin/kick-outs', async (route) => {
      if (route.request().method() !== 'POST') await route.continue()
      else if (what === 'no answer') await route.abort()
      else await route.fulfill({ status: 503, json: { error_description: why } })
    })
    await pressAndConfirm(page, 'Kick out Ben', { yes: 'Yes, kick out Ben' })
    await page.locator('#status').getByText(`Ben may not be out: ${why}. Try again.`).waitFor()
    expect(await page.locator('#outcome').isVisible()).toBe(false)
    expect(await ben.getByRole('heading', { name: 'My devices' }).isVisible()).toBe(true)
  })

  test('are not shown to anyone else, whatever the address says', async () => {
    const page = await openAs('Ben')
    await page.goto(`${stage.loginUrl}/#admin`)
    await page.reload()
    await page.getByRole('heading', { name: 'My devices' }).waitFor()
    expect(await page.getByRole('link', { name: 'Admin' }).isVisible()).toBe(false)
    expect(await page.locator('#admin').isVisible()).toBe(false)
  })
})

test('a server that does not confirm is named, and so is when it has the kick-out', async () => {
  const third = await startThirdServer()
  try {
    const page = await adminPage()
    const servers = page.locator('#servers > li')
    await servers.nth(2).waitFor()
    third.kill('SIGSTOP')
    await pressAndConfirm(page, 'Kick out Cleo', { yes: 'Yes, kick out Cleo' })
    const outcome = page.locator('#outcome')
    await outcome.getByText(/in force on 2 of 3 servers after \d+ ms/).waitFor()
    expect(await outcome.locator('li', { hasText: '✓' }).count()).toBe(2)
    const missing = outcome.locator('li', { hasText: '✗' })
    await missing.getByText('has not confirmed it').waitFor()
    // It is still listed, with what it knew before: that is no proof.
    for (let reads = 0; reads < 2; reads++) await page.waitForResponse(/\/admin\/servers$/)
    expect(await missing.count()).toBe(1)
    third.kill('SIGCONT')
    await outcome.getByText('has it since').waitFor()
    expect(await outcome.locator('li', { hasText: '✓' }).count()).toBe(3)
  } finally {
    third.kill('SIGKILL')
  }
})

test('each server has a plot of its staleness that grows to the left, and says it in words', async () => {
  const page = await adminPage()
  const plots = page.getByRole('img', { name: /^Staleness of .+: now \d+ ms, at worst \d+ ms$/ })
  await plots.nth(1).waitFor()
  const points = async (): Promise<number> =>
    plots.first().evaluate((plot) => {
      const line = plot.querySelector('.line')?.getAttribute('d') ?? ''
      return (line.match(/L/g) ?? []).length
    })
  const first = await points()
  await expect(
    page.waitForFunction(
      (before) => {
        const line = document.querySelector('.plot .line')?.getAttribute('d') ?? ''
        return (line.match(/L/g) ?? []).length > before
      },
      first,
      { timeout: 15_000 },
    ),
  ).resolves.toBeTruthy()
})

describe('the history', () => {
  const rows = (page: Page) => page.locator('#kick-outs > li')
  const title = async (page: Page, at: number): Promise<string> =>
    rows(page)
      .nth(at)
      .evaluate((row) => row.querySelector('span')?.firstChild?.textContent ?? '')

  test('has pages and filters', async () => {
    for (let number = 1; number <= 20; number++) {
      const by = { issuer: stage.loginUrl, subject: number % 2 === 0 ? 'ada' : 'support' }
      await stage.issuer.kickOut({ subject: `person-${number}` }, { by, reason: `case ${number}` })
    }
    await stage.issuer.kickOut({ client: 'leaked' }, { by: { issuer: stage.loginUrl, subject: 'ada' } })
    await stage.issuer.kickOut({ subject: 'signed-out-alone' })
    const page = await adminPage()
    const kickOuts = page.locator('#kick-outs')
    await kickOuts.getByText('Client leaked').waitFor()
    expect(await kickOuts.textContent()).not.toContain('signed-out-alone')
    expect(await rows(page).count()).toBe(8)
    expect(await title(page, 1)).toBe('person-20, everywhere')
    expect(await rows(page).nth(1).textContent()).toMatch(/by Ada, “case 20”/)

    await page.getByRole('button', { name: 'Older' }).click()
    await page.getByText('Page 2').waitFor()
    await kickOuts.getByText('person-13, everywhere').waitFor()
    expect(await title(page, 0)).toBe('person-13, everywhere')
    await page.getByRole('button', { name: 'Newer' }).click()
    await kickOuts.getByText('Client leaked').waitFor()
    expect(await page.getByRole('button', { name: 'Newer' }).isDisabled()).toBe(true)

    await page.getByLabel('By whom').fill('support')
    await page.getByLabel('By whom').press('Enter')
    await kickOuts.getByText('person-19, everywhere').waitFor()
    expect(await title(page, 1)).toBe('person-17, everywhere')

    await page.getByLabel('Whom or what').fill('person-3')
    await page.getByRole('button', { name: 'Show', exact: true }).click()
    await page.waitForFunction(() => document.querySelectorAll('#kick-outs > li').length === 1)
    expect(await title(page, 0)).toBe('person-3, everywhere')

    await page.getByLabel('By whom').fill('')
    await page.getByLabel('Whom or what').fill('')
    await page.getByLabel('Level').selectOption('a client')
    await kickOuts.getByText('Client leaked').waitFor()
    await page.getByLabel('Level').selectOption('all levels')
    await page.getByLabel('Only what admins did').uncheck()
    await kickOuts.getByText('signed-out-alone, everywhere').waitFor()
    expect(await rows(page).first().textContent()).toContain('by no admin')
  }) // prettier-ignore
})

describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test('every text has contrast enough, the question too', async () => {
    const page = await adminPage({ colorScheme, viewport: { width: 1040, height: 900 } })
    await openAs('Ben')
    await page.locator('#servers > li').nth(1).waitFor()
    await page.locator('#kick-outs > li').first().waitFor()
    await pressAndConfirm(page, 'Kick out Ben', { yes: 'Yes, kick out Ben', reason: 'lost phone' })
    await page.locator('#outcome li').nth(1).waitFor()
    expect(await weakTexts(page)).toEqual([])
    await press(page, 'Kick out Cleo')
    expect(await weakTexts(page)).toEqual([])
  })
})

test.each([320, 390])('%i pixels wide it fits, and a thumb hits everything', async (width) => {
  const page = await adminPage({ viewport: { width, height: 844 } })
  await page.locator('#servers > li').first().waitFor()
  expect(await overflow(page)).toBe(0)
  expect(await smallTargets(page)).toEqual([])
  // The people come first: nothing has to be scrolled to for kicking a user out.
  const button = page.getByRole('button', { name: 'Kick out Ada', exact: true })
  expect((await button.boundingBox())?.y).toBeLessThan(600)
  await press(page, 'Kick out Ben')
  expect(await overflow(page)).toBe(0)
  expect(await smallTargets(page)).toEqual([])
})
