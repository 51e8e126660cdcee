import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { type Servers, startServers } from '../../example-app/servers.ts'

/** The example and a browser to look at it with. Each context is a browser of its own to the servers. */
export interface Stage extends Servers {
  browser: Browser
  /** A page signed in as one of the demo's people, in a context of its own unless given one. */
  signedIn(name: string, context?: BrowserContext): Promise<Page>
  /** A page of another site. */
  foreignPage(context: BrowserContext, host: 'localhost' | '127.0.0.1'): Promise<Page>
}

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const macPaths = ['Chromium', 'Google Chrome'].map(
  (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
)

function findChromium(): string {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const candidates = folders.flatMap((folder) => names.map((name) => join(folder, name)))
  const own = process.env.CHROMIUM_PATH
  const found = own ?? [...candidates, ...macPaths].find((path) => existsSync(path))
  if (found === undefined) throw new Error('No Chromium: run "node scripts/ensure-chromium.mjs"')
  return found
}

const flags = [
  '--no-sandbox', // as root there is none to be had
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** With the back/forward cache, which Playwright switches off. */
export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: findChromium(),
    args: flags,
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  })
}

export async function setStage({
  redisUrl,
  ...options
}: { redisUrl?: string | undefined; providerPort?: number } = {}): Promise<Stage> {
  const apiPorts = redisUrl === undefined ? [0] : [0, 0]
  const servers = await startServers({ loginPort: 0, apiPorts, redisUrl, ...options })
  const browser = await launchBrowser()
  const foreign = createServer((_req, res) => {
    res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Elsewhere</title>')
  })
  await new Promise<void>((resolve) => foreign.listen(0, resolve))
  const foreignPort = (foreign.address() as AddressInfo).port

  return {
    ...servers,
    browser,
    async signedIn(name, context) {
      const page = await (context ?? (await browser.newContext())).newPage()
      await page.goto(servers.loginUrl)
      await signIn(page, name)
      return page
    },
    async foreignPage(context, host) {
      const page = await context.newPage()
      await page.goto(`http://${host}:${foreignPort}/`)
      return page
    },
    async close() {
      await browser.close()
      foreign.close()
      await servers.close()
    },
  }
}

/** Fills in and sends the form of a page that shows it. */
export async function signIn(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: `Fill in ${name}` }).click()
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('heading', { name: 'My devices' }).waitFor()
  await page.getByText('Live from API server').waitFor()
}

/** The admin's view of a page that is signed in as one. */
export async function openAdmin(page: Page): Promise<void> {
  await page.getByRole('link', { name: 'Admin' }).click()
  await page.getByRole('heading', { name: 'Who is signed in where' }).waitFor()
  await page.locator('#sessions li').first().waitFor()
}

/** Presses a button that asks first, and says yes. Resolves to when, by the machine's clock. */
export async function pressAndConfirm(
  page: Page,
  name: string,
  { yes, reason = '' }: { yes: string; reason?: string },
): Promise<number> {
  await press(page, name)
  await page.getByLabel('Reason, for the record').fill(reason)
  return press(page, yes)
}

/** Resolves to when the page has turned into the sign-in page by itself, by the machine's clock. */
export async function momentOfSignOut(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const view = document.getElementById('signed-out')
    if (!view) throw new Error('There is no #signed-out')
    return new Promise<number>((resolve) => {
      new MutationObserver(() => {
        if (!view.hidden) resolve(Date.now())
      }).observe(view, { attributes: true })
    })
  })
}

/** Presses a button and tells when, by the machine's clock. */
export async function press(page: Page, name: string): Promise<number> {
  const button = page.getByRole('button', { name, exact: true })
  await button.waitFor()
  return button.evaluate((element) => {
    const at = Date.now()
    ;(element as HTMLButtonElement).click()
    return at
  })
}
