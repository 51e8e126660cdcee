import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { demoPasswords } from '../../example-app/people.ts'
import { type Servers, startServers } from '../../example-app/servers.ts'

jest.setTimeout(20_000) // every sign-in hashes a password, slowly on purpose

let servers: Servers

beforeAll(async () => {
  servers = await startServers({ loginPort: 0, apiPorts: [0] })
})

afterAll(async () => {
  await servers.close()
})

interface SignedIn {
  accessToken: string
  sessionId: string
  cookie: string
}

async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  return fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
}

async function signIn(name: string, at = servers): Promise<SignedIn> {
  const answer = await post(`${at.loginUrl}/login`, { name, password: demoPasswords[name] })
  expect(answer.status).toBe(200)
  const body = (await answer.json()) as Record<string, string>
  return {
    accessToken: body['access_token']!,
    sessionId: body['session_id']!,
    cookie: answer.headers.getSetCookie()[0]!.split(';')[0]!,
  }
}

function bearer({ accessToken }: SignedIn): Record<string, string> {
  return { Authorization: `Bearer ${accessToken}` }
}

describe('the login service', () => {
  test('sends a policy that lets nothing inline run and nothing be sent elsewhere', async () => {
    const answer = await fetch(servers.loginUrl)
    const policy = answer.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'self'")
    const [api = ''] = servers.apiUrls
    expect(policy).toContain(`connect-src 'self' ${api} ${api.replace('http', 'ws')};`)
    expect(policy).not.toMatch(/unsafe-inline|unsafe-eval|\*/)
    const page = await answer.text()
    expect(page).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/)
  })

  test.each([
    ['a wrong password', { name: 'ada', password: 'guess' }, 401],
    ['an unknown name', { name: 'nobody', password: 'guess' }, 401],
    ['no password', { name: 'ada' }, 400],
    ['a list for a name', { name: ['ada'], password: 'analytical engine' }, 400],
  ])('refuses %s', async (_what, body, status) => {
    const answer = await post(`${servers.loginUrl}/login`, body)
    expect(answer.status).toBe(status)
    expect(answer.headers.getSetCookie()).toEqual([])
  })

  test('gives the refresh token to the cookie and to nothing else', async () => {
    const answer = await post(`${servers.loginUrl}/login`, {
      name: 'ben',
      password: demoPasswords['ben'],
    })
    expect(await answer.json()).not.toHaveProperty('refresh_token')
    expect(answer.headers.getSetCookie()).toEqual([expect.stringMatching(/HttpOnly; SameSite=Strict/)])
  }) // prettier-ignore

  test('lists my own devices, and signs out none of anyone else', async () => {
    const [ben, cleo] = [await signIn('ben'), await signIn('cleo')]
    const list = await fetch(`${servers.loginUrl}/me/sessions`, { headers: bearer(ben) })
    const { sessions } = (await list.json()) as { sessions: { session_id: string }[] }
    expect(sessions.map((session) => session.session_id)).toContain(ben.sessionId)
    expect(sessions.map((session) => session.session_id)).not.toContain(cleo.sessionId)

    const remove = async (id: string) =>
      fetch(`${servers.loginUrl}/me/sessions/${id}`, { method: 'DELETE', headers: bearer(ben) })
    expect((await remove(cleo.sessionId)).status).toBe(404)
    expect((await remove(ben.sessionId)).status).toBe(204)
    expect((await remove(ben.sessionId)).status).toBe(401)
  })

  test('shows the admin pages to admins only', async () => {
    const ask = async (headers: Record<string, string>) =>
      (await fetch(`${servers.loginUrl}/admin/servers`, { headers })).status
    expect(await ask({})).toBe(401)
    expect(await ask(bearer(await signIn('ben')))).toBe(403)
    expect(await ask(bearer(await signIn('ada')))).toBe(200)
  })
})

