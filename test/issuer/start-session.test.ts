import { describe, expect, test } from '@jest/globals'
import { decodeProtectedHeader } from 'jose'
import { isGrantError } from '../../src/issuer/index.ts'
import { claimsOf, closeKitsAfterEach, createKit, typesOf } from '../support/issuer-kit.ts'

closeKitsAfterEach()

describe('the access token', () => {
  test('is one of RFC 9068, with what the contract adds', async () => {
    const kit = await createKit()
    const tokens = await kit.startSession({
      scope: 'a b a',
      clientId: 'web',
      acr: 'gold',
      amr: ['pwd', 'otp'],
      authTime: 1_700_000_000,
    })
    const header = decodeProtectedHeader(tokens.access_token)
    expect(header).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
    const iat = Math.floor(kit.clock.now() / 1000)
    expect(claimsOf(tokens)).toEqual({
      iss: kit.base,
      sub: 'u1',
      aud: 'https://api.example.com',
      iat,
      exp: iat + 600,
      jti: expect.stringMatching(/^0-[A-Za-z0-9_-]{22}$/),
      client_id: 'web',
      scope: 'a b',
      sid: tokens.session_id,
      session_version: kit.clock.now(),
      auth_time: 1_700_000_000,
      acr: 'gold',
      amr: ['pwd', 'otp'],
    })
  })

  test('goes on bearing them after a refresh, with a jti of its own', async () => {
    const kit = await createKit()
    const tokens = await kit.startSession({ acr: 'gold', amr: ['pwd'], authTime: 5, scope: 'a' })
    kit.clock.advance(60_000)
    const renewed = await kit.refresh(tokens.refresh_token)
    const { jti, iat, exp, ...same } = claimsOf(tokens)
    expect(claimsOf(renewed)).toMatchObject(same)
    expect(claimsOf(renewed)).toMatchObject({ iat: Number(iat) + 60, exp: Number(exp) + 60 })
    expect(claimsOf(renewed)['jti']).not.toBe(jti)
  })

  test('may be for several audiences', async () => {
    const kit = await createKit({
      issuer: { audience: ['https://a.example', 'https://b.example'] },
    })
    expect(claimsOf(await kit.startSession())['aud']).toEqual([
      'https://a.example',
      'https://b.example',
    ])
  })
})

describe('input', () => {
  test.each([
    [undefined, /the options must be an object/],
    ['u1', /the options must be an object/],
    [{}, /"subject"/],
    [{ subject: '' }, /"subject"/],
    [{ subject: 42 }, /"subject"/],
    [{ subject: 'x'.repeat(256) }, /"subject"/],
    [{ subject: '\ud800' }, /"subject"/],
    [{ subject: 'u1', clientId: '' }, /"clientId"/],
    [{ subject: 'u1', scope: ['a'] }, /"scope"/],
    [{ subject: 'u1', scope: 'a\tb' }, /"scope"/],
    [{ subject: 'u1', scope: 'a"b' }, /"scope"/],
    [{ subject: 'u1', device: 'phone' }, /device: the options must be an object/],
    [{ subject: 'u1', device: { os: 'x' } }, /unknown option "os"/],
    [{ subject: 'u1', device: { name: 7 } }, /"device.name"/],
    [{ subject: 'u1', acr: '' }, /"acr"/],
    [{ subject: 'u1', amr: 'pwd' }, /"amr"/],
    [{ subject: 'u1', amr: [''] }, /"amr"/],
    [{ subject: 'u1', authTime: Number.NaN }, /"authTime"/],
    [{ subject: 'u1', authTime: '5' }, /"authTime"/],
    [{ subject: 'u1', scopes: 'a' }, /unknown option "scopes", did you mean "scope"/],
  ])('%j is a TypeError, and starts nothing', async (input, message) => {
    const kit = await createKit()
    await expect(kit.issuer.startSession(input as never)).rejects.toThrow(TypeError)
    await expect(kit.issuer.startSession(input as never)).rejects.toThrow(message)
    expect(kit.events).toEqual([])
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })

  test('a device may say of itself what it likes: it is cut to size', async () => {
    const kit = await createKit()
    await kit.startSession({ device: { name: '🙂'.repeat(300), userAgent: '' } })
    const [session] = await kit.issuer.listSessions('u1')
    expect(session?.device?.name?.length).toBeLessThanOrEqual(255)
    expect(session?.device?.name?.isWellFormed()).toBe(true)
    expect(session?.device?.userAgent).toBe('')
  })
})

