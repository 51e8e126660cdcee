import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { UnavailableError } from '../../src/errors.ts'
import { hashClientSecret } from '../../src/issuer/index.ts'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import { RefreshTokens, sessionIdOf } from '../../src/issuer/tokens/refresh-token.ts'
import { countingStore } from '../support/counting-store.ts'
import { basic, postForm } from '../support/http-client.ts'
import {
  claimsOf,
  closeKitsAfterEach,
  createKit,
  type Kit,
  secret,
  typesOf,
} from '../support/issuer-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'

closeKitsAfterEach()

const graceMs = 10_000
const invalidGrant = {
  error: 'invalid_grant',
  error_description: 'The refresh token is not valid',
}

/** What knows the secret: for tokens that no attacker can make. */
function readerOf(kit: Kit): RefreshTokens {
  return new RefreshTokens(secret, kit.base)
}

/** Refreshes `times` times and returns every token, the first one included. */
async function lineageOf(kit: Kit, first: string, times: number): Promise<string[]> {
  const tokens = [first]
  for (let count = 0; count < times; count++) {
    const answer = await kit.refresh(tokens.at(-1) ?? '')
    expect(answer.status).toBe(200)
    tokens.push(answer.json.refresh_token as string)
  }
  return tokens
}

describe('one lineage', () => {
  test('RT01 gives 50 simultaneous requests with one token the same successor', async () => {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession()
    const answers = await Promise.all(Array.from({ length: 50 }, async () => kit.refresh(token)))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    const successors = new Set(answers.map(({ json }) => json.refresh_token as string))
    expect(successors.size).toBe(1)
    expect(new Set(answers.map((answer) => claimsOf(answer)['jti'])).size).toBe(50)
    expect(typesOf(kit).filter((type) => type === 'session.refreshed')).toHaveLength(1)
    expect(typesOf(kit).filter((type) => type === 'refresh.retried')).toHaveLength(49)
    expect((await kit.refresh([...successors][0] ?? '')).status).toBe(200)
  })

  test.each([
    ['0.1 s', 100, 200],
    ['one second before the end of the grace', graceMs - 1000, 200],
    ['the last millisecond of the grace', graceMs, 200],
    ['a millisecond after the grace', graceMs + 1, 400],
    ['a day', 86_400_000, 400],
  ])('RT02 answers a retry after %s', async (_when, ms, status) => {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession()
    const first = await kit.refresh(token)
    kit.clock.advance(ms)
    const retry = await kit.refresh(token)
    expect(retry.status).toBe(status)
    if (status === 200) {
      expect(retry.json.refresh_token).toBe(first.json.refresh_token)
      expect(retry.json.access_token).not.toBe(first.json.access_token)
    } else {
      expect(retry.json).toEqual(invalidGrant)
      expect(typesOf(kit)).toContain('refresh.reused')
    }
  })

  test('RT03 ends the session when a token comes back after its successor was used', async () => {
    const kit = await createKit()
    const [first = '', , third = ''] = await lineageOf(
      kit,
      (await kit.startSession()).refresh_token,
      2,
    )
    expect(await kit.refresh(first)).toMatchObject({ status: 400, json: invalidGrant })
    expect(await kit.refresh(third)).toMatchObject({ status: 400, json: invalidGrant })
  })

  test.each([2, 3, 30])(
    'RT04 ends the session when the ancestor %i generations back comes back after the grace',
    async (generations) => {
      const kit = await createKit()
      const session = await kit.startSession()
      const tokens = await lineageOf(kit, session.refresh_token, generations)
      const { json } = await kit.refresh(tokens.at(-1) ?? '')
      expect((await kit.call(json.access_token)).status).toBe(200)
      kit.clock.advance(graceMs + 1)
      expect(await kit.refresh(tokens[0] ?? '')).toMatchObject({ status: 400, json: invalidGrant })
      expect((await kit.call(json.access_token)).status).toBe(401)
      expect((await kit.call(session.access_token)).status).toBe(401)
      expect((await kit.refresh(json.refresh_token)).status).toBe(400)
      expect(typesOf(kit).slice(-2)).toEqual(['refresh.reused', 'session.ended'])
      expect(kit.events.at(-1)).toMatchObject({ reason: 'reused', subject: 'u1' })
    },
  )

  test('RT14 has at most one lineage, whether the thief or the owner comes first', async () => {
    for (const late of [1, graceMs + 1]) {
      const kit = await createKit()
      const { refresh_token: stolen } = await kit.startSession()
      const first = await kit.refresh(stolen)
      kit.clock.advance(late)
      const second = await kit.refresh(stolen)
      if (late <= graceMs) {
        expect(second.json.refresh_token).toBe(first.json.refresh_token)
      } else {
        expect(second.json).toEqual(invalidGrant)
        expect((await kit.refresh(first.json.refresh_token)).json).toEqual(invalidGrant)
      }
    }
  })

  test('RT15 keeps one record of one size and never lives beyond the absolute lifetime', async () => {
    const kit = await createKit({
      issuer: { session: { absoluteTtlSeconds: 3600, idleTtlSeconds: 600 } },
    })
    const session = await kit.startSession()
    const [before] = await kit.issuer.listSessions('u1')
    // The counter is one number; Redis keeps it in a field of fixed width.
    const size = async () => {
      const { counter: _counter, ...record } = (await kit.store.find(session.session_id))!
      return JSON.stringify(record).length
    }
    const sizeBefore = await size()
    let token = session.refresh_token
    for (let count = 0; count < 200; count++) {
      kit.clock.advance(15_000)
      token = (await kit.refresh(token)).json.refresh_token
    }
    expect(await size()).toBe(sizeBefore)
    const sessions = await kit.issuer.listSessions('u1')
    expect(sessions).toHaveLength(1)
    expect(sessions[0]?.expiresAt).toBe((before?.startedAt ?? 0) + 3_600_000)
    kit.clock.advance(600_000)
    expect((await kit.refresh(token)).json).toEqual(invalidGrant)
  })
})

