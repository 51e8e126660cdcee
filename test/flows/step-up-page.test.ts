import { expect, test } from '@jest/globals'
import type { Express } from 'express'
import type { TokenResponse } from '../../src/issuer/index.ts'
import { blocksOf, readPage } from '../support/documentation.ts'
import { claimsOf, closeKitsAfterEach, createKit, serve } from '../support/issuer-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { runBlock } from '../support/run-block.ts'

closeKitsAfterEach()

const page = 'docs/step-up.md'
const [api, login, inThePage] = blocksOf(page, readPage(page)).map(({ shown }) => shown)
const load = async (name: string): Promise<unknown> => import(name)

/** What the page's sample uses of a KickoutClient, without a page. */
interface Client {
  fetch(url: string, init: object): Promise<Response>
  token(): Promise<string>
  resume(): Promise<void>
}
type Transfer = (client: Client, askForCode: () => Promise<string>) => Promise<Response>

test('docs/step-up.md: API, login service and page work together as they stand there', async () => {
  // The samples go by the real time.
  const kit = await createKit({ clock: new FakeClock(Date.now()) })
  const addresses: [string, string][] = [['https://login.example.com', kit.base]]
  const { revocations } = kit.issuer
  const apiApp = await runBlock(api!, load, { addresses, given: { revocations }, wanted: 'app' })
  const apiServer = await serve(apiApp as Express)
  const asked: unknown[] = []
  const isOneTimePassword = async (subject: string, body: { code?: string }) => {
    asked.push(subject)
    return body.code === '123456'
  }
  const given = { issuer: kit.issuer, isOneTimePassword }
  const loginApp = await runBlock(login!, load, { addresses, given, wanted: 'login' })
  const loginServer = await serve(loginApp as Express)
  const transfer = (await runBlock(inThePage!, load, {
    addresses: [
      ['https://login.example.com', loginServer.url],
      ['https://api.example.com', apiServer.url],
    ],
    wanted: 'transfer',
  })) as Transfer

  let tokens: TokenResponse = await kit.startSession({ acr: 'pwd' })
  const client: Client = {
    fetch: async (url, init) =>
      fetch(url, { ...init, headers: { authorization: `Bearer ${tokens.access_token}` } }),
    token: async () => tokens.access_token,
    resume: async () => {
      const { json } = await kit.refresh(tokens.refresh_token)
      tokens = { ...tokens, ...json }
    },
  }
  expect((await transfer(client, async () => 'wrong')).status).toBe(401)
  expect(claimsOf(tokens)).toMatchObject({ acr: 'pwd' })
  expect((await transfer(client, async () => '123456')).status).toBe(200)
  expect(claimsOf(tokens)).toMatchObject({ acr: 'mfa', amr: ['pwd', 'otp'] })
  expect(asked).toEqual(['u1', 'u1'])

  await kit.issuer.kickOut({ subject: 'u1' })
  expect((await client.fetch(`${apiServer.url}/transfers`, { method: 'POST' })).status).toBe(401)
})
