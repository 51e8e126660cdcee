import { describe, expect, test } from '@jest/globals'
import defaultExpress from 'express'
import { UnavailableError } from '../../src/errors.ts'
import { createIssuer, type IssuerOptions } from '../../src/issuer/index.ts'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import { countingStore } from '../support/counting-store.ts'
import { type Answer, postForm, postJson, send, type Sent } from '../support/http-client.ts'
import {
  audience,
  claimsOf,
  closeKitsAfterEach,
  createKit,
  type Kit,
  type KitOptions,
  loopbackCookieOf,
  secret,
  serve,
  signingKey,
  typesOf,
} from '../support/issuer-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'

closeKitsAfterEach()

const login = 'https://login.example.com'
const page = 'https://app.example.com'
const cookieName = '__Host-refresh_token'
const fromPage = { origin: page }

async function createCookieKit(options: KitOptions = {}): Promise<Kit> {
  return createKit({
    ...options,
    issuer: { issuer: login, cookie: {}, allowedOrigins: [page], ...options.issuer },
  })
}

/** Signs in as a browser does, with whatever cookie it has. */
async function signIn(
  kit: Kit,
  input: object = { subject: 'u1' },
  headers: Sent['headers'] = {},
): Promise<Answer> {
  return postJson(`${kit.url}/login`, input, headers)
}

function setCookiesOf(answer: Answer): string[] {
  return answer.headers['set-cookie'] ?? []
}

/** What a browser would send back. */
function cookieOf(answer: Answer): string {
  const [cookie = ''] = setCookiesOf(answer)
  return cookie.split(';')[0] ?? ''
}

async function refresh(kit: Kit, headers: Sent['headers'], body = 'grant_type=refresh_token') {
  return postForm(`${kit.base}/token`, body, headers)
}

async function logout(kit: Kit, headers: Sent['headers']): Promise<Answer> {
  return send(`${kit.base}/logout`, { method: 'POST', headers: headers ?? {} })
}