describe('tokens that were never issued', () => {
  test('RT06 refuses forged and mangled tokens without asking the store', async () => {
    const clock = new FakeClock()
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createKit({ clock, store })
    const { refresh_token: token } = await kit.startSession()
    const parts = readerOf(kit).read(token)
    if (!parts) throw new Error('unreadable')
    const foreign = new RefreshTokens('another secret of thirty-two bytes or more', kit.base)
    const flip = (index: number): string => {
      const bytes = Buffer.from(token, 'base64url')
      bytes[index] = (bytes[index] ?? 0) ^ 1
      return bytes.toString('base64url')
    }
    const record = await store.find(sessionIdOf(parts))
    if (!record) throw new Error('no session')
    const forged = [
      ...Array.from({ length: Buffer.from(token, 'base64url').length }, (_, index) => flip(index)),
      foreign.make(parts, record),
      foreign.make({ ...parts, counter: parts.counter + 1 }, record),
      foreign.make({ ...parts, counter: 2 ** 48 - 1 }, record),
      new RefreshTokens(secret, 'https://other.example.com').make(parts, record),
      token.slice(0, -1),
      token.slice(1),
      `${token}A`,
      `${token}=`,
      ` ${token}`,
      `${token} `,
      `${token}\n`,
      `${token}\0`,
      token.toLowerCase(),
      token.replace(/.$/, '+'),
      Buffer.from(token, 'base64url').toString('hex'),
      'x',
      'A'.repeat(100),
      '__proto__',
      'x'.repeat(10_000),
    ].filter((candidate) => candidate !== token)
    store.calls.length = 0
    for (const candidate of forged) {
      expect(await kit.refresh(candidate)).toMatchObject({ status: 400, json: invalidGrant })
    }
    expect(store.calls).toEqual([])
    expect((await kit.refresh(token)).status).toBe(200)
  })

  test('RT06 asks the store nothing for 200 000 forged tokens', async () => {
    const clock = new FakeClock()
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createKit({ clock, store })
    const { refresh_token: token } = await kit.startSession()
    const reader = readerOf(kit)
    const bytes = Buffer.from(token, 'base64url')
    let accepted = 0
    for (let count = 1; count <= 200_000; count++) {
      const forged = Buffer.from(bytes)
      // A counter of one's own choosing, a handle of one's own choosing, and the old MAC.
      forged.writeUIntBE(count, 19, 6)
      if (count % 2 === 0) forged.writeUInt32BE(count, 3)
      if (reader.read(forged.toString('base64url'))) accepted++
    }
    expect(accepted).toBe(0)
    store.calls.length = 0
    for (let count = 0; count < 300; count++) {
      bytes.writeUInt32BE(count, bytes.length - 4)
      await kit.refresh(bytes.toString('base64url'))
    }
    expect(store.calls).toEqual([])
  }, 60_000)

  test('RT12 takes neither an access token as a refresh token nor the reverse', async () => {
    const kit = await createKit()
    const tokens = await kit.startSession()
    expect(await kit.refresh(tokens.access_token)).toMatchObject({
      status: 400,
      json: invalidGrant,
    })
    expect((await kit.call(tokens.refresh_token)).status).toBe(401)
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
  })

  test('takes a token of one issuer at no other, though both share secret, store and users', async () => {
    const clock = new FakeClock()
    const store = new MemorySessionStore({}, clock)
    const first = await createKit({ clock, store, path: '/tenant-a' })
    const second = await createKit({ clock, store, path: '/tenant-b' })
    const tokens = await first.startSession({ subject: '42' })
    expect(await second.refresh(tokens.refresh_token)).toMatchObject({
      status: 400,
      json: invalidGrant,
    })
    await second.revoke(tokens.refresh_token)
    await second.revoke(tokens.access_token)
    expect((await first.call(tokens.access_token)).status).toBe(200)
    expect((await first.refresh(tokens.refresh_token)).status).toBe(200)
  })

  test('takes tokens of the old secret while both are listed, and none once it is gone', async () => {
    const clock = new FakeClock()
    const store = new MemorySessionStore({}, clock)
    const old = 'the old secret, thirty-two bytes or more'
    const issuer = 'https://login.example.com'
    const before = await createKit({ clock, store, issuer: { issuer, refreshTokenSecret: old } })
    const tokens = await before.startSession()
    const during = await createKit({
      clock,
      store,
      issuer: { issuer, refreshTokenSecret: [secret, old] },
    })
    const renewed = await during.refresh(tokens.refresh_token)
    expect(renewed.status).toBe(200)
    const after = await createKit({
      clock,
      store,
      issuer: { issuer, refreshTokenSecret: [secret] },
    })
    expect((await after.refresh(tokens.refresh_token)).json).toEqual(invalidGrant)
    expect((await after.refresh(renewed.json.refresh_token)).status).toBe(200)
  })
})

