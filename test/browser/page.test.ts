import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { press, setStage, signIn, type Stage } from './stage.ts'

const images = fileURLToPath(new URL('../../docs/images/', import.meta.url))
const takesScreenshots = process.env.SCREENSHOTS === '1'

let stage: Stage

beforeAll(async () => {
  stage = await setStage()
  if (takesScreenshots) mkdirSync(images, { recursive: true })
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

/** For the README, on request only: pictures differ by machine. */
async function takeScreenshot(page: Page, name: string): Promise<void> {
  if (takesScreenshots) await page.screenshot({ path: `${images}${name}.png` })
}

/** Every visible text with less contrast to what is behind it than WCAG 2.2 AA asks for. */
async function weakTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    type Colour = [number, number, number, number]
    const parse = (text: string): Colour => {
      const [r = 0, g = 0, b = 0, a = 1] = (text.match(/[\d.]+/g) ?? []).map(Number)
      return [r, g, b, a]
    }
    const luminance = ([r, g, b]: Colour): number => {
      const channel = (value: number): number => {
        const share = value / 255
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      }
      return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
    }
    const behind = (element: Element | null): Colour => {
      for (let at = element; at; at = at.parentElement) {
        const colour = parse(getComputedStyle(at).backgroundColor)
        if (colour[3] === 1) return colour
      }
      return [255, 255, 255, 1]
    }
    const elements = [...document.querySelectorAll('body *')].filter(
      (element) =>
        element.checkVisibility() &&
        [...element.childNodes].some(
          (node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim() !== '',
        ),
    )
    return elements.flatMap((element) => {
      const text = luminance(parse(getComputedStyle(element).color))
      const ground = luminance(behind(element))
      const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)
      return ratio < 4.5 ? [`${ratio.toFixed(2)}: ${element.textContent}`] : []
    })
  })
}

describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test('every text has contrast enough', async () => {
    const page = await openPage({ colorScheme, viewport: { width: 1040, height: 560 } })
    expect(await weakTexts(page)).toEqual([])
    await takeScreenshot(page, `sign-in-${colorScheme}`)

    await signIn(page, 'Ada')
    await page.getByText('Signed in on').first().waitFor()
    expect(await weakTexts(page)).toEqual([])

    await press(page, 'Let a thief copy my cookie')
    await page.getByText('The thief tried again').waitFor()
    expect(await weakTexts(page)).toEqual([])
    await takeScreenshot(page, `theft-${colorScheme}`)
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
    const overflow = async (): Promise<number> =>
      page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
    expect(await overflow()).toBe(0)
    await signIn(page, 'Ada')
    await page.getByText('Signed in on').first().waitFor()
    await page.getByLabel('New note').fill('W'.repeat(200))
    await page.getByRole('button', { name: 'Add' }).click()
    await page.getByText('Note added.').waitFor()
    expect(await overflow()).toBe(0)
  })
})

describe('with the keyboard alone', () => {
  /** Presses Tab until something with that accessible name has the focus. */
  async function tabTo(page: Page, name: string): Promise<void> {
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press('Tab')
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

  test('signing in, adding a note and kicking somebody out all work', async () => {
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

    await page.getByRole('button', { name: 'Kick out Cleo' }).waitFor()
    await tabTo(page, 'Kick out Cleo')
    await page.keyboard.press('Enter')
    await cleo.getByText('You have been signed out').waitFor()
    // The list was drawn anew, and the keyboard is where it was.
    await page.locator('#sessions li', { hasText: 'Cleo' }).getByText('Not signed in').waitFor()
    const label = await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))
    expect(label).toBe('Kick out Cleo')
  })

  test('what changes is said: a status, alerts, and labels on everything that takes input', async () => {
    const page = await openPage({})
    expect(await page.locator('[role=status]').count()).toBe(1)
    expect(await page.locator('[role=alert]').count()).toBe(2)
    const unlabelled = await page.evaluate(() =>
      [...document.querySelectorAll('input')]
        .filter((input) => input.labels?.length !== 1)
        .map((input) => input.name),
    )
    expect(unlabelled).toEqual([])
  })
})

test('the story in pictures', async () => {
  if (!takesScreenshots) return
  // Nobody else is signed in there; and with a Redis there are several servers to see.
  const fresh = await setStage({ redisUrl: process.env.REDIS_URL })
  const ada = await openPage({ viewport: { width: 1040, height: 690 } }, fresh)
  const phone = await openPage(
    { viewport: { width: 390, height: 620 }, colorScheme: 'dark' },
    fresh,
  )
  await phone.getByLabel('Name of this device').fill('Phone')
  await signIn(phone, 'Ben')
  await signIn(ada, 'Ada')
  for (const [page, text] of [[ada, 'Order punched cards'], [phone, 'Fly the kite']] as const) {
    await page.getByLabel('New note').fill(text)
    await page.keyboard.press('Enter')
    await page.locator('#notes').getByText(text).waitFor()
  } // prettier-ignore
  await ada.getByText('Signed in on 1 device').nth(1).waitFor()
  await takeScreenshot(ada, 'signed-in')
  await phone.evaluate(() => {
    window.scrollTo(0, 0)
  })
  await takeScreenshot(phone, 'phone-signed-in')
  await ada.getByLabel('Reason').fill('lost phone')
  await press(ada, 'Kick out Ben')
  await phone.getByText('You have been signed out').waitFor()
  await ada.locator('#kick-outs').getByText('lost phone').waitFor()
  await takeScreenshot(phone, 'phone-kicked-out')
  await ada.setViewportSize({ width: 1040, height: 1400 })
  await ada.locator('#admin').screenshot({ path: `${images}admin.png` })
  await fresh.close()
})