describe('the cookie', () => {
  test('K07 has every attribute that keeps scripts and other hosts away', async () => {
    const kit = await createCookieKit()
    const [cookie, ...more] = setCookiesOf(await signIn(kit))
    expect(more).toEqual([])
    expect(cookie).toMatch(
      /^__Host-refresh_token=[A-Za-z0-9_-]{100}; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    )
  })

  test('K07 is renewed with the same attributes, and lives no longer than its session', async () => {
    const kit = await createCookieKit({
      issuer: { session: { idleTtlSeconds: 1000, absoluteTtlSeconds: 1500 } },
    })
    const signedIn = await signIn(kit)
    expect(setCookiesOf(signedIn)[0]).toContain('; Max-Age=1000; ')
    kit.clock.advance(900_000)
    const renewed = await refresh(kit, { ...fromPage, cookie: cookieOf(signedIn) })
    expect(setCookiesOf(renewed)[0]).toMatch(
      /; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    )
    expect(cookieOf(renewed)).not.toBe(cookieOf(signedIn))
  })

  test('K07 is taken away with the same attributes', async () => {
    const kit = await createCookieKit()
    const answer = await logout(kit, { ...fromPage, cookie: cookieOf(await signIn(kit)) })
    expect(setCookiesOf(answer)).toEqual([
      `${cookieName}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Strict`,
    ])
  })

  test('K07 is Lax where that was asked for', async () => {
    const kit = await createCookieKit({
      issuer: { cookie: { sameSite: 'lax', name: '__Host-app' } },
    })
    expect(setCookiesOf(await signIn(kit))[0]).toMatch(/^__Host-app=.*; SameSite=Lax$/)
  })

  test('K06 has its other name, without Secure, on an http loopback issuer and nowhere else', async () => {
    const kit = await createKit({ issuer: { cookie: {} } })
    const answer = await signIn(kit)
    expect(setCookiesOf(answer)[0]).toMatch(
      /^refresh_token_\d+=[A-Za-z0-9_-]{100}; Max-Age=604800; Path=\/; HttpOnly; SameSite=Strict$/,
    )
    const name = loopbackCookieOf(kit)
    const value = cookieOf(answer).slice(name.length + 1)
    const own = { origin: kit.url }
    expect((await refresh(kit, { ...own, cookie: `${cookieName}=${value}` })).status).toBe(400)
    expect((await refresh(kit, { ...own, cookie: `${name}=${value}` })).status).toBe(200)
    const https = await createCookieKit()
    const secure = cookieOf(await signIn(https)).slice(cookieName.length + 1)
    const plain = await refresh(https, { ...fromPage, cookie: `refresh_token=${secure}` })
    expect(plain.status).toBe(400)
  })

  test.each([
    [{ cookie: { name: 'refresh_token' } }, /"cookie.name" must be a cookie name that begins/],
    [{ cookie: { name: '__Host-a b' } }, /"cookie.name"/],
    [{ cookie: { name: '__Host-a;b' } }, /"cookie.name"/],
    [{ cookie: { name: '__Secure-a' } }, /"cookie.name"/],
    [{ cookie: { name: ' __Host-a' } }, /"cookie.name"/],
    [{ cookie: { name: '' } }, /"cookie.name"/],
    [{ cookie: { sameSite: 'none' } }, /"cookie.sameSite" must be one of 'strict', 'lax'/],
    [{ cookie: { domain: 'example.com' } }, /unknown option "domain"/],
    [{ cookie: true }, /cookie: the options must be an object/],
    [
      { issuer: 'http://localhost:3000', cookie: { name: cookieName } },
      /"cookie.name" must be a cookie name without __Host-/,
    ],
    [{ allowedOrigins: ['*'] }, /"allowedOrigins"/],
    [{ allowedOrigins: ['null'] }, /"allowedOrigins"/],
    [{ allowedOrigins: [`${page}/`] }, /"allowedOrigins"/],
    [{ allowedOrigins: ['https://app.example.com:443'] }, /"allowedOrigins"/],
    [{ allowedOrigins: ['https://APP.example.com'] }, /"allowedOrigins"/],
    [{ allowedOrigins: ['app.example.com'] }, /"allowedOrigins"/],
    [{ allowedOrigins: ['https://*.example.com'] }, /"allowedOrigins"/],
  ])('is refused at creation with %j', (options, message) => {
    const create = () =>
      createIssuer({
        issuer: login,
        audience,
        signingKeys: [signingKey],
        refreshTokenSecret: secret,
        ...options,
      } as IssuerOptions)
    expect(create).toThrow(TypeError)
    expect(create).toThrow(message)
  })
})

describe('the token itself', () => {
  test('K10 is in no body: not at the login, not at a refresh, not in an error', async () => {
    const kit = await createCookieKit()
    const signedIn = await signIn(kit, { subject: 'u1', scope: 'a' })
    expect(Object.keys(signedIn.json as object).sort()).toEqual([
      'access_token',
      'expires_in',
      'scope',
      'session_id',
      'token_type',
    ])
    const first = cookieOf(signedIn)
    const renewed = await refresh(kit, { ...fromPage, cookie: first })
    expect(Object.keys(renewed.json as object).sort()).toEqual([
      'access_token',
      'expires_in',
      'scope',
      'token_type',
    ])
    kit.clock.advance(11_000)
    const reused = await refresh(kit, { ...fromPage, cookie: first })
    for (const answer of [signedIn, renewed, reused]) {
      expect(answer.headers['cache-control']).toBe('no-store')
      expect(answer.text).not.toContain(first.slice(cookieName.length + 1))
      expect(answer.text).not.toContain(cookieOf(renewed).slice(cookieName.length + 1))
    }
  })

  test.each([
    'refresh_token=x',
    'refresh_token=x&refresh_token=y',
    'refresh_token=&refresh_token=',
  ])('K10 in a body is 400, though the cookie is there: %s', async (field) => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit))
    const token = cookie.slice(cookieName.length + 1)
    const body = `grant_type=refresh_token&${field.replace('x', token)}`
    const answer = await refresh(kit, { ...fromPage, cookie }, body)
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
    expect(setCookiesOf(answer)).toEqual([])
    expect((await refresh(kit, fromPage, body)).status).toBe(400)
  })

  test('is not read from the form where the cookie is absent', async () => {
    const kit = await createCookieKit()
    const token = (await kit.startSession()).refresh_token
    const answer = await kit.refresh(token, {}, fromPage)
    expect(answer.status).toBe(400)
    expect(typesOf(kit)).not.toContain('session.refreshed')
  })

  test('is not read from a cookie outside of cookie mode', async () => {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession()
    const cookie = `${loopbackCookieOf(kit)}=${token}; ${cookieName}=${token}`
    expect((await refresh(kit, { cookie, origin: kit.url })).status).toBe(400)
    expect((await logout(kit, { cookie, origin: kit.url })).status).toBe(404)
    expect((await kit.refresh(token)).status).toBe(200)
  })
})

