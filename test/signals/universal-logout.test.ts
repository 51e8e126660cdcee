import { afterEach, describe, expect, test } from '@jest/globals'
import express, { type RequestHandler } from 'express'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { UnavailableError } from '../../src/errors.ts'
import { createIssuer } from '../../src/issuer/index.ts'
import { memoryStore } from '../../src/issuer/sessions/memory-session-store.ts'
import { memoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import type { Revocations } from '../../src/revocation/revocations.ts'
import {
  type SignalEvent,
  type SubjectId,
  type TrustedSender,
  universalLogout,
  type UniversalLogoutOptions,
} from '../../src/signals/index.ts'
import { type Answer, listen, type Listening, send } from '../support/http-client.ts'
import { audience as apiAudience, secret, signingKey } from '../support/issuer-kit.ts'

const tokens = 'https://login.example.com'
const okta = 'https://example.okta.com'
const audience = 'https://login.example.com/logout'
const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256' }] }
const stranger = (await generateKeyPair('RS256')).privateKey
const open: Listening[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map(async (server) => server.close()))
})

const seconds = (): number => Math.floor(Date.now() / 1000)

interface Receiving {
  readonly url: string
  readonly revocations: Revocations
  readonly events: SignalEvent[]
  /** Who was looked for. */
  readonly asked: SubjectId[]
  isOut(sub: string, iat?: number): Promise<boolean>
}

async function receiving(
  options: Partial<UniversalLogoutOptions> = {},
  sender: Partial<TrustedSender> = {},
  before: RequestHandler[] = [],
): Promise<Receiving> {
  const events: SignalEvent[] = []
  const asked: SubjectId[] = []
  const revocations = options.revocations ?? memoryRevocations({ issuer: tokens })
  const keys = sender.jwksUri === undefined ? { jwks } : {}
  const app = express()
  for (const parser of before) app.use(parser)
  app.all(
    '/logout',
    universalLogout({
      ...(!options.issuer && { revocations }),
      trusted: [{ issuer: okta, audience, ...keys, ...sender }],
      findSubject: (id) => {
        asked.push(id)
        return id.format === 'email' ? id.email.split('@')[0] : 'u1'
      },
      onEvent: (event) => events.push(event),
      ...options,
    }),
  )
  const server = await listen(app)
  open.push(server)
  return {
    url: `${server.url}/logout`,
    revocations,
    events,
    asked,
    async isOut(sub, iat = 1_000) {
      return (await revocations.check({ iss: tokens, aud: 'api', exp: 4e9, iat, sub })).revoked
    },
  }
}

/** As Okta signs it. */
async function assertion(
  claims: Record<string, unknown> = {},
  header: object = {},
  key: typeof privateKey = privateKey,
): Promise<string> {
  const payload: JWTPayload = {
    jti: crypto.randomUUID(),
    iss: okta,
    sub: 'client-id-at-okta',
    aud: audience,
    exp: seconds() + 300,
    nbf: seconds() - 300,
    iat: seconds(),
    ...claims,
  }
  return new SignJWT(payload)
    .setProtectedHeader({ alg: 'RS256', kid: 'k1', typ: 'global-token-revocation+jwt', ...header })
    .sign(key)
}

const email = { format: 'email', email: 'u1@example.com' }