describe('whose token it is', () => {
  const clients = [
    { clientId: 'web' },
    { clientId: 'other' },
    { clientId: 'backend', secretHashes: [hashClientSecret('s3cret')] },
  ]

  test('RT05 refuses another client, whatever the token, and changes nothing', async () => {
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: first } = await kit.startSession({ clientId: 'web' })
    const tokens = await lineageOf(kit, first, 3)
    kit.clock.advance(graceMs + 1)
    for (const token of tokens) {
      expect(await kit.refresh(token, { client_id: 'other' })).toMatchObject({
        status: 400,
        json: invalidGrant,
      })
    }
    expect(typesOf(kit)).not.toContain('refresh.reused')
    expect((await kit.refresh(tokens[3] ?? '', { client_id: 'web' })).status).toBe(200)
  })

  test('RT05 refuses a client that has a secret and does not show it, old tokens too', async () => {
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: first } = await kit.startSession({ clientId: 'backend' })
    const withSecret = basic('backend', 's3cret')
    const second = (await kit.refresh(first, {}, withSecret)).json.refresh_token as string
    const third = (await kit.refresh(second, {}, withSecret)).json.refresh_token as string
    for (const token of [first, second, third]) {
      for (const [fields, headers] of [
        [{}, {}],
        [{ client_id: 'backend' }, {}],
        [{ client_id: 'backend', client_secret: 'wrong' }, {}],
        [{}, basic('backend', 'wrong')],
        [{}, basic('backend', '')],
      ] as const) {
        const answer = await kit.refresh(token, fields, headers)
        expect(answer.status).toBe(401)
        expect(answer.json.error).toBe('invalid_client')
      }
    }
    expect((await kit.refresh(third, {}, withSecret)).status).toBe(200)
  })

  test('RT08 refuses a client that is no longer listed', async () => {
    const clock = new FakeClock()
    const store = new MemorySessionStore({}, clock)
    const issuer = 'https://login.example.com'
    const before = await createKit({ clock, store, issuer: { issuer, clients } })
    const { refresh_token: token } = await before.startSession({ clientId: 'web' })
    const after = await createKit({
      clock,
      store,
      issuer: { issuer, clients: [{ clientId: 'other' }] },
    })
    for (const fields of [{}, { client_id: 'web' }]) {
      expect(await after.refresh(token, fields)).toMatchObject({
        status: 401,
        json: { error: 'invalid_client' },
      })
    }
    expect((await before.refresh(token)).status).toBe(200)
  })

  test('RT08 refuses a banned user, an idle session and one past its absolute lifetime', async () => {
    const kit = await createKit({
      issuer: { session: { idleTtlSeconds: 60, absoluteTtlSeconds: 100 } },
    })
    const banned = await kit.startSession({ subject: 'banned' })
    await kit.issuer.kickOut({ subject: 'banned' })
    const idle = await kit.startSession()
    const busy = await kit.startSession()
    kit.clock.advance(59_999)
    const renewed = await kit.refresh(busy.refresh_token)
    expect(renewed.status).toBe(200)
    kit.clock.advance(1)
    for (const { refresh_token: token } of [banned, idle]) {
      expect((await kit.refresh(token)).json).toEqual(invalidGrant)
    }
    kit.clock.advance(40_000)
    expect((await kit.refresh(renewed.json.refresh_token)).json).toEqual(invalidGrant)
  })

  test('RT08 ends nothing by expiry that reuse would end: a stolen old token is told apart', async () => {
    const kit = await createKit({ issuer: { session: { idleTtlSeconds: 60 } } })
    const tokens = await lineageOf(kit, (await kit.startSession()).refresh_token, 2)
    kit.clock.advance(61_000)
    await kit.refresh(tokens[0] ?? '')
    expect(typesOf(kit)).toContain('refresh.reused')
  })
})

