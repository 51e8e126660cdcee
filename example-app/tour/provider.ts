import type { Servers } from '../servers.ts'
import { Browser } from './browser.ts'
import { Device, type Tokens } from './device.ts'
import { duration, expectEqual, step } from './narrator.ts'

/** Acme's account signs in here, by way of Acme. Resolves to the tokens of the session. */
async function signInByAcme(browser: Browser, { loginUrl }: Servers): Promise<Tokens> {
  const begun = await browser.send(`${loginUrl}/login/provider`, { method: 'POST' })
  const { url } = (await begun.json()) as { url: string }
  let page = await browser.follow(url, `${loginUrl}/`)
  const form = /action="([^"]+)"/.exec(page.text)?.[1]
  // Acme sends a user who is signed in there back at once.
  if (form !== undefined) {
    const body = new URLSearchParams({ account: 'dora' })
    page = await browser.follow(new URL(form, page.url).href, `${loginUrl}/`, body)
  }
  const finished = await browser.send(`${loginUrl}/login/provider/finish`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ answer: new URL(page.url).search.slice(1), device: 'desk' }),
  })
  expectEqual('coming back from Acme', finished.status, 200)
  return (await finished.json()) as Tokens
}

/** Signs out of Acme, by its page. */
async function signOutOfAcme(browser: Browser, acmeUrl: string): Promise<void> {
  const question = await browser.follow(`${acmeUrl}/session/end?client_id=notes`)
  const [, action = ''] = /action="([^"]+)"/.exec(question.text) ?? []
  const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(question.text) ?? []
  const answer = await browser.follow(
    action,
    undefined,
    new URLSearchParams({ xsrf, logout: 'yes' }),
  )
  expectEqual('the page of Acme', answer.status, 200)
}

/** The identity provider of another company: signing in by it, and being signed out by it. */
export async function tellProvider(servers: Servers): Promise<void> {
  const { providerUrl } = servers
  if (providerUrl === undefined) return
  const browser = new Browser()
  const dora = new Device(servers, 'acme:dora', 'desk')

  await step('Dora, who has no password here, signs in by Acme', async () => {
    dora.takeUp(await signInByAcme(browser, servers))
    expectEqual('Dora reads', await dora.readNotes(), '200')
    expectEqual('Dora adds a note', (await dora.addNote('From Acme')).status, 201)
    return 'a code with PKCE, an ID token of Acme, and then a session like any other'
  })

  await step('Dora signs out of Acme: its back-channel logout empties her page', async () => {
    const { closed } = await dora.openStreams()
    const sockets = await dora.openSockets()
    const startedAt = performance.now()
    await signOutOfAcme(browser, providerUrl)
    expectEqual('Dora reads', await dora.readUntil('401'), '401')
    const cutAfter = duration((await closed) - startedAt)
    expectEqual('how the WebSockets were closed', (await sockets.closed).codes, '4401')
    const refused = await dora.refresh()
    expectEqual('the refresh', refused.status, 400)
    return `401 on every server, streams cut ${cutAfter} after the click at Acme, no refresh`
  })

  await step('Dora signs in by Acme again and is in', async () => {
    dora.takeUp(await signInByAcme(browser, servers))
    expectEqual('Dora reads', await dora.readNotes(), '200')
    return 'what was kicked out is the past, not the account'
  })
}