async function deliver(
  { url }: Pick<Receiving, 'url'>,
  body: unknown = { sub_id: email },
  token?: string,
): Promise<Answer> {
  return send(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${token ?? (await assertion())}`,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

describe('a request as Okta sends it', () => {
  test('kicks out the user, and is answered with 204', async () => {
    const at = await receiving()
    const answer = await deliver(at)
    expect([answer.status, answer.text, answer.headers['cache-control']]).toEqual([
      204,
      '',
      'no-store',
    ])
    expect([await at.isOut('u1'), await at.isOut('u2')]).toEqual([true, false])
    expect(at.events).toEqual([
      { type: 'signal.received', at: expect.any(Number), issuer: okta, kickOuts: 1 },
    ])
  })

  test('ends the sessions and the refresh tokens of an issuer, too', async () => {
    const issuer = createIssuer({
      issuer: tokens,
      audience: apiAudience,
      signingKeys: [signingKey],
      refreshTokenSecret: secret,
      store: memoryStore(),
    })
    const at = await receiving({ issuer })
    await issuer.startSession({ subject: 'u1' })
    const iat = seconds()
    const token = await assertion({ iat: iat + 1 })
    expect((await deliver(at, undefined, token)).status).toBe(204)
    expect(await issuer.listSessions('u1')).toEqual([])
    const again = await issuer.startSession({ subject: 'u1' })
    expect((await deliver(at, undefined, token)).status).toBe(204)
    expect((await issuer.listSessions('u1')).map(({ sessionId }) => sessionId)).toEqual([
      again.session_id,
    ])
    await issuer.close()
  })

  test.each<[object, SubjectId]>([
    [{ sub_id: email }, email as SubjectId],
    [{ subject: email }, email as SubjectId],
    [{ sub_id: email, subject: email }, email as SubjectId],
    [
      { sub_id: { format: 'iss_sub', iss: okta, sub: '00u1' }, other: 'member' },
      { format: 'iss_sub', iss: okta, sub: '00u1' },
    ],
    [{ subject: { format: 'opaque', id: '7', extra: {} } }, { format: 'opaque', id: '7' }],
    [
      { sub_id: { format: 'phone_number', phone_number: '+12065550100' } },
      { format: 'phone_number', phone_number: '+12065550100' },
    ],
    [{ sub_id: { format: 'account', uri: 'acct:u1@x' } }, { format: 'account', uri: 'acct:u1@x' }],
  ])('with the body %j', async (body, subjectId) => {
    const at = await receiving()
    expect((await deliver(at, body)).status).toBe(204)
    expect(at.asked).toEqual([subjectId])
    expect(await at.isOut('u1')).toBe(true)
  })

  test('O07 kicks out as of its iat, and who has signed in since stays in', async () => {
    const at = await receiving()
    const iat = seconds() - 60
    const token = await assertion({ iat })
    for (let round = 0; round < 3; round++)
      expect((await deliver(at, undefined, token)).status).toBe(204)
    expect([await at.isOut('u1', iat), await at.isOut('u1', iat + 1)]).toEqual([true, false])
    expect(at.asked).toHaveLength(1)
    expect(at.events.map((event) => 'kickOuts' in event && event.kickOuts)).toEqual([1, 0, 0])
  })

  test('finds several users, or asks a database', async () => {
    const at = await receiving({ findSubject: async () => Promise.resolve(['u1', 'u2']) })
    expect((await deliver(at)).status).toBe(204)
    expect([await at.isOut('u1'), await at.isOut('u2')]).toEqual([true, true])
  })

  test('may have been parsed by the application, and its type may be absent', async () => {
    const at = await receiving({}, {}, [express.json()])
    expect((await deliver(at, undefined, await assertion({}, { typ: undefined }))).status).toBe(204)
    expect((await deliver(at, '[1', undefined)).status).toBe(400)
  })

  test('O12 is 403 where the sender may not, and 404 where no user is found', async () => {
    const named: string[] = []
    const refused = await receiving(
      {},
      {
        subjects: (issuer) => {
          named.push(issuer)
          return false
        },
      },
    )
    expect((await deliver(refused)).status).toBe(403)
    expect(named).toEqual([tokens])
    expect(refused.asked).toEqual([])
    const promised = await receiving(
      {},
      { subjects: (async () => Promise.resolve(false)) as never },
    )
    expect((await deliver(promised)).status).toBe(403)
    for (const nobody of [undefined, []]) {
      const at = await receiving({ findSubject: () => nobody })
      expect((await deliver(at)).status).toBe(404)
      expect(at.revocations.status().entries).toBe(0)
    }
  })

  test('O08 is 503 while the store, the users or the keys are away, and is taken in when it is sent again', async () => {
    const revocations = memoryRevocations({ issuer: tokens })
    let isAway = true
    const failing: Revocations = {
      ...revocations,
      kickOut: async (target, options) => {
        if (isAway) throw new UnavailableError('revocations', 'away')
        return revocations.kickOut(target, options)
      },
    }
    const at = await receiving({ revocations: failing })
    const token = await assertion()
    const answer = await deliver(at, undefined, token)
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    isAway = false
    expect((await deliver(at, undefined, token)).status).toBe(204)
    expect(await at.isOut('u1')).toBe(true)
    const users = await receiving({
      findSubject: () => {
        throw new Error('the database is away')
      },
    })
    const failed = await deliver(users)
    expect([failed.status, failed.text.includes('database')]).toEqual([503, false])
    const keyless = await receiving({}, { jwksUri: 'http://127.0.0.1:1/jwks' })
    expect((await deliver(keyless)).status).toBe(503)
  })
})

describe('a jti', () => {
  test('O10 is good for one user only: the signature does not cover the body', async () => {
    const replay = memoryReplayStore()
    const [at, other] = [await receiving({ replay }), await receiving({ replay })]
    const token = await assertion()
    expect((await deliver(at, undefined, token)).status).toBe(204)
    for (const one of [at, other]) {
      const victim = { sub_id: { format: 'email', email: 'victim@example.com' } }
      expect((await deliver(one, victim, token)).status).toBe(401)
      expect(await one.isOut('victim')).toBe(false)
      expect((await deliver(one, undefined, token)).status).toBe(204)
    }
    expect(other.asked).toEqual([])
  })
})

describe('O09 401, and no one is kicked out:', () => {
  test.each<[string, Record<string, unknown>, object?]>([
    ['another sender', { iss: 'https://evil.example.com' }],
    ['no sender', { iss: undefined }],
    ['a sender as a list', { iss: [okta] }],
    ['another audience', { aud: 'https://other.example.com' }],
    ['no audience', { aud: undefined }],
    ['an audience that is no text', { aud: {} }],
    ['no iat', { iat: undefined }],
    ['iat as text', { iat: '1' }],
    ['an old one', { iat: 1_000 }],
    ['one from the future', { iat: 4e9 }],
    ['an expired one', { exp: 1_000 }],
    ['exp as text', { exp: 'soon' }],
    ['one that is not valid yet', { nbf: 4e9 }],
    ['no jti', { jti: undefined }],
    ['jti as a number', { jti: 7 }],
    ['an access token', {}, { typ: 'at+jwt' }],
    ['a logout token', {}, { typ: 'logout+jwt' }],
    ['an unknown key', {}, { kid: 'k2' }],
  ])('%s', async (_name, claims, header = {}) => {
    const at = await receiving()
    const answer = await deliver(at, undefined, await assertion(claims, header))
    expect([answer.status, answer.json.error]).toEqual([401, 'invalid_token'])
    expect(answer.headers['www-authenticate']).toBe('Bearer error="invalid_token"')
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(at.asked).toEqual([])
    expect(at.events).toMatchObject([{ type: 'signal.rejected' }])
  })

  test('a signature of another user, none, or another scheme', async () => {
    const at = await receiving()
    const good = await assertion()
    const [head, body = '', signature = ''] = good.split('.')
    const header = (facts: object): string =>
      Buffer.from(JSON.stringify(facts)).toString('base64url')
    for (const authorization of [
      `Bearer ${await assertion({}, {}, stranger)}`,
      `Bearer ${head}.${body}.${signature.slice(0, -4)}AAAA`,
      `Bearer ${header({ alg: 'none' })}.${body}.`,
      `Bearer ${header({ alg: 'HS256', kid: 'k1' })}.${body}.${signature}`,
      'Bearer x',
      'Bearer ',
      `Basic ${Buffer.from('a:b').toString('base64')}`,
      '',
      [`Bearer ${good}`, `Bearer ${good}`],
    ]) {
      const answer = await send(at.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization },
        body: JSON.stringify({ sub_id: email }),
      })
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
    }
    expect(at.asked).toEqual([])
  })
})

describe('O11 400, and no one is kicked out:', () => {
  test.each<[string, unknown]>([
    ['no body', ''],
    ['no JSON', '{'],
    ['null', 'null'],
    ['a list', []],
    ['no subject', {}],
    ['a text as subject', { sub_id: 'u1' }],
    ['null as subject', { sub_id: null }],
    ['a list as subject', { sub_id: [email] }],
    ['no format', { sub_id: { email: 'u1@example.com' } }],
    ['an unknown format', { sub_id: { format: 'aliases', identifiers: [email] } }],
    ['a format of the prototype', { sub_id: { format: 'constructor' } }],
    ['a format that is a list', { sub_id: { format: ['email'], email: 'u1@example.com' } }],
    ['no member', { sub_id: { format: 'email' } }],
    ['an empty member', { sub_id: { format: 'opaque', id: '' } }],
    ['a number as member', { sub_id: { format: 'opaque', id: 7 } }],
    ['half a pair', { sub_id: { format: 'iss_sub', iss: okta } }],
    ['two subjects', { sub_id: email, subject: { format: 'opaque', id: '7' } }],
    ['more than 16 KiB', { sub_id: email, filler: 'x'.repeat(17_000) }],
  ])('%s', async (_name, body) => {
    const at = await receiving()
    const answer = await deliver(at, body)
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_request'])
    expect(at.asked).toEqual([])
    expect(at.revocations.status().entries).toBe(0)
  })

  test('a form, and another method is 405', async () => {
    const at = await receiving()
    const headers = {
      authorization: `Bearer ${await assertion()}`,
      'content-type': 'application/x-www-form-urlencoded',
    }
    expect((await send(at.url, { method: 'POST', headers, body: 'sub_id=u1' })).status).toBe(400)
    expect((await send(at.url, { headers })).status).toBe(405)
  })
})

test('several senders are told apart by their names, each with keys and rights of its own', async () => {
  const other = 'https://other.okta.com'
  const trusted: TrustedSender[] = [
    { issuer: okta, audience, jwks },
    { issuer: other, audience, jwks: { keys: [{ ...jwks.keys[0], kid: 'k2' }] } },
  ]
  const at = await receiving({ trusted })
  expect((await deliver(at)).status).toBe(204)
  const wrongKey = await assertion({ iss: other })
  expect((await deliver(at, undefined, wrongKey)).status).toBe(401)
  const right = await assertion({ iss: other }, { kid: 'k2' })
  expect((await deliver(at, undefined, right)).status).toBe(204)
})

test('ready() fetches the keys of all senders, so that the first request waits for none', async () => {
  let fetches = 0
  const keys = await listen((_req, res) => {
    fetches++
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(jwks))
  })
  const jwksUri = `${keys.url}/jwks`
  let areReady = 0
  const revocations = memoryRevocations({ issuer: tokens })
  const watched: Revocations = Object.create(revocations) as Revocations
  watched.ready = async () => {
    areReady++
    await revocations.ready()
  }
  const handler = universalLogout({
    revocations: watched,
    trusted: [
      { issuer: okta, audience, jwksUri },
      { issuer: 'https://other.okta.com', audience, jwksUri },
    ],
    findSubject: () => 'u1',
  })
  const server = await listen(express().post('/logout', handler))
  open.push(server)
  expect(fetches).toBe(0)
  await handler.ready()
  expect({ fetches, areReady }).toEqual({ fetches: 2, areReady: 1 })
  await keys.close()
  expect((await deliver({ url: `${server.url}/logout` })).status).toBe(204)
})

test('a function that finds what is no user is a mistake of the application, 500', async () => {
  for (const found of [7, '', [null], ['u1', '']]) {
    const at = await receiving({ findSubject: () => found as never })
    expect((await deliver(at)).status).toBe(500)
    expect(at.revocations.status().entries).toBe(0)
  }
})

test.each<[string, object, RegExp]>([
  ['neither issuer nor revocations', { revocations: undefined }, /"issuer" must be given/],
  ['both', { issuer: { kickOut: () => undefined, revocations: {} } }, /not both/],
  [
    'revocations of no issuer',
    { revocations: memoryRevocations() },
    /"revocations" must be made with/,
  ],
  ['revocations that are none', { revocations: {} }, /"revocations"/],
  ['no sender', { trusted: [] }, /"trusted"/],
  [
    'a sender without a name',
    { trusted: [{ audience, jwks }] },
    /"trusted\[0\].issuer" is missing/,
  ],
  ['a sender without audience', { trusted: [{ issuer: okta }] }, /"trusted\[0\].audience"/],
  [
    'a sender twice',
    {
      trusted: [
        { issuer: okta, audience, jwks },
        { issuer: okta, audience, jwks },
      ],
    },
    /listed twice/,
  ],
  [
    'a sender whose keys cannot be found',
    { trusted: [{ issuer: 'okta', audience }] },
    /https: URL/,
  ],
  [
    'subjects that is no function',
    { trusted: [{ issuer: okta, audience, subjects: [] }] },
    /subjects/,
  ],
  ['nobody who finds users', { findSubject: undefined }, /"findSubject" is missing/],
  ['an unknown option', { clientId: 'app' }, /unknown option "clientId"/],
])('options with %s are a TypeError', (_name, options, message) => {
  const given = {
    revocations: memoryRevocations({ issuer: tokens }),
    trusted: [{ issuer: okta, audience, jwks }],
    findSubject: () => 'u1',
    ...options,
  }
  const make = () => universalLogout(given)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})