describe('scope', () => {
  const scope = 'reports:read reports:write'

  test('RT07 narrows this access token alone, never widens, and leaves the grant as it was', async () => {
    const kit = await createKit()
    let { refresh_token: token } = await kit.startSession({ scope })
    const narrow = await kit.refresh(token, { scope: 'reports:read' })
    expect(narrow.json.scope).toBe('reports:read')
    expect(claimsOf(narrow)['scope']).toBe('reports:read')
    token = narrow.json.refresh_token as string
    for (const wider of [
      'admin',
      `${scope} admin`,
      'reports:*',
      'REPORTS:READ',
      'reports',
      '*',
      ' ',
      '   ',
      'reports:read\treports:write',
      'reports:read\u00a0',
      '__proto__',
    ]) {
      expect(await kit.refresh(token, { scope: wider })).toMatchObject({
        status: 400,
        json: { error: 'invalid_scope' },
      })
    }
    const again = await kit.refresh(token, { scope: 'reports:write reports:read reports:write' })
    expect(again.json.scope).toBe('reports:write reports:read')
    const full = await kit.refresh(again.json.refresh_token)
    expect(full.json.scope).toBe(scope)
  })

  test('RT07 ignores a wish for another audience or subject', async () => {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession({ scope })
    const answer = await kit.refresh(token, {
      audience: 'https://evil.example.com',
      resource: 'https://evil.example.com',
      sub: 'admin',
      subject: 'admin',
    })
    expect(claimsOf(answer)).toMatchObject({ aud: 'https://api.example.com', sub: 'u1' })
  })

  test('R14 a scope beyond the grant hides no theft', async () => {
    const kit = await createKit()
    const tokens = await lineageOf(kit, (await kit.startSession({ scope })).refresh_token, 2)
    const answer = await kit.refresh(tokens[0] ?? '', { scope: 'admin' })
    expect(answer.json).toEqual(invalidGrant)
    expect((await kit.refresh(tokens[2] ?? '')).status).toBe(400)
  })
})

describe('a store that fails', () => {
  const failure = () => {
    throw new UnavailableError('sessions', 'The store is down')
  }

  test('RT13 answers 503 when it fails before the rotation, and the token still works', async () => {
    const clock = new FakeClock()
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createKit({ clock, store })
    const { refresh_token: token } = await kit.startSession()
    store.before = failure
    const answer = await kit.refresh(token)
    expect(answer).toMatchObject({ status: 503, json: { error: 'temporarily_unavailable' } })
    expect(answer.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' })
    expect(answer.headers['www-authenticate']).toBeUndefined()
    store.before = () => undefined
    kit.clock.advance(86_400_000)
    expect((await kit.refresh(token)).status).toBe(200)
  })

  test('RT13 gives the same successor when it failed after the rotation and the client retries', async () => {
    const clock = new FakeClock()
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createKit({ clock, store })
    const { refresh_token: token } = await kit.startSession()
    store.after = failure
    expect((await kit.refresh(token)).status).toBe(503)
    store.after = () => undefined
    const retry = await kit.refresh(token)
    expect(retry.status).toBe(200)
    expect(typesOf(kit)).toContain('refresh.retried')
    expect((await kit.refresh(retry.json.refresh_token)).status).toBe(200)
  })

  test('RT13 uses up no token while the claims of the application fail, however long', async () => {
    let fails = false
    const kit = await createKit({
      issuer: {
        claims: () => {
          if (fails) throw new Error('the database of the application is down')
          return { tenant: 'acme' }
        },
      },
    })
    const { refresh_token: token } = await kit.startSession()
    fails = true
    const answer = await kit.refresh(token)
    expect(answer).toMatchObject({ status: 503, json: { error: 'temporarily_unavailable' } })
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.text).not.toContain('database')
    kit.clock.advance(graceMs * 10)
    expect((await kit.refresh(token)).status).toBe(503)
    fails = false
    const renewed = await kit.refresh(token)
    expect(renewed.status).toBe(200)
    expect(claimsOf(renewed)).toMatchObject({ tenant: 'acme' })
  })
})

