import { describe, expect, test } from '@jest/globals'
import { generateKeyPair, SignJWT } from 'jose'
import express from 'express'
import { systemClock } from '../../src/clock.ts'
import { UnavailableError } from '../../src/errors.ts'
import { hashClientSecret } from '../../src/issuer/index.ts'
import { MemorySessionStore } from '../../src/issuer/sessions/memory-session-store.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import { countingStore } from '../support/counting-store.ts'
import { basic, postForm, postJson, send } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit, typesOf } from '../support/issuer-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'

closeKitsAfterEach()

const clients = [
  { clientId: 'web' },
  { clientId: 'other' },
  { clientId: 'backend', secretHashes: [hashClientSecret('s3cret')] },
]

describe('what cannot be revoked', () => {
  test('V01 V12 an unknown, forged, foreign or expired token is 200 and empty', async () => {
    const kit = await createKit()
    const elsewhere = createTestIssuer({ issuer: kit.base, audience: 'https://api.example.com' })
    const { privateKey } = await generateKeyPair('ES256')
    const forged = await new SignJWT({ iss: kit.base, sub: 'u1', jti: 'x', exp: 4e9 })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt' })
      .sign(privateKey)
    const tokens = await kit.startSession()
    for (const token of [
      'garbage',
      'a.b.c',
      '....',
      '{}',
      '\0',
      'x'.repeat(10_000),
      'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1MSJ9.',
      forged,
      await elsewhere.token(),
      await elsewhere.token({ expired: true }),
      `${tokens.access_token}x`,
      tokens.access_token.slice(0, -1),
      tokens.refresh_token.slice(0, -1),
      tokens.session_id,
    ]) {
      const answer = await kit.revoke(token)
      expect([answer.status, answer.text]).toEqual([200, ''])
      expect(answer.headers['cache-control']).toBe('no-store')
    }
    expect((await kit.call(tokens.access_token)).status).toBe(200)
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
    expect((await kit.issuer.revocations.listKickOuts({ limit: 10 })).kickOuts).toEqual([])
  })

  test.each([
    ['no token', ''],
    ['an empty token', 'token='],
    ['two tokens', 'token=a&token=b'],
    ['a list', 'token[]=a'],
    ['a client twice', 'token=a&client_id=a&client_id=b'],
    ['a hint alone', 'token_type_hint=access_token'],
  ])('V02 %s is 400', async (_name, body) => {
    const kit = await createKit()
    const answer = await postForm(`${kit.base}/revoke`, body)
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
  })

  test('V02 GET is 405, and a token in a URL or in JSON is not read', async () => {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession()
    const get = await send(`${kit.base}/revoke?token=${token}`)
    expect([get.status, get.headers.allow]).toEqual([405, 'POST'])
    expect((await postJson(`${kit.base}/revoke`, { token })).status).toBe(400)
    expect((await postForm(`${kit.base}/revoke?token=${token}`, 'a=b')).status).toBe(400)
    expect((await kit.refresh(token)).status).toBe(200)
  })

  test('V02 JSON that the application has parsed already is not read either', async () => {
    const kit = await createKit({
      before: [express.json(), express.urlencoded({ extended: true })],
    })
    const { refresh_token: token } = await kit.startSession()
    expect((await postJson(`${kit.base}/revoke`, { token })).status).toBe(400)
    for (const body of [`token[]=${token}`, `token[x]=${token}`, `token=${token}&token=x`]) {
      expect((await postForm(`${kit.base}/revoke`, body)).status).toBe(400)
    }
    expect((await kit.refresh(token)).status).toBe(200)
  })
})