describe('where a request comes from', () => {
  const allowed: [string, Record<string, string>][] = [
    ['an allowed page', { origin: page }],
    ['a page of the issuer', { origin: login }],
    ['a page of the issuer, by Sec-Fetch-Site alone', { 'sec-fetch-site': 'same-origin' }],
    ['an allowed page, cross-site', { origin: page, 'sec-fetch-site': 'cross-site' }],
  ]
  const refused: [string, Record<string, string | string[]>][] = [
    ['nowhere', {}],
    ['an unknown page', { origin: 'https://evil.example.org' }],
    ['a sandboxed page', { origin: 'null' }],
    ['an empty origin', { origin: '' }],
    ['a name that ends alike', { origin: 'https://evil-app.example.com' }],
    ['a name that begins alike', { origin: 'https://app.example.com.evil.org' }],
    ['a subdomain', { origin: 'https://x.app.example.com' }],
    ['the parent domain', { origin: 'https://example.com' }],
    ['another port', { origin: 'https://app.example.com:8443' }],
    ['another scheme', { origin: 'http://app.example.com' }],
    ['another case', { origin: 'https://App.example.com' }],
    ['a slash at the end', { origin: 'https://app.example.com/' }],
    ['the own URL with a path', { origin: `${login}/token` }],
    ['two origins', { origin: [page, 'https://evil.example.org'] }],
    ['two origins in one', { origin: `${page}, https://evil.example.org` }],
    [
      'an unknown page that claims to be the same',
      {
        origin: 'https://evil.example.org',
        'sec-fetch-site': 'same-origin',
      },
    ],
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['the same site only', { 'sec-fetch-site': 'same-site' }],
    ['the address bar', { 'sec-fetch-site': 'none' }],
    ['two words', { 'sec-fetch-site': ['same-origin', 'cross-site'] }],
    ['a referer alone', { referer: `${page}/` }],
  ]

  test.each(allowed)('K01 %s may refresh and log out', async (_name, headers) => {
    const kit = await createCookieKit()
    const renewed = await refresh(kit, { ...headers, cookie: cookieOf(await signIn(kit)) })
    expect(renewed.status).toBe(200)
    expect((await logout(kit, { ...headers, cookie: cookieOf(renewed) })).status).toBe(204)
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })

  test.each(refused)('K01 K09 %s may neither, and changes nothing', async (_name, headers) => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit))
    for (const answer of [
      await refresh(kit, { ...headers, cookie }),
      await logout(kit, { ...headers, cookie }),
      await postForm(`${kit.base}/logout`, '', { ...headers, cookie }),
      await send(`${kit.base}/token`, {
        method: 'POST',
        headers: { ...headers, cookie, 'content-type': 'text/plain' },
        body: 'grant_type=refresh_token',
      }),
    ]) {
      expect([answer.status, answer.json.error]).toEqual([403, 'access_denied'])
      expect(setCookiesOf(answer)).toEqual([])
      expect(answer.headers['access-control-allow-credentials']).toBe(
        headers['origin'] === page ? 'true' : undefined,
      )
    }
    expect(typesOf(kit)).toEqual(['session.started'])
    expect((await refresh(kit, { ...fromPage, cookie })).status).toBe(200)
    expect(typesOf(kit)).not.toContain('refresh.retried')
  })

  test('K01 an allowed page that sends text/plain changes nothing either', async () => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit))
    const answer = await send(`${kit.base}/token`, {
      method: 'POST',
      headers: { ...fromPage, cookie, 'content-type': 'text/plain' },
      body: 'grant_type=refresh_token',
    })
    expect(answer.status).toBe(400)
    expect(typesOf(kit)).toEqual(['session.started'])
  })

  test('K01 /revoke reads no cookie, so there is nothing to forge', async () => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit))
    const answer = await postForm(`${kit.base}/revoke`, '', { cookie, origin: 'https://evil.org' })
    expect(answer.status).toBe(400)
    expect(await kit.issuer.listSessions('u1')).toHaveLength(1)
  })

  test('K11 needs no CSRF token: there is none to be had, and none is asked for', async () => {
    const kit = await createCookieKit()
    const signedIn = await signIn(kit)
    expect(signedIn.text.toLowerCase()).not.toContain('csrf')
    expect(setCookiesOf(signedIn)).toHaveLength(1)
  })

  test.each(['/token', '/logout', '/revoke'])(
    'K02 GET %s is 405 and changes nothing',
    async (path) => {
      const kit = await createCookieKit()
      const cookie = cookieOf(await signIn(kit))
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']) {
        const answer = await send(`${kit.base}${path}?grant_type=refresh_token`, {
          method,
          headers: { ...fromPage, cookie },
        })
        expect([method, answer.status, answer.headers.allow]).toEqual([method, 405, 'POST'])
      }
      expect(typesOf(kit)).toEqual(['session.started'])
    },
  )
})

