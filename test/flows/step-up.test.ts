import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { decodeJwt, exportJWK } from 'jose'
import { requireAuthContext } from '../../src/index.ts'
import { getAuth } from '../../src/guard/request-auth.ts'
import { systemClock } from '../../src/clock.ts'
import {
  type Client,
  GrantError,
  hashClientSecret,
  type TokenResponse,
} from '../../src/issuer/index.ts'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import { countingStore } from '../support/counting-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { basic, bearer, postForm, postJson, send } from '../support/http-client.ts'
import {
  claimsOf,
  closeKitsAfterEach,
  createKit,
  type Kit,
  type KitOptions,
  loopbackCookieOf,
} from '../support/issuer-kit.ts'
import { makeProofKey } from '../support/proofs.ts'

closeKitsAfterEach()

/** A key that signs elsewhere, as that of a key service. */
async function exportableSigner() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicJwk = { ...(await exportJWK(publicKey)), kid: 'kms', alg: 'ES256' }
  const signing = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  return { publicJwk, sign: (data: Uint8Array) => sign('sha256', data, signing) }
}

const acr = 'urn:example:mfa'

/** A kit with a route that wants a strong and recent sign-in, and one where the user signs in again. */
async function createStepUpKit(options: KitOptions = {}): Promise<Kit> {
  return createKit({
    ...options,
    routes: (app, { guard, issuer, clock }) => {
      const strong = requireAuthContext({ acr, maxAgeSeconds: 300 })
      app.post('/transfer', guard, strong, (_req, res) => void res.json({ done: true }))
      app.post('/step-up', guard, (req, res, next) => {
        const authTime = Math.floor(clock.now() / 1000)
        issuer
          .stepUp(getAuth(req).sessionId ?? '', { acr, amr: ['pwd', 'otp'], authTime })
          .then((tokens) => issuer.send(res, tokens), next)
      })
    },
  })
}

async function transfer(kit: Kit, token: string) {
  return send(`${kit.url}/transfer`, { method: 'POST', headers: bearer(token) })
}

describe('a user who has signed in weakly', () => {
  test('is asked for more, signs in again within the session, and goes on', async () => {
    const kit = await createStepUpKit()
    const seconds = Math.floor(kit.clock.now() / 1000)
    const weak = await kit.startSession({ acr: 'pwd', amr: ['pwd'], authTime: seconds - 3600 })
    const refused = await transfer(kit, weak.access_token)
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toMatch(
      /error="insufficient_user_authentication".* acr_values="urn:example:mfa", max_age="300"/,
    )

    const answer = await postJson(`${kit.url}/step-up`, {}, bearer(weak.access_token))
    expect(answer.status).toBe(200)
    const strong = answer.json as TokenResponse
    expect(Object.keys(strong).sort()).toEqual(
      Object.keys(weak).sort(), // the shape of a login's answer
    )
    expect(strong.session_id).toBe(weak.session_id)
    expect((await transfer(kit, strong.access_token)).status).toBe(200)
    expect(decodeJwt(strong.access_token)).toMatchObject({
      ...{ acr, amr: ['pwd', 'otp'], auth_time: seconds, sub: 'u1', sid: weak.session_id },
      session_version: decodeJwt(weak.access_token)['session_version'],
    })
    expect(kit.events.at(-1)).toMatchObject({
      ...{ type: 'session.stepped_up', sessionId: weak.session_id, subject: 'u1' },
    })
  })

  test('has the stronger sign-in in each later refresh, whose moment stays', async () => {
    const kit = await createStepUpKit()
    const weak = await kit.startSession({ acr: 'pwd' })
    const { json: strong } = await postJson(`${kit.url}/step-up`, {}, bearer(weak.access_token))
    const authTime = claimsOf(strong)['auth_time']
    let token = weak.refresh_token
    expect(strong.refresh_token).toBe(token)
    for (let round = 0; round < 3; round++) {
      kit.clock.advance(120_000)
      const { status, json } = await kit.refresh(token)
      expect(status).toBe(200)
      expect(claimsOf(json)).toMatchObject({ acr, amr: ['pwd', 'otp'], auth_time: authTime })
      token = json.refresh_token
      // Within 300 seconds and the tolerance of 5, and not after.
      expect((await transfer(kit, json.access_token)).status).toBe(round < 2 ? 200 : 401)
    }
  })

  test('has it in the refresh that answers a retry, with the same successor', async () => {
    const kit = await createKit()
    const weak = await kit.startSession()
    const first = await kit.refresh(weak.refresh_token)
    const strong = await kit.issuer.stepUp(weak.session_id, { acr })
    const again = await kit.refresh(weak.refresh_token)
    expect(again.json.refresh_token).toBe(first.json.refresh_token)
    expect(strong.refresh_token).toBe(first.json.refresh_token)
    expect(claimsOf(again).acr).toBe(acr)
    expect((await kit.refresh(strong.refresh_token)).status).toBe(200)
  })
})