describe('claims', () => {
  test('are asked for at the login and again at each refresh, with the session', async () => {
    const asked: unknown[] = []
    const kit = await createKit({
      issuer: {
        claims: async (session) => {
          asked.push(session)
          return Promise.resolve({ tenant: `acme-${asked.length}`, nothing: undefined })
        },
      },
    })
    const tokens = await kit.startSession({ scope: 'a', clientId: 'web', device: { name: 'x' } })
    expect(claimsOf(tokens)).toMatchObject({ tenant: 'acme-1' })
    expect(claimsOf(tokens)).not.toHaveProperty('nothing')
    const renewed = await kit.refresh(tokens.refresh_token)
    expect(claimsOf(renewed)).toMatchObject({ tenant: 'acme-2' })
    expect(asked[0]).toEqual({
      sessionId: tokens.session_id,
      subject: 'u1',
      clientId: 'web',
      scopes: ['a'],
      device: { name: 'x' },
      startedAt: kit.clock.now(),
      lastSeenAt: kit.clock.now(),
      expiresAt: kit.clock.now() + 604_800_000,
    })
  })

  test('may be none', async () => {
    const kit = await createKit({ issuer: { claims: () => undefined } })
    const tokens = await kit.startSession()
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
  })

  test.each([
    'iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'client_id', 'azp', 'scope', 'scp', 'sid', 'session_version',
    'auth_time', 'acr', 'amr', 'cnf', 'nonce', 'at_hash', 'events',
  ])('that name %s are a TypeError at the login, and leave no session behind', async (name) => {
    const kit = await createKit({ issuer: { claims: () => ({ [name]: 'x' }) } })
    await expect(kit.startSession()).rejects.toThrow(TypeError)
    await expect(kit.startSession()).rejects.toThrow(`must not set "${name}"`)
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  }) // prettier-ignore

  test('cannot smuggle a claim of ours in by the way they are written down', async () => {
    const kit = await createKit({
      issuer: { claims: () => ({ toJSON: () => ({ sub: 'admin' }) }) },
    })
    await expect(kit.startSession()).rejects.toThrow(/must not set "sub"/)
  })

  test.each<[string, () => Record<string, unknown>]>([
    ['throw', () => { throw new Error('database') }],
    ['hold what no token can', () => ({ big: 1n })],
    ['go round in circles', () => { const round: Record<string, unknown> = {}; return Object.assign(round, { round }) }],
  ])('that %s reject at the login and are 503 at a refresh, and no session or token is lost', async (_name, claims) => {
    let fails = true
    const kit = await createKit({ issuer: { claims: () => (fails ? claims() : {}) } })
    await expect(kit.startSession()).rejects.toThrow()
    expect(await kit.issuer.listSessions('u1')).toEqual([])
    expect(typesOf(kit)).toEqual(['session.started', 'session.ended'])
    fails = false
    const { refresh_token: token } = await kit.startSession()
    fails = true
    kit.clock.advance(60_000)
    expect((await kit.refresh(token)).status).toBe(503)
    kit.clock.advance(60_000)
    expect((await kit.refresh(token)).status).toBe(503)
    fails = false
    expect((await kit.refresh(token)).status).toBe(200)
  }) // prettier-ignore
})

describe('maxPerSubject', () => {
  test('ends the session used longest ago, and says so', async () => {
    const kit = await createKit({ issuer: { session: { maxPerSubject: 2 } } })
    const first = await kit.startSession()
    const second = await kit.startSession()
    const third = await kit.startSession()
    const ids = (await kit.issuer.listSessions('u1')).map(({ sessionId }) => sessionId)
    expect(ids).toEqual([third.session_id, second.session_id])
    expect((await kit.call(first.access_token)).status).toBe(401)
    expect(kit.events.filter(({ type }) => type === 'session.ended')).toMatchObject([
      { sessionId: first.session_id, reason: 'limit', subject: 'u1' },
    ])
  })

  test('refuses where that is wanted, as access_denied', async () => {
    const kit = await createKit({ issuer: { session: { maxPerSubject: 1, whenFull: 'refuse' } } })
    await kit.startSession()
    const error: unknown = await kit.startSession().catch((reason: unknown) => reason)
    expect(isGrantError(error)).toBe(true)
    expect(error).toMatchObject({ code: 'access_denied', status: 403, reason: 'session_limit' })
    await kit.startSession({ subject: 'u2' })
  })
})