describe('cross-origin pages', () => {
  test('K08 an allowed page may read answers, with credentials; caches keep pages apart', async () => {
    const kit = await createCookieKit()
    const answers = [
      await refresh(kit, { ...fromPage, cookie: cookieOf(await signIn(kit)) }),
      await refresh(kit, fromPage),
      await logout(kit, fromPage),
      await send(`${kit.base}/.well-known/jwks.json`, { headers: fromPage }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 400, 204, 200])
    for (const { headers } of answers) {
      expect(headers['access-control-allow-origin']).toBe(page)
      expect(headers['access-control-allow-credentials']).toBe('true')
      expect(headers.vary).toContain('Origin')
    }
  })

  test('K08 no other page may, and none is told why', async () => {
    const kit = await createCookieKit()
    for (const origin of ['https://evil.org', 'null', 'https://evil-app.example.com', login]) {
      for (const path of ['/token', '/logout', '/revoke', '/.well-known/jwks.json']) {
        for (const method of ['POST', 'OPTIONS', 'GET']) {
          const { headers } = await send(kit.base + path, {
            method,
            headers: { origin, 'access-control-request-method': 'POST' },
          })
          expect(headers['access-control-allow-origin']).toBeUndefined()
          expect(headers['access-control-allow-credentials']).toBeUndefined()
          expect(headers['access-control-allow-methods']).toBeUndefined()
          expect(headers.vary).toContain('Origin')
        }
      }
    }
  })

  test('K08 a preflight is answered without touching anything', async () => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit))
    const answer = await send(`${kit.base}/token`, {
      method: 'OPTIONS',
      headers: {
        ...fromPage,
        cookie,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
    })
    expect(answer.status).toBe(204)
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': page,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': 'Authorization, Content-Type, DPoP',
    })
    expect(typesOf(kit)).toEqual(['session.started'])
  })

  test('K08 outside of cookie mode credentials are not allowed, and without a list nothing is', async () => {
    const listed = await createKit({ issuer: { allowedOrigins: [page] } })
    const { refresh_token: token } = await listed.startSession()
    const answer = await listed.refresh(token, {}, fromPage)
    expect(answer.headers['access-control-allow-origin']).toBe(page)
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined()
    const unlisted = await createKit()
    const other = await unlisted.refresh(
      (await unlisted.startSession()).refresh_token,
      {},
      fromPage,
    )
    expect(other.status).toBe(200)
    expect(other.headers['access-control-allow-origin']).toBeUndefined()
    expect(other.headers.vary).toBeUndefined()
  })
})