describe('requests to /token that are none', () => {
  test.each([
    ['no grant type', {}, 'invalid_request'],
    ['an empty grant type', { grant_type: '' }, 'invalid_request'],
    ['another grant type', { grant_type: 'password' }, 'unsupported_grant_type'],
    ['__proto__', { grant_type: '__proto__' }, 'unsupported_grant_type'],
    ['another case', { grant_type: 'Refresh_Token' }, 'unsupported_grant_type'],
    ['no token', { grant_type: 'refresh_token' }, 'invalid_request'],
    ['an empty token', { grant_type: 'refresh_token', refresh_token: '' }, 'invalid_request'],
  ])('%s', async (_name, fields, error) => {
    const kit = await createKit()
    expect(await postForm(`${kit.base}/token`, fields)).toMatchObject({
      status: 400,
      json: { error },
    })
  })
})

test('RT09 a refresh that was decided before the kick-out leaves nothing that lives on after it', async () => {
  const clock = new FakeClock()
  const store = countingStore(new MemorySessionStore({}, clock))
  const kit = await createKit({ clock, store })
  const session = await kit.startSession()
  let kickedOut: Promise<unknown> = Promise.resolve()
  // The rotation has happened; its answer is on the way when the kick-out is acknowledged.
  store.after = async (call) => {
    if (call !== 'rotate') return
    store.after = () => undefined
    kickedOut = kit.issuer.kickOut({ subject: 'u1' })
    await kickedOut
  }
  const late = await kit.refresh(session.refresh_token)
  await kickedOut
  expect(late.status).toBe(200)
  expect((await kit.call(late.json.access_token)).status).toBe(401)
  expect((await kit.refresh(late.json.refresh_token)).json).toEqual(invalidGrant)
})

test('RT10 a refresh that races a logout leaves an inert token behind', async () => {
  const clock = new FakeClock()
  const store = countingStore(new MemorySessionStore({}, clock))
  const kit = await createKit({ clock, store })
  const { refresh_token: token } = await kit.startSession()
  store.after = async (call) => {
    if (call !== 'rotate') return
    store.after = () => undefined
    expect((await kit.revoke(token)).status).toBe(200)
  }
  const late = await kit.refresh(token)
  expect((await kit.call(late.json.access_token)).status).toBe(401)
  expect((await kit.refresh(late.json.refresh_token)).json).toEqual(invalidGrant)
})

test('a session id tells nothing that a token could be made from', async () => {
  const kit = await createKit()
  const tokens = await kit.startSession()
  const parts = readerOf(kit).read(tokens.refresh_token)
  if (!parts) throw new Error('unreadable')
  expect(sessionIdOf(parts)).toBe(tokens.session_id)
  const kept = JSON.stringify(await kit.store.find(tokens.session_id))
  expect(kept).not.toContain(parts.handle.toString('base64url'))
  expect(kept).not.toContain(tokens.refresh_token)
})

describe('L01 what is compared with a secret', () => {
  test('L01 is compared by digests of one length, so that a guess of any length is refused alike', async () => {
    const clients = [{ clientId: 'backend', secretHashes: [hashClientSecret('s3cret')] }]
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: token } = await kit.startSession({ clientId: 'backend' })
    const answers = await Promise.all(
      ['s', 's3cre', 's3crev', 's3cret ', 'x'.repeat(5_000), '\0'].map(async (guess) =>
        kit.refresh(token, { client_id: 'backend', client_secret: guess }),
      ),
    )
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(answers[0]?.status).toBe(401)
  })

  test.each(['tokens/refresh-token', 'http/clients'])(
    'L01 is compared by timingSafeEqual alone: %s',
    (file) => {
      const source = readFileSync(new URL(`../../src/issuer/${file}.ts`, import.meta.url), 'utf8')
      expect(source).toMatch(/timingSafeEqual\(/)
      expect(source).not.toMatch(/\.equals\(|\bmac === |=== mac\b|=== presented|digest\(.*\) ===/)
    },
  )
})