describe('what can', () => {
  test.each([undefined, 'refresh_token', 'access_token', 'id_token', '__proto__'])(
    'V03 a token is found whatever the hint says: %s',
    async (hint) => {
      const kit = await createKit()
      const fields = hint === undefined ? {} : { token_type_hint: hint }
      const first = await kit.startSession()
      expect((await kit.revoke(first.refresh_token, fields)).status).toBe(200)
      expect((await kit.refresh(first.refresh_token)).status).toBe(400)
      const second = await kit.startSession()
      expect((await kit.revoke(second.access_token, fields)).status).toBe(200)
      expect((await kit.call(second.access_token)).status).toBe(401)
    },
  )

  test('V05 a superseded refresh token ends its session, at any age', async () => {
    const kit = await createKit()
    const { refresh_token: first } = await kit.startSession()
    const second = (await kit.refresh(first)).json
    const third = (await kit.refresh(second.refresh_token)).json
    kit.clock.advance(60_000)
    expect((await kit.revoke(first)).status).toBe(200)
    expect((await kit.refresh(third.refresh_token)).json.error).toBe('invalid_grant')
    expect((await kit.call(third.access_token)).status).toBe(401)
    expect(typesOf(kit)).not.toContain('refresh.reused')
    expect(kit.events.at(-1)).toMatchObject({ type: 'session.ended', reason: 'revoked' })
  })

  test('V06 a refresh token takes the access tokens of its session along, and no others', async () => {
    const kit = await createKit()
    const [first, other] = [await kit.startSession(), await kit.startSession()]
    const second = (await kit.refresh(first.refresh_token)).json
    await kit.revoke(second.refresh_token)
    expect((await kit.call(first.access_token)).status).toBe(401)
    expect((await kit.call(second.access_token)).status).toBe(401)
    expect((await kit.call(other.access_token)).status).toBe(200)
  })

  test('V06 an access token is out alone: its session and its siblings stay', async () => {
    const kit = await createKit()
    const first = await kit.startSession()
    const second = (await kit.refresh(first.refresh_token)).json
    await kit.revoke(first.access_token)
    expect((await kit.call(first.access_token)).status).toBe(401)
    expect((await kit.call(second.access_token)).status).toBe(200)
    expect((await kit.refresh(second.refresh_token)).status).toBe(200)
  })

  test('V07 an expired access token can be revoked: a clock that goes back brings nothing back', async () => {
    const kit = await createKit()
    const { access_token: token } = await kit.startSession()
    kit.clock.advance(601_000 + 5_000)
    expect((await kit.call(token)).status).toBe(401)
    expect((await kit.revoke(token)).status).toBe(200)
    kit.clock.setBack(120_000)
    expect((await kit.call(token)).status).toBe(401)
    expect((await kit.issuer.revocations.listKickOuts({ limit: 10 })).kickOuts).toMatchObject([
      { level: 'token' },
    ])
  })

  test('V07 a revoked access token stays out for as long as a server may accept it', async () => {
    const kit = await createKit()
    const { access_token: token } = await kit.startSession()
    await kit.revoke(token)
    kit.clock.advance(604_000)
    expect((await kit.call(token)).status).toBe(401)
    expect(kit.issuer.revocations.status().entries).toBe(1)
    // A guard with the largest tolerance, 600 s, takes the token for so long.
    kit.clock.advance(596_000 + 600_000 - 1_000)
    expect(kit.issuer.revocations.status().entries).toBe(1)
    kit.clock.advance(1_000 + 5_000)
    expect(kit.issuer.revocations.status().entries).toBe(0)
  })

  test('V09 is safe to repeat', async () => {
    const kit = await createKit()
    const { refresh_token: refreshToken, access_token: accessToken } = await kit.startSession()
    for (let count = 0; count < 3; count++) {
      expect((await kit.revoke(accessToken)).status).toBe(200)
      expect((await kit.revoke(refreshToken)).status).toBe(200)
    }
    expect(typesOf(kit)).toEqual(['session.started', 'session.ended'])
  })
})

describe('whose token it is', () => {
  test("V04 another client's token stays as it is, and the answer does not say that it exists", async () => {
    const kit = await createKit({ issuer: { clients } })
    for (const clientId of ['web', 'backend']) {
      const tokens = await kit.startSession({ clientId })
      const headers = clientId === 'backend' ? basic('backend', 's3cret') : {}
      for (const token of [tokens.refresh_token, tokens.access_token]) {
        const answer = await kit.revoke(token, { client_id: 'other' })
        expect([answer.status, answer.text]).toEqual([200, ''])
      }
      expect((await kit.call(tokens.access_token)).status).toBe(200)
      expect((await kit.refresh(tokens.refresh_token, {}, headers)).status).toBe(200)
    }
  })

  test('V04 a client with a secret has to show it, for its own tokens too', async () => {
    const kit = await createKit({ issuer: { clients } })
    const tokens = await kit.startSession({ clientId: 'backend' })
    for (const token of [tokens.refresh_token, tokens.access_token]) {
      for (const [fields, headers] of [
        [{}, {}],
        [{ client_id: 'backend' }, {}],
        [{ client_id: 'backend', client_secret: 'wrong' }, {}],
        [{}, basic('backend', 'wrong')],
      ] as const) {
        const answer = await kit.revoke(token, fields, headers)
        expect([answer.status, answer.json.error]).toEqual([401, 'invalid_client'])
      }
    }
    expect((await kit.call(tokens.access_token)).status).toBe(200)
    const own = basic('backend', 's3cret')
    expect((await kit.revoke(tokens.access_token, {}, own)).status).toBe(200)
    expect((await kit.call(tokens.access_token)).status).toBe(401)
    expect((await kit.revoke(tokens.refresh_token, {}, own)).status).toBe(200)
    expect(await kit.issuer.listSessions('u1')).toEqual([])
  })

  test('V04 the token of a public client can be revoked by its holder', async () => {
    const kit = await createKit({ issuer: { clients } })
    for (const fields of [{}, { client_id: 'web' }]) {
      const tokens = await kit.startSession({ clientId: 'web' })
      expect((await kit.revoke(tokens.refresh_token, fields)).status).toBe(200)
      expect((await kit.call(tokens.access_token)).status).toBe(401)
    }
  })
})