describe('what is given', () => {
  test.each<[string, object, object, object]>([
    ['acr alone', { amr: ['pwd'], authTime: 100 }, { acr }, { acr, amr: ['pwd'], auth_time: 100 }],
    ['amr alone', { acr: 'pwd' }, { amr: ['otp'] }, { acr: 'pwd', amr: ['otp'] }],
    ['a later moment', { acr, authTime: 100 }, { authTime: 200 }, { acr, auth_time: 200 }],
    ['the first moment', { acr }, { authTime: 200 }, { acr, auth_time: 200 }],
    ['an earlier moment', { authTime: 200 }, { acr, authTime: 100 }, { acr, auth_time: 200 }],
  ])(
    '%s is merged with what was; the moment never goes back',
    async (_what, before, given, claims) => {
      const kit = await createKit()
      const { session_id: id, refresh_token: token } = await kit.startSession(before)
      const wanted = { acr: undefined, amr: undefined, auth_time: undefined, ...claims }
      for (const answer of [await kit.issuer.stepUp(id, given), await kit.refresh(token)]) {
        const { acr, amr, auth_time } = claimsOf(answer)
        expect({ acr, amr, auth_time }).toEqual(wanted)
      }
    },
  )

  test('of several step-ups the last counts, and the latest moment', async () => {
    const kit = await createKit()
    const { session_id: id, refresh_token: token } = await kit.startSession()
    await kit.issuer.stepUp(id, { acr: 'gold', authTime: 300 })
    const last = await kit.issuer.stepUp(id, { acr: 'silver', authTime: 200 })
    expect(claimsOf(last)).toMatchObject({ acr: 'silver', auth_time: 300 })
    expect(claimsOf(await kit.refresh(token))).toMatchObject({ acr: 'silver', auth_time: 300 })
  })

  test('20 step-ups at once all come through, and the latest moment counts', async () => {
    const kit = await createKit()
    const { session_id: id, refresh_token: token } = await kit.startSession()
    const times = Array.from({ length: 20 }, (_, index) => 100 + index)
    await Promise.all(times.map(async (authTime) => kit.issuer.stepUp(id, { authTime })))
    expect(claimsOf(await kit.refresh(token))['auth_time']).toBe(119)
  })

  test.each<[string, unknown, unknown, RegExp]>([
    ['no id', undefined, { acr }, /"sessionId" must be the id of a session/],
    ['an empty id', '', { acr }, /"sessionId"/],
    ['no facts', 'id', {}, /give "acr", "amr" or "authTime"/],
    ['nothing at all', 'id', undefined, /stepUp/],
    ['an unknown name', 'id', { arc: 'gold' }, /"arc".*"acr"/],
    ['an acr that is no string', 'id', { acr: 1 }, /"acr" must be a non-empty string/],
    ['an amr that is no list', 'id', { amr: 'otp' }, /"amr" must be a list/],
    ['a moment that is no number', 'id', { authTime: '1' }, /"authTime" must be a number/],
    ['milliseconds', 'id', { authTime: Date.now() }, /"authTime".*milliseconds/],
  ])('%s is a TypeError', async (_what, id, given, message) => {
    const kit = await createKit()
    const { session_id: known } = await kit.startSession()
    const rejected = kit.issuer.stepUp((id === 'id' ? known : id) as string, given as object)
    await expect(rejected).rejects.toThrow(TypeError)
    await expect(rejected).rejects.toThrow(message)
  })

  test('milliseconds are a TypeError at the start of a session too', async () => {
    const kit = await createKit()
    await expect(kit.startSession({ authTime: Date.now() })).rejects.toThrow(/milliseconds/)
  })
})