describe('what else a browser may send', () => {
  test.each([
    ['twice in one header', (ours: string) => `${ours}; ${ours}`],
    ['twice with a planted one first', (ours: string) => `${cookieName}=planted; ${ours}`],
    ['twice with a planted one last', (ours: string) => `${ours}; ${cookieName}=planted`],
    ['twice, one of them empty', (ours: string) => `${ours}; ${cookieName}=`],
    ['in two headers', (ours: string) => [ours, `${cookieName}=planted`]],
  ])('K03 our cookie %s is 400, and changes nothing', async (_name, cookies) => {
    const kit = await createCookieKit()
    const cookie = cookies(cookieOf(await signIn(kit)))
    for (const answer of [
      await refresh(kit, { ...fromPage, cookie }),
      await logout(kit, { ...fromPage, cookie }),
    ]) {
      expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
      expect(setCookiesOf(answer)).toEqual([])
    }
    expect(typesOf(kit)).toEqual(['session.started'])
  })

  test.each([
    ['another case', '__host-refresh_token='],
    ['a space before', ' __Host-refresh_token='],
    ['two spaces before', 'a=1;  __Host-refresh_token='],
    ['a tab before', 'a=1;\t__Host-refresh_token='],
    ['a no-break space before', '\u00a0__Host-refresh_token='],
    ['a space after', '__Host-refresh_token ='],
    ['percent-encoding', '__Host%2Drefresh_token='],
    ['no name', '=__Host-refresh_token='],
    ['a name that begins alike', '__Host-refresh_token2='],
    ['a name that ends alike', 'x__Host-refresh_token='],
    ['$Version and quotes', '$Version=1,__Host-refresh_token='],
    ['a comma instead of a semicolon', 'a=1, __Host-refresh_token='],
    ['the name of plain http', 'refresh_token='],
  ])('K04 a name with %s is not ours', async (_name, prefix) => {
    const kit = await createCookieKit()
    const token = cookieOf(await signIn(kit)).slice(cookieName.length + 1)
    const cookie = Buffer.from(prefix + token, 'utf8').toString('latin1')
    const answer = await refresh(kit, { ...fromPage, cookie })
    // Node trims a header, so the name with one space before it at the very start arrives as ours.
    const isTrimmed = prefix.startsWith(' ')
    expect(answer.status).toBe(isTrimmed ? 200 : 400)
  })

  test.each([
    ['in quotes', (token: string) => `"${token}"`],
    [
      'percent-encoded',
      (token: string) => token.replace(/./, (c) => `%${c.charCodeAt(0).toString(16)}`),
    ],
    ['with broken percent-encoding', (token: string) => `${token}%`],
    ['with a space', (token: string) => `${token} `],
    ['with more of it', (token: string) => `${token}=1`],
    ['longer than a cookie may be', (token: string) => token.repeat(60)],
  ])('K05 our value %s is not ours', async (_name, change) => {
    const kit = await createCookieKit()
    const token = cookieOf(await signIn(kit)).slice(cookieName.length + 1)
    const cookie = `${cookieName}=${change(token)}; theme=dark`
    const answer = await refresh(kit, { ...fromPage, cookie })
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_grant'])
    expect(setCookiesOf(answer)).toEqual([])
    expect(typesOf(kit)).toEqual(['session.started'])
  })

  test('finds our cookie among others', async () => {
    const kit = await createCookieKit()
    const ours = cookieOf(await signIn(kit))
    const cookie = `a=1; __Host-refresh=x; ${ours}; refresh_token=y; =z;;`
    expect((await refresh(kit, { ...fromPage, cookie })).status).toBe(200)
  })
})