test('V08 a store that fails is 503 with Retry-After, never 200', async () => {
  const clock = new FakeClock()
  const store = countingStore(new MemorySessionStore({}, clock))
  const kit = await createKit({ clock, store })
  const tokens = await kit.startSession()
  for (const failing of ['find', 'kickOut']) {
    store.before = (call) => {
      if (call === failing) throw new UnavailableError('sessions', 'down')
    }
    const revoked = failing === 'find' ? tokens.refresh_token : tokens.access_token
    const answer = await kit.revoke(revoked)
    expect([answer.status, answer.json.error]).toEqual([503, 'temporarily_unavailable'])
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.headers['www-authenticate']).toBeUndefined()
  }
  store.before = () => undefined
  expect((await kit.revoke(tokens.access_token)).status).toBe(200)
  expect((await kit.call(tokens.access_token)).status).toBe(401)
})

describe('introspection', () => {
  const introspecting = [
    ...clients,
    { clientId: 'api', secretHashes: [hashClientSecret('s3cret')], introspect: true },
    {
      clientId: 'other-api',
      secretHashes: [hashClientSecret('s3cret')],
      introspect: true,
      audiences: ['https://other.example.com'],
    },
  ]

  test('V10 tells only its clients anything, and of what is not active one thing only', async () => {
    const kit = await createKit({
      clock: new FakeClock(Date.now()),
      store: new MemorySessionStore({}, systemClock),
      issuer: { clients: introspecting },
    })
    const url = `${kit.base}/introspect`
    const tokens = await kit.startSession({ clientId: 'web' })
    const stranger = basic('backend', 's3cret')
    for (const token of [tokens.access_token, tokens.refresh_token, 'unknown']) {
      expect((await postForm(url, { token })).status).toBe(401)
      expect((await postForm(url, { token }, stranger)).status).toBe(401)
      const foreign = await postForm(url, { token }, basic('other-api', 's3cret'))
      expect([foreign.status, foreign.text]).toEqual([200, '{"active":false}'])
    }
    const own = await postForm(url, { token: tokens.access_token }, basic('api', 's3cret'))
    expect([own.json.active, own.headers['cache-control']]).toEqual([true, 'no-store'])
    const used = await kit.refresh(tokens.refresh_token, { client_id: 'web' })
    await kit.issuer.kickOut({ session: tokens.session_id })
    for (const token of [tokens.access_token, tokens.refresh_token, used.json.refresh_token]) {
      const answer = await postForm(url, { token }, basic('api', 's3cret'))
      expect([answer.status, answer.text]).toEqual([200, '{"active":false}'])
    }
  })

  test('V11 asks the store and not a copy of it, and is 503 where that fails', async () => {
    const store = countingStore(new MemorySessionStore({}, systemClock))
    const kit = await createKit({
      clock: new FakeClock(Date.now()),
      store,
      issuer: { clients: introspecting },
    })
    const { access_token: token } = await kit.startSession({ clientId: 'web' })
    const asked: string[] = []
    store.before = (call) => {
      asked.push(call)
    }
    const ask = async () => postForm(`${kit.base}/introspect`, { token }, basic('api', 's3cret'))
    expect((await ask()).json.active).toBe(true)
    expect(asked).toEqual(['checkNow'])
    store.before = () => {
      throw new UnavailableError('revocations', 'down')
    }
    const answer = await ask()
    expect([answer.status, answer.json.active]).toEqual([503, undefined])
  })
})