describe('a session that is over is not stepped up', () => {
  const ends: [string, (kit: Kit, tokens: TokenResponse) => Promise<unknown>, string][] = [
    ['kicked out by its user', async (kit) => kit.issuer.kickOut({ subject: 'u1' }), 'ended'],
    [
      'kicked out itself',
      async (kit, { session_id: session }) => kit.issuer.kickOut({ session }),
      'ended',
    ],
    ['kicked out by its client', async (kit) => kit.issuer.kickOut({ client: 'web' }), 'ended'],
    ['kicked out with everyone', async (kit) => kit.issuer.kickOut({ everyone: true }), 'ended'],
    ['logged out', async (kit, { refresh_token: token }) => kit.revoke(token), 'ended'],
    ['idle for too long', async (kit) => kit.clock.advance(604_800_000), 'expired'],
  ]
  test.each(ends)('%s', async (_how, end, reason) => {
    const kit = await createKit()
    const tokens = await kit.startSession({ clientId: 'web' })
    await kit.issuer.stepUp(tokens.session_id, { acr })
    await end(kit, tokens)
    const rejected = kit.issuer.stepUp(tokens.session_id, { acr: 'better' })
    await expect(rejected).rejects.toBeInstanceOf(GrantError)
    await expect(rejected).rejects.toMatchObject({ status: 400, code: 'invalid_grant', reason })
  })

  test('nor is one of another issuer in the same store, which stays as it is', async () => {
    const clock = new FakeClock(Date.UTC(2026, 0, 1))
    const store = new MemorySessionStore({}, clock)
    const kit = await createKit({ store, clock })
    const other = await createKit({ store, clock })
    const { session_id: id, refresh_token: token } = await other.startSession()
    await expect(kit.issuer.stepUp(id, { acr })).rejects.toMatchObject({ reason: 'ended' })
    expect((await other.refresh(token)).status).toBe(200)
  })

  test('the tokens of a step-up are out with the kick-out that comes after it', async () => {
    const kit = await createKit()
    const { session_id: id } = await kit.startSession()
    const strong = await kit.issuer.stepUp(id, { acr })
    expect((await kit.call(strong.access_token)).status).toBe(200)
    await kit.issuer.kickOut({ subject: 'u1' })
    expect((await kit.call(strong.access_token)).status).toBe(401)
    expect((await kit.refresh(strong.refresh_token)).status).toBe(400)
  })
})

test('a bound session stays bound: the token has cnf.jkt, and refreshes want the proof', async () => {
  const kit = await createKit()
  const key = await makeProofKey()
  const { session_id: id, refresh_token: token } = await kit.startSession({
    dpop: { jkt: key.thumbprint },
  })
  const strong = await kit.issuer.stepUp(id, { acr })
  expect(strong.token_type).toBe('DPoP')
  expect(claimsOf(strong)).toMatchObject({ acr, cnf: { jkt: key.thumbprint } })
  expect((await kit.refresh(token)).status).toBe(400)
  const proof = key.prove({ htm: 'POST', htu: `${kit.base}/token` })
  const refreshed = await kit.refresh(token, {}, { dpop: proof })
  expect(refreshed.status).toBe(200)
  expect(claimsOf(refreshed)).toMatchObject({ acr, cnf: { jkt: key.thumbprint } })
})

test('in cookie mode the refresh token stays out of the body, and the cookie of the session as it is', async () => {
  const kit = await createStepUpKit({ issuer: { cookie: {} } })
  const login = await postJson(`${kit.url}/login`, { subject: 'u1' })
  const [cookie = ''] = login.headers['set-cookie'] ?? []
  const own = cookie.split(';')[0] ?? ''
  expect(own).toContain(loopbackCookieOf(kit))
  const headers = { ...bearer(login.json.access_token), cookie: own }
  const strong = await postJson(`${kit.url}/step-up`, {}, headers)
  expect(strong.status).toBe(200)
  expect(strong.json).not.toHaveProperty('refresh_token')
  expect(strong.headers['set-cookie']).toBeUndefined()
  const refreshed = await postForm(
    `${kit.base}/token`,
    { grant_type: 'refresh_token' },
    { cookie: own, origin: kit.url },
  )
  expect(claimsOf(refreshed).acr).toBe(acr)

  // A browser without the cookie gets one.
  const bare = await postJson(`${kit.url}/step-up`, {}, bearer(strong.json.access_token))
  expect(bare.headers['set-cookie']).toHaveLength(1)
})

test('introspection of the refresh token tells the stronger sign-in', async () => {
  const secret = 'a secret of a client, thirty-two bytes'
  const clients: Client[] = [
    { clientId: 'web' },
    { clientId: 'api', secretHashes: [hashClientSecret(secret)], introspect: true },
  ]
  const clock = new FakeClock(Date.now())
  const store = new MemorySessionStore({}, systemClock)
  const kit = await createKit({ clock, store, issuer: { clients } })
  const weak = await kit.startSession({ clientId: 'web', acr: 'pwd' })
  await kit.issuer.stepUp(weak.session_id, { acr, authTime: 100 })
  const answer = await postForm(
    `${kit.base}/introspect`,
    { token: weak.refresh_token },
    basic('api', secret),
  )
  expect(answer.json).toMatchObject({ active: true, acr, auth_time: 100 })
})