describe('what ended a session', () => {
  const reasonOf = async (sessionId: string): Promise<unknown> => {
    const answer = await fetch(`${servers.loginUrl}/goodbye/${sessionId}`)
    return ((await answer.json()) as { reason?: unknown }).reason
  }

  test('is told to a client that knows its id, before the kick-out has answered too', async () => {
    const ben = await signIn('ben')
    const early = reasonOf(ben.sessionId)
    await servers.issuer.kickOut({ subject: 'ben' })
    expect(await early).toBe('kicked_out')
    expect(await reasonOf(ben.sessionId)).toBe('kicked_out')
  })

  test('is not known of a session that goes on', async () => {
    const { sessionId } = await signIn('ben')
    expect(await reasonOf(sessionId)).toBeUndefined()
  })
})

test('how far behind each server was is for admins only', async () => {
  const ask = async (who: SignedIn) =>
    fetch(`${servers.loginUrl}/admin/staleness`, { headers: bearer(who) })
  expect((await ask(await signIn('ben'))).status).toBe(403)
  const answer = await ask(await signIn('ada'))
  expect(await answer.json()).toMatchObject({ every_ms: 2000 })
})

describe('the API', () => {
  const api = () => servers.apiUrls[0]!

  test('reads with one scope and writes with another', async () => {
    const [ben, cleo] = [await signIn('ben'), await signIn('cleo')]
    expect((await fetch(`${api()}/notes`)).status).toBe(401)
    expect((await fetch(`${api()}/notes`, { headers: bearer(cleo) })).status).toBe(200)
    expect((await post(`${api()}/notes`, { text: 'x' }, bearer(ben))).status).toBe(201)
    const refused = await post(`${api()}/notes`, { text: 'x' }, bearer(cleo))
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toContain('scope="notes:write"')
  })

  test('lets one origin call it, and never with cookies', async () => {
    const answer = await fetch(`${api()}/notes`, {
      method: 'OPTIONS',
      headers: { Origin: servers.loginUrl, 'Access-Control-Request-Headers': 'authorization' },
    })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-origin')).toBe(servers.loginUrl)
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
  })

  test('tells new notes over its event stream, and cuts it when the listener is kicked out', async () => {
    const [ada, ben] = [await signIn('ada'), await signIn('ben')]
    const stream = await fetch(`${api()}/live`, { headers: bearer(ben) })
    const reader = stream.body!.getReader()
    await post(`${api()}/notes`, { text: 'Is anybody there?' }, bearer(ada))
    let heard = ''
    while (!heard.includes('anybody'))
      heard += Buffer.from((await reader.read()).value ?? []).toString()

    const target = { subject: 'ben', reason: 'a test' }
    const answer = await post(`${servers.loginUrl}/admin/kick-outs`, target, bearer(ada))
    expect(await answer.json()).toMatchObject({ servers: 1, confirmed: 1 })
    while (!(await reader.read()).done); // ends, or the test does
    expect((await fetch(`${api()}/notes`, { headers: bearer(ben) })).status).toBe(401)
    expect((await fetch(`${api()}/notes`, { headers: bearer(ada) })).status).toBe(200)
  })
})

