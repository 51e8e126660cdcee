import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { overflow, smallTargets, weakTexts } from './look.ts'
import { openAdmin, pressAndConfirm, setStage, type Stage } from './stage.ts'

let stage: Stage

beforeAll(async () => {
  stage = await setStage({ providerPort: 0 })
})

afterEach(async () => {
  await Promise.all(stage.browser.contexts().map(async (context) => context.close()))
})

afterAll(async () => {
  await stage.close()
})

async function signInByAcme(name: string): Promise<Page> {
  const context = await stage.browser.newContext({ viewport: { width: 390, height: 844 } })
  const page = await context.newPage()
  await page.goto(stage.loginUrl)
  expect(await overflow(page)).toBe(0)
  await page.getByRole('button', { name: 'Sign in with Acme' }).click()
  await page.getByRole('heading', { name: 'Sign in at Acme' }).waitFor()
  expect(await weakTexts(page)).toEqual([])
  expect(await smallTargets(page)).toEqual([])
  await page.getByRole('button', { name }).click()
  await page.getByText('Live from API server').waitFor()
  return page
}

test('a sign-out at the provider empties the page, and one may come back', async () => {
  const page = await signInByAcme('Dora')
  expect(await page.locator('#who-name').textContent()).toBe('Dora of Acme')
  expect(page.url()).toBe(`${stage.loginUrl}/`)
  expect(await weakTexts(page)).toEqual([])
  expect(await overflow(page)).toBe(0)
  const opened = page.context().waitForEvent('page')
  await page.getByRole('link', { name: 'Sign out of Acme' }).click()
  const acme = await opened
  await acme.getByRole('button', { name: 'Sign out' }).click()
  await acme.getByRole('heading', { name: 'You have signed out of Acme' }).waitFor()
  await page.getByText('You have signed out of the provider').waitFor()
  await page.locator('#ended').getByText('closed with 4401 (revoked)').waitFor()
  expect(await page.getByRole('heading', { name: 'My devices' }).isVisible()).toBe(false)

  await page.getByRole('button', { name: 'Sign in with Acme' }).click()
  await page.getByRole('button', { name: 'Emil' }).click()
  await page.getByText('Live from API server').waitFor()
  expect(await page.locator('#who-name').textContent()).toBe('Emil of Acme')
})

test('a reload keeps the session, and the answer of the provider is in no address', async () => {
  const page = await signInByAcme('Emil')
  await page.reload()
  await page.getByText('Live from API server').waitFor()
  expect(await page.evaluate(() => JSON.stringify([location.href, document.referrer]))).toBe(
    JSON.stringify([`${stage.loginUrl}/`, '']),
  )
})

test('an admin here kicks out a user from there', async () => {
  const emil = await signInByAcme('Emil')
  const ada = await stage.signedIn('Ada')
  await openAdmin(ada)
  await pressAndConfirm(ada, 'Kick out Emil of Acme', { yes: 'Yes, kick out Emil of Acme' })
  await emil.getByText('An administrator has signed you out').waitFor()
})

test('a visitor who comes back without having been sent is told so', async () => {
  const page = await stage.browser.newPage()
  await page.goto(`${stage.loginUrl}/?error=access_denied&state=x`)
  await page.getByText('Acme did not sign you in').waitFor()
  expect(page.url()).toBe(`${stage.loginUrl}/`)
})
