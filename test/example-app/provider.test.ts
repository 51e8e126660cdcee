import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { listen } from '../../example-app/listen.ts'
import { providerSignInRouter } from '../../example-app/provider/sign-in.ts'
import { type Servers, startServers } from '../../example-app/servers.ts'
import { Browser } from '../../example-app/tour/browser.ts'

let servers: Servers
let browser: Browser

beforeAll(async () => {
  servers = await startServers({ loginPort: 0, apiPorts: [0], providerPort: 0 })
})

beforeEach(() => {
  browser = new Browser()
})

afterAll(async () => {
  await servers.close()
})

/** Goes to the provider and comes back as one of its accounts: with the query of the answer. */
async function comeBack(account = 'dora'): Promise<string> {
  const home = `${servers.loginUrl}/`
  const begun = await browser.send(`${home}login/provider`, { method: 'POST' })
  const page = await browser.follow(((await begun.json()) as { url: string }).url, home)
  const form = new URL(/action="([^"]+)"/.exec(page.text)?.[1] ?? '', page.url).href
  const { url } = await browser.follow(form, home, new URLSearchParams({ account }))
  return new URL(url).search.slice(1)
}

async function finish(answer: unknown, by = browser): Promise<Response> {
  return by.send(`${servers.loginUrl}/login/provider/finish`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ answer }),
  })
}

describe('coming back from the provider', () => {
  test('begins a session of a user who is unknown here, with the cookie of any sign-in', async () => {
    const answer = await finish(await comeBack('emil'))
    expect(answer.status).toBe(200)
    expect(answer.headers.getSetCookie().join()).toMatch(/refresh_token_\d+=[^;]+; .*HttpOnly/)
    const { access_token: token } = (await answer.json()) as { access_token: string }
    const [, payload = ''] = token.split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
    expect(claims).toMatchObject({
      iss: servers.loginUrl,
      sub: 'acme:emil',
      scope: 'notes:read notes:write',
    })
  })

  test('is refused a second time, and its first session goes on', async () => {
    const answer = await comeBack()
    const begun = new Browser()
    const first = await finish(answer)
    expect(first.status).toBe(200)
    expect((await finish(answer)).status).toBe(401)
    expect((await finish(answer, begun)).status).toBe(401)
    const { access_token: token } = (await first.json()) as { access_token: string }
    const notes = await fetch(`${servers.apiUrls[0] ?? ''}/notes`, {
      headers: { Authorization: `Bearer ${token}` },
    })
    expect(notes.status).toBe(200)
  })

  test('is refused in another browser, which an attacker may have lured there', async () => {
    const answer = await comeBack()
    const victim = new Browser()
    await victim.send(`${servers.loginUrl}/login/provider`, { method: 'POST' })
    const refused = await finish(answer, victim)
    expect(refused.status).toBe(401)
    expect(refused.headers.getSetCookie().join()).not.toContain('refresh_token')
  })

  test.each([
    ['no answer', undefined],
    ['a list', ['code=1']],
    ['an answer of an error', 'error=access_denied&state=x'],
    ['nonsense', 'code=1&code=2&state=x'],
  ])('with %s is 401', async (_what, answer) => {
    await browser.send(`${servers.loginUrl}/login/provider`, { method: 'POST' })
    expect((await finish(answer)).status).toBe(401)
  })
})

test('while the provider is away, signing in by it is 503', async () => {
  const app = express()
  const { server, url } = await listen(0, '127.0.0.1')
  const gone = await listen(0, '127.0.0.1')
  await new Promise((resolve) => gone.server.close(resolve))
  const registration = { name: 'Acme', issuer: gone.url, clientId: 'notes', clientSecret: 'x' }
  app.use(
    providerSignInRouter({
      registration: { ...registration, signOutUrl: gone.url },
      issuer: servers.issuer,
      issuerUrl: url,
    }),
  )
  server.on('request', app)
  try {
    const begun = await fetch(url, { method: 'POST' })
    expect([begun.status, begun.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await begun.json()).toEqual({ error: 'Acme cannot be reached' })
    const attempt = Buffer.from('{"state":"s","nonce":"n","verifier":"v"}').toString('base64url')
    const finished = await fetch(`${url}/finish`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Cookie: `provider_sign_in=${attempt}` },
      body: JSON.stringify({ answer: 'code=1&state=s' }),
    })
    expect(finished.status).toBe(503)
    expect(finished.headers.getSetCookie().join()).not.toContain('refresh_token')
  } finally {
    server.close()
    server.closeAllConnections()
  }
})

describe('a logout token', () => {
  test('that is none is 400, and no one is out', async () => {
    const answer = await fetch(`${servers.loginUrl}/backchannel-logout`, {
      method: 'POST',
      body: new URLSearchParams({ logout_token: 'a.b.c' }),
    })
    expect(answer.status).toBe(400)
  })
})

describe('the pages of the provider', () => {
  test('run no script, and know two accounts', async () => {
    const home = `${servers.loginUrl}/`
    const begun = await browser.send(`${home}login/provider`, { method: 'POST' })
    const page = await browser.follow(((await begun.json()) as { url: string }).url, home)
    expect(page.text.match(/<button /g)).toHaveLength(2)
    const answer = await browser.send(page.url)
    const policy = answer.headers.get('content-security-policy') ?? ''
    expect(policy).toBe(
      `default-src 'none';style-src 'self';base-uri 'none';form-action 'self' ${servers.loginUrl};frame-ancestors 'none'`,
    )
    const form = new URL(/action="([^"]+)"/.exec(page.text)?.[1] ?? '', page.url).href
    const body = new URLSearchParams({ account: 'mallory' })
    expect((await browser.send(form, { method: 'POST', body })).status).toBe(400)
  })
})