describe('the WebSocket of the API', () => {
  const connect = (token: string, options: { origin?: string } = {}): WebSocket => {
    const url = `${servers.apiUrls[0]!.replace('http', 'ws')}/live`
    return new WebSocket(url, ['notes.v1', `bearer.${token}`], options)
  }
  const messageOf = async (socket: WebSocket): Promise<unknown> => {
    const [data] = (await once(socket, 'message')) as [Buffer]
    return JSON.parse(data.toString())
  }
  const refusalOf = async (socket: WebSocket): Promise<unknown> => {
    const [, { statusCode }] = (await once(socket, 'unexpected-response')) as [
      unknown,
      { statusCode: number },
    ]
    socket.once('error', () => undefined).terminate()
    return statusCode
  }

  test('lets in by a token as a subprotocol, pages of one origin only', async () => {
    const { accessToken } = await signIn('cleo')
    expect(await refusalOf(connect('no-token'))).toBe(401)
    const foreign = connect(accessToken, { origin: 'http://elsewhere.example' })
    expect(await refusalOf(foreign)).toBe(403)
    const socket = connect(accessToken, { origin: servers.loginUrl })
    expect(await messageOf(socket)).toEqual({ type: 'open', server: expect.any(String) })
    expect(socket.protocol).toBe('notes.v1')
    socket.close()
    await once(socket, 'close')
  })

  test('tells new notes, and is closed with 4401 by a kick-out', async () => {
    const [ada, ben] = [await signIn('ada'), await signIn('ben')]
    const socket = connect(ben.accessToken)
    await messageOf(socket)
    const news = messageOf(socket)
    await post(`${servers.apiUrls[0]!}/notes`, { text: 'Over here' }, bearer(ada))
    expect(await news).toMatchObject({ type: 'note', note: { by: 'ada', text: 'Over here' } })
    const closed = once(socket, 'close')
    await servers.issuer.kickOut({ subject: 'ben' })
    const [code, reason] = (await closed) as [number, Buffer]
    expect([code, reason.toString()]).toEqual([4401, 'revoked'])
  })

  test('needs the scope of reading', async () => {
    const tokens = await servers.issuer.startSession({ subject: 'dan', scope: 'notes:write' })
    const socket = connect(tokens.access_token)
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
    expect([code, reason.toString()]).toEqual([1008, 'insufficient_scope'])
  })

  test('goes on with a refreshed token, and not with one of another user', async () => {
    const cleo = await signIn('cleo')
    const socket = connect(cleo.accessToken)
    await messageOf(socket)
    const answer = await fetch(`${servers.loginUrl}/token`, {
      method: 'POST',
      headers: { Cookie: cleo.cookie, Origin: servers.loginUrl },
      body: new URLSearchParams({ grant_type: 'refresh_token' }),
    })
    const { access_token: next } = (await answer.json()) as { access_token: string }
    // Revoking the first token closes nothing once the second has taken its place.
    socket.send(JSON.stringify({ token: next }))
    socket.send('no JSON')
    socket.ping()
    await once(socket, 'pong')
    const body = new URLSearchParams({ token: cleo.accessToken })
    await fetch(`${servers.loginUrl}/revoke`, { method: 'POST', body })
    const ada = await signIn('ada')
    const news = messageOf(socket)
    await post(`${servers.apiUrls[0]!}/notes`, { text: 'Still there?' }, bearer(ada))
    expect(await news).toMatchObject({ type: 'note' })
    socket.send(JSON.stringify({ token: ada.accessToken }))
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(4401)
  })
})

describe('the thief', () => {
  const refresh = async (cookie: string) =>
    fetch(`${servers.loginUrl}/token`, {
      method: 'POST',
      headers: { Cookie: cookie, Origin: servers.loginUrl },
      body: new URLSearchParams({ grant_type: 'refresh_token' }),
    })

  test('gets in with a stolen cookie until the victim refreshes, and then both are out', async () => {
    const ben = await signIn('ben')
    const headers = { ...bearer(ben), Cookie: ben.cookie }
    const theft = await post(`${servers.loginUrl}/demo/thief`, {}, headers)
    const loot = (await theft.json()) as { id: string }
    expect(loot).toMatchObject({ refresh: 200, notes: 200 })
    expect((await refresh(ben.cookie)).status).toBe(400)
    const again = await post(`${servers.loginUrl}/demo/thief/${loot.id}/again`, {})
    expect(await again.json()).toEqual({ refresh: 400, notes: 401 })
    const victim = await fetch(`${servers.apiUrls[0]!}/notes`, { headers: bearer(ben) })
    expect(victim.status).toBe(401)
  })

  test('steals nothing from a visitor who is not signed in', async () => {
    const { cookie } = await signIn('ben')
    const theft = await post(`${servers.loginUrl}/demo/thief`, {}, { Cookie: cookie })
    expect(theft.status).toBe(401)
    expect((await refresh(cookie)).status).toBe(200)
  })

  test('and the passwords exist in the demo only', async () => {
    const serious = await startServers({ loginPort: 0, apiPorts: [0], demo: false })
    const ben = await signIn('ben', serious)
    const headers = { ...bearer(ben), Cookie: ben.cookie }
    expect((await post(`${serious.loginUrl}/demo/thief`, {}, headers)).status).toBe(404)
    expect((await fetch(`${serious.loginUrl}/demo/people`)).status).toBe(404)
    await serious.close()
  })
})