describe('when the cookie goes', () => {
  test('R13 a lost race, a forged token and another client leave it alone', async () => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit, { subject: 'u1', clientId: 'web' }))
    const answers = [
      ...(await Promise.all(
        Array.from({ length: 10 }, async () => refresh(kit, { ...fromPage, cookie })),
      )),
      await refresh(kit, { ...fromPage, cookie: `${cookieName}=forged` }),
      await refresh(kit, { ...fromPage, cookie }, 'grant_type=refresh_token&client_id=other'),
      await refresh(kit, { ...fromPage, cookie }, 'grant_type=refresh_token&scope=admin'),
      await refresh(kit, { ...fromPage, cookie }, 'grant_type=password'),
      await refresh(kit, { origin: 'https://evil.org', cookie }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 10 }, () => 200),
      ...[400, 400, 400, 400, 403],
    ])
    const set = answers.flatMap(setCookiesOf)
    expect(new Set(set.map((line) => line.split(';')[0])).size).toBe(1)
    expect(set.filter((line) => line.includes('Max-Age=0'))).toEqual([])
  })

  test('a store that failed leaves it alone', async () => {
    const clock = new FakeClock()
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createCookieKit({ clock, store })
    const cookie = cookieOf(await signIn(kit))
    store.before = () => {
      throw new UnavailableError('sessions', 'down')
    }
    for (const answer of [
      await refresh(kit, { ...fromPage, cookie }),
      await logout(kit, { ...fromPage, cookie }),
    ]) {
      expect([answer.status, answer.json.error]).toEqual([503, 'temporarily_unavailable'])
      expect(setCookiesOf(answer)).toEqual([])
      expect(answer.headers['access-control-allow-origin']).toBe(page)
    }
  })

  test.each([
    ['was kicked out', async (kit: Kit) => kit.issuer.kickOut({ subject: 'u1' })],
    [
      'has expired',
      async (kit: Kit) => {
        kit.clock.advance(604_800_000)
      },
    ],
  ])('a session that %s leaves it alone: only /logout clears it', async (_name, end) => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit))
    await end(kit)
    const answer = await refresh(kit, { ...fromPage, cookie })
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_grant'])
    expect(setCookiesOf(answer)).toEqual([])
  })

  test('a theft leaves it alone', async () => {
    const kit = await createCookieKit()
    const stolen = cookieOf(await signIn(kit))
    await refresh(kit, { ...fromPage, cookie: stolen })
    kit.clock.advance(10_001)
    const answer = await refresh(kit, { ...fromPage, cookie: stolen })
    expect(answer.status).toBe(400)
    expect(setCookiesOf(answer)).toEqual([])
    expect(kit.events.at(-1)).toMatchObject({ type: 'session.ended', reason: 'reused' })
  })
})

