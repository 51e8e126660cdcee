import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'

const images = fileURLToPath(new URL('../../docs/images/', import.meta.url))
export const takesScreenshots = process.env.SCREENSHOTS === '1'

const names = new Set<string>()

/** The names of the pictures, saved or not. */
export const taken = (): string[] => [...names]

/** For the docs, on request only (`SCREENSHOTS=1`): pictures differ by machine. */
export async function takeScreenshot(what: Page, name: string): Promise<void> {
  names.add(name)
  if (!takesScreenshots) return
  mkdirSync(images, { recursive: true })
  await what.screenshot({ path: `${images}${name}.png` })
}

/** How many pixels one would have to scroll sideways. */
export async function overflow(page: Page): Promise<number> {
  await page.waitForLoadState('load')
  return page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
}

/** Every visible text with less contrast to what is behind it than WCAG 2.2 AA asks for. */
export async function weakTexts(page: Page): Promise<string[]> {
  await page.waitForLoadState('load')
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

/** Buttons, links of the header and fields that a thumb misses. */
export async function smallTargets(page: Page): Promise<string[]> {
  await page.waitForLoadState('load')
  return page.evaluate(() =>
    [...document.querySelectorAll('button, nav a, input, select')]
      .filter((element) => element.checkVisibility())
      .map((element) => ({
        target: element.closest('label.check') ?? element,
        name: element.textContent,
      }))
      .filter(({ target }) => target.getBoundingClientRect().height < 44)
      .map(({ name }) => name),
  )
}