test('a signature of a key service that was asked for before the step-up is not used after it', async () => {
  const pair = await exportableSigner()
  let whileSigning = async (): Promise<unknown> => undefined
  const key = {
    publicJwk: pair.publicJwk,
    async sign(data: Uint8Array) {
      const meanwhile = whileSigning
      whileSigning = async () => undefined
      await meanwhile()
      return pair.sign(data)
    },
  }
  const kit = await createKit({ issuer: { signingKeys: [key] } })
  const weak = await kit.startSession({ acr: 'pwd' })
  whileSigning = async () => kit.issuer.stepUp(weak.session_id, { acr })
  expect(claimsOf(await kit.refresh(weak.refresh_token)).acr).toBe(acr)
})

describe('claims of the application', () => {
  test('are in the answer; while they fail nothing has moved', async () => {
    let isDown = false
    const claims = () => {
      if (isDown) throw new Error('the directory is down')
      return { tenant: 't1' }
    }
    const kit = await createKit({ issuer: { claims } })
    const { session_id: id, refresh_token: token } = await kit.startSession()
    expect(claimsOf(await kit.issuer.stepUp(id, { acr }))).toMatchObject({ acr, tenant: 't1' })
    isDown = true
    await expect(kit.issuer.stepUp(id, { acr: 'better' })).rejects.toMatchObject({
      status: 503,
      reason: 'sessions',
    })
    isDown = false
    expect(claimsOf(await kit.refresh(token)).acr).toBe(acr)
  })

  test('may refuse: an invalid_grant ends the session', async () => {
    let isBanned = false
    const claims = () => {
      if (isBanned) throw new GrantError('invalid_grant', 'banned', 'The account is closed')
      return {}
    }
    const kit = await createKit({ issuer: { claims } })
    const { session_id: id, access_token: token } = await kit.startSession()
    isBanned = true
    await expect(kit.issuer.stepUp(id, { acr })).rejects.toMatchObject({ reason: 'banned' })
    expect((await kit.call(token)).status).toBe(401)
  })
})

describe('a store', () => {
  test('whose answer is lost has taken the step-up, and repeating it is safe', async () => {
    const clock = new FakeClock(Date.UTC(2026, 0, 1))
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createKit({ store, clock })
    const { session_id: id, refresh_token: token } = await kit.startSession()
    store.after = (call) => {
      if (call === 'amend') throw new Error('the connection was lost')
    }
    await expect(kit.issuer.stepUp(id, { acr, authTime: 100 })).rejects.toThrow()
    store.after = () => undefined
    expect(claimsOf(await kit.issuer.stepUp(id, { acr, authTime: 100 }))).toMatchObject({ acr })
    expect(claimsOf(await kit.refresh(token))).toMatchObject({ acr, auth_time: 100 })
  })

  test('of the application that cannot amend starts and refreshes sessions all the same', async () => {
    const clock = new FakeClock(Date.UTC(2026, 0, 1))
    const { amend: _without, ...store } = countingStore(new MemorySessionStore({}, clock))
    const kit = await createKit({ store, clock })
    const { session_id: id, refresh_token: token } = await kit.startSession()
    expect((await kit.refresh(token)).status).toBe(200)
    await expect(kit.issuer.stepUp(id, { acr })).rejects.toThrow(/has no "amend"/)
  })

  test('that fails at the seal of a new session starts none', async () => {
    const clock = new FakeClock(Date.UTC(2026, 0, 1))
    const store = countingStore(new MemorySessionStore({}, clock))
    const kit = await createKit({ store, clock })
    store.before = (call) => {
      if (call === 'amend') throw new Error('the connection was lost')
    }
    await expect(kit.startSession()).rejects.toThrow('the connection was lost')
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })
})

test('another secret that is still among those that verify opens the session', async () => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1))
  const store = new MemorySessionStore({}, clock)
  const issuer = 'https://login.example.com'
  const [older, newer] = ['o'.repeat(32), 'n'.repeat(32)]
  const before = await createKit({ store, clock, issuer: { issuer, refreshTokenSecret: older } })
  const { session_id: id, refresh_token: token } = await before.startSession()
  await before.issuer.stepUp(id, { acr })
  const secrets = { issuer, refreshTokenSecret: [newer, older] }
  const after = await createKit({ store, clock, issuer: secrets })
  const raised = await after.issuer.stepUp(id, { acr: 'better' })
  expect(claimsOf(raised).acr).toBe('better')
  expect(claimsOf(await after.refresh(token)).acr).toBe('better')
  expect((await after.refresh(raised.refresh_token)).status).toBe(200)
})