describe('signing in', () => {
  test('a copy of the tokens sends the same cookie', async () => {
    const kit = await createCookieKit()
    const app = defaultExpress()
    app.post('/copy', async (_req, res) => {
      const tokens = await kit.issuer.startSession({ subject: 'u1' })
      kit.issuer.send(res, { ...tokens })
    })
    const server = await serve(app)
    const [line] = setCookiesOf(await send(`${server.url}/copy`, { method: 'POST' }))
    expect(line).toContain('Max-Age=604800;')
  })

  test('with req ends the session of this browser before the limit is counted', async () => {
    const kit = await createCookieKit({
      issuer: { session: { maxPerSubject: 1, whenFull: 'refuse' } },
    })
    const cookie = cookieOf(await signIn(kit))
    await expect(kit.issuer.startSession({ subject: 'u1' })).rejects.toMatchObject({
      code: 'access_denied',
    })
    const req = { headers: { cookie } }
    await kit.issuer.startSession({ subject: 'u1' }, { req })
    expect(kit.events).toContainEqual(
      expect.objectContaining({ type: 'session.ended', reason: 'replaced' }),
    )
    expect(await kit.issuer.listSessions('u1')).toHaveLength(1)
  })

  test('Origin: null counts as ours where the browser says that the request is of the same origin', async () => {
    const kit = await createCookieKit()
    const cookie = cookieOf(await signIn(kit))
    const opaque = { origin: 'null', cookie }
    expect((await logout(kit, opaque)).status).toBe(403)
    expect((await logout(kit, { ...opaque, 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await logout(kit, { ...opaque, 'sec-fetch-site': 'same-origin' })).status).toBe(204)
  })

  test('crossOrigin gives a login route the CORS and the origin check of /token', async () => {
    const kit = await createCookieKit()
    const app = defaultExpress()
    app.use('/login', kit.issuer.crossOrigin)
    app.post('/login', async (_req, res) => {
      kit.issuer.send(res, await kit.issuer.startSession({ subject: 'u1' }))
    })
    const server = await serve(app)
    const login = async (method: string, origin: string) =>
      send(`${server.url}/login`, { method, headers: { origin } })
    const preflight = await login('OPTIONS', page)
    expect([preflight.status, preflight.headers['access-control-allow-origin']]).toEqual([
      204,
      page,
    ])
    const answer = await login('POST', page)
    expect([answer.status, answer.headers['access-control-allow-credentials']]).toEqual([
      200,
      'true',
    ])
    const foreign = await login('POST', 'https://evil.org')
    expect([foreign.status, foreign.json.error]).toEqual([403, 'access_denied'])
    expect(setCookiesOf(foreign)).toEqual([])
  })
})

describe('logout', () => {
  test('ends the session, its access tokens, and the cookie', async () => {
    const kit = await createCookieKit()
    const signedIn = await signIn(kit)
    const headers = { ...fromPage, cookie: cookieOf(signedIn) }
    expect((await kit.call(signedIn.json.access_token)).status).toBe(200)
    const answer = await logout(kit, headers)
    expect([answer.status, answer.text]).toEqual([204, ''])
    expect(answer.headers['cache-control']).toBe('no-store')
    expect((await kit.call(signedIn.json.access_token)).status).toBe(401)
    expect((await refresh(kit, headers)).json.error).toBe('invalid_grant')
    expect(kit.events.at(-1)).toMatchObject({ type: 'session.ended', reason: 'logout' })
  })

  test.each([
    ['without a cookie', {}],
    ['with other cookies', { cookie: 'theme=dark' }],
    ['with a forged one', { cookie: `${cookieName}=forged` }],
    ['with an empty one', { cookie: `${cookieName}=` }],
  ])('is 204 %s', async (_name, headers) => {
    const kit = await createCookieKit()
    await signIn(kit)
    expect((await logout(kit, { ...fromPage, ...headers })).status).toBe(204)
    expect(await kit.issuer.listSessions('u1')).toHaveLength(1)
  })

  test('is 204 again', async () => {
    const kit = await createCookieKit()
    const headers = { ...fromPage, cookie: cookieOf(await signIn(kit)) }
    expect((await logout(kit, headers)).status).toBe(204)
    expect((await logout(kit, headers)).status).toBe(204)
    expect(typesOf(kit)).toEqual(['session.started', 'session.ended'])
  })

  test('RT10 leaves nothing that a late answer to another tab could bring back', async () => {
    const clock = new FakeClock()
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createCookieKit({ clock, store })
    const headers = { ...fromPage, cookie: cookieOf(await signIn(kit)) }
    store.after = async (call) => {
      if (call !== 'rotate') return
      store.after = () => undefined
      expect((await logout(kit, headers)).status).toBe(204)
    }
    const late = await refresh(kit, headers)
    expect(late.status).toBe(200)
    const revived = await refresh(kit, { ...fromPage, cookie: cookieOf(late) })
    expect(revived.json.error).toBe('invalid_grant')
    expect((await kit.call(late.json.access_token)).status).toBe(401)
  })
})

describe('login', () => {
  test('RT11 begins a session of its own and leaves the one of the old cookie behind', async () => {
    const kit = await createCookieKit()
    const planted = await signIn(kit, { subject: 'attacker' })
    const headers = { cookie: cookieOf(planted) }
    const signedIn = await signIn(kit, { subject: 'victim' }, headers)
    expect(signedIn.json.session_id).not.toBe(planted.json.session_id)
    expect(claimsOf(signedIn)).toMatchObject({ sub: 'victim' })
    expect(await kit.issuer.listSessions('attacker')).toEqual([])
    expect((await kit.call(planted.json.access_token)).status).toBe(401)
    expect(await kit.issuer.listSessions('victim')).toHaveLength(1)
    expect((await refresh(kit, { ...fromPage, cookie: cookieOf(signedIn) })).status).toBe(200)
  })

  test.each([
    ['a forged cookie', `${cookieName}=forged`],
    ['two cookies', `${cookieName}=a; ${cookieName}=b`],
  ])('RT11 is not disturbed by %s', async (_name, cookie) => {
    const kit = await createCookieKit()
    const signedIn = await signIn(kit, { subject: 'u1' }, { cookie })
    expect(signedIn.status).toBe(200)
    expect(await kit.issuer.listSessions('u1')).toHaveLength(1)
  })
})
