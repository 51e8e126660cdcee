import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { overflow, smallTargets, weakTexts } from './look.ts'
import { press, setStage, signIn, type Stage } from './stage.ts'

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

async function openPage(options: BrowserContextOptions, on = stage): Promise<Page> {
  const page = await (await on.browser.newContext(options)).newPage()
  await page.goto(on.loginUrl)
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  return page
}

describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test('every text has contrast enough', async () => {
    const page = await openPage({ colorScheme, viewport: { width: 1040, height: 560 } })
    expect(await weakTexts(page)).toEqual([])

    await signIn(page, 'Ada')
    expect(await weakTexts(page)).toEqual([])

    await press(page, 'Let a thief copy my cookie')
    await page.locator('#theft-story').getByText('The thief copied').waitFor()
    expect(await weakTexts(page)).toEqual([])
    await press(page, 'Refresh, as this page soon would')
    await page.getByText('The thief tried again').waitFor()
    expect(await weakTexts(page)).toEqual([])
  })

  test('the page really is that way', async () => {
    const page = await openPage({ colorScheme })
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    expect(ground).toBe(colorScheme === 'light' ? 'rgb(244, 246, 248)' : 'rgb(18, 23, 29)')
  })
})

describe('on a phone', () => {
  test.each([320, 390])('%i pixels wide, nothing has to be scrolled sideways', async (width) => {
    const page = await openPage({ viewport: { width, height: 844 }, colorScheme: 'dark' })
    expect(await overflow(page)).toBe(0)
    await signIn(page, 'Ada')
    await page.getByLabel('New note').fill('W'.repeat(200))
    await page.getByRole('button', { name: 'Add' }).click()
    await page.getByText('Note added.').waitFor()
    expect(await overflow(page)).toBe(0)
    expect(await smallTargets(page)).toEqual([])
  })
})

describe('with the keyboard alone', () => {
  /** Presses Tab until something with that accessible name has the focus. */
  async function tabTo(page: Page, name: string, key = 'Tab'): Promise<void> {
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press(key)
      const focused = await page.evaluate(() => {
        const element = document.activeElement
        const label = element instanceof HTMLInputElement ? element.labels?.[0] : element
        return (element?.getAttribute('aria-label') ?? label?.textContent ?? '').trim()
      })
      if (focused !== name) continue
      const outline = await page.evaluate(
        () => getComputedStyle(document.activeElement ?? document.body).outlineStyle,
      )
      expect(outline).toBe('solid')
      return
    }
    throw new Error(`Tab never came to "${name}"`)
  }

  const focusedLabel = async (page: Page): Promise<unknown> =>
    page.evaluate(() => document.activeElement?.getAttribute('aria-label'))

  test('signing in, adding a note and kicking a user out all work', async () => {
    const cleo = await stage.signedIn('Cleo')
    const page = await openPage({})
    await tabTo(page, 'Name')
    await page.keyboard.type('ada')
    await tabTo(page, 'Password')
    await page.keyboard.type('analytical engine')
    await page.keyboard.press('Enter')
    await page.getByText('Live from API server').waitFor()
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('notes-title')

    await tabTo(page, 'New note')
    await page.keyboard.type('No mouse needed')
    await page.keyboard.press('Enter')
    await page.locator('#notes').getByText('No mouse needed').waitFor()

    await tabTo(page, 'Admin', 'Shift+Tab')
    await page.keyboard.press('Enter')
    await page.waitForFunction(() => document.activeElement?.id === 'admin-title')
    await page.getByRole('button', { name: 'Kick out Cleo', exact: true }).waitFor()
    await tabTo(page, 'Kick out Cleo')
    await page.keyboard.press('Enter')
    // It asks first, with the name; Escape is no, and the keyboard is where it was.
    await page.getByRole('heading', { name: 'Kick out Cleo?' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('heading', { name: 'Kick out Cleo?' }).waitFor({ state: 'hidden' })
    expect(await focusedLabel(page)).toBe('Kick out Cleo')
    expect(await cleo.getByRole('heading', { name: 'My devices' }).isVisible()).toBe(true)
    await page.keyboard.press('Enter')
    await page.keyboard.type('left')
    await page.keyboard.press('Enter')
    await cleo.getByText('You have been signed out').waitFor()
    // The list was redrawn, and the keyboard is where it was.
    await page.locator('#sessions li', { hasText: 'Cleo' }).getByText('Not signed in').waitFor()
    expect(await focusedLabel(page)).toBe('Kick out Cleo')
  })

  test('what changes is said: a status, alerts, and labels on everything that takes input', async () => {
    const page = await openPage({})
    expect(await page.locator('[role=status]').count()).toBe(1)
    expect(await page.locator('[role=alert]').count()).toBe(3)
    expect(await page.locator('main').count()).toBe(1)
    const unlabelled = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLInputElement>('input, select')]
        .filter((input) => input.labels?.length !== 1)
        .map((input) => input.name),
    )
    expect(unlabelled).toEqual([])
  })
})
