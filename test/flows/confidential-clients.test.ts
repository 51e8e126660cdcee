import { describe, expect, test } from '@jest/globals'
import { hashClientSecret } from '../../src/issuer/index.ts'
import { basic, type Sent } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit } from '../support/issuer-kit.ts'

closeKitsAfterEach()

const secret = 'sécret: with+odd %signs&='
const clients = [
  { clientId: 'web' },
  {
    clientId: 'back end:1',
    secretHashes: [hashClientSecret(secret), hashClientSecret('the next secret')],
  },
]
const id = 'back end:1'

function raw(text: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` }
}

describe('a client with a secret', () => {
  test.each<[string, Record<string, string>, Sent['headers']]>([
    ['in the header', {}, basic(id, secret)],
    ['in the header, with its id in the form', { client_id: id }, basic(id, secret)],
    ['in the header, spaces as plus', {}, raw(`back+end%3A1:${encodeURIComponent(secret)}`)],
    ['in the form', { client_id: id, client_secret: secret }, {}],
    ['that is the next one', { client_id: id, client_secret: 'the next secret' }, {}],
    [
      'under a scheme in small letters',
      {},
      { authorization: (basic(id, secret)['authorization'] ?? '').replace('Basic', 'basic') },
    ],
  ])('refreshes with the secret %s', async (_name, fields, headers) => {
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: token } = await kit.startSession({ clientId: id })
    expect((await kit.refresh(token, fields, headers)).status).toBe(200)
  })

  test.each<[string, Record<string, string>, Sent['headers'], number, string]>([
    ['no word of itself', {}, {}, 401, 'invalid_client'],
    ['its id alone', { client_id: id }, {}, 401, 'invalid_client'],
    ['an empty secret', { client_id: id, client_secret: '' }, {}, 401, 'invalid_client'],
    ['a wrong secret', { client_id: id, client_secret: 'wrong' }, {}, 401, 'invalid_client'],
    [
      'the hash as secret',
      { client_id: id, client_secret: hashClientSecret(secret) },
      {},
      401,
      'invalid_client',
    ],
    ['a secret without an id', { client_secret: secret }, {}, 401, 'invalid_client'],
    ['an unknown id', { client_id: 'unknown', client_secret: secret }, {}, 401, 'invalid_client'],
    ['the prototype as id', { client_id: '__proto__' }, {}, 401, 'invalid_client'],
    [
      'two ways at once',
      { client_id: id, client_secret: secret },
      basic(id, secret),
      400,
      'invalid_request',
    ],
    ['two ids', { client_id: 'web' }, basic(id, secret), 400, 'invalid_request'],
    ['the secret of nobody in the header', {}, basic(id, 'wrong'), 401, 'invalid_client'],
    ['a header without encoding', {}, raw(`${id}:${secret}`), 401, 'invalid_client'],
    ['a header with broken encoding', {}, raw('back%2:x'), 401, 'invalid_client'],
    ['a header without a colon', {}, raw('backend'), 401, 'invalid_client'],
    ['a header without an id', {}, raw(`:${secret}`), 401, 'invalid_client'],
    ['an empty header', {}, { authorization: 'Basic ' }, 401, 'invalid_client'],
    ['a header that is no base64', {}, { authorization: 'Basic !!' }, 401, 'invalid_client'],
    ['another scheme', {}, { authorization: 'Digest abc' }, 401, 'invalid_client'],
  ])('is refused with %s', async (_name, fields, headers, status, error) => {
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: token } = await kit.startSession({ clientId: id })
    const answer = await kit.refresh(token, fields, headers)
    expect([answer.status, answer.json.error]).toEqual([status, error])
    const challenge = answer.headers['www-authenticate']
    const triedHeader = status === 401 && headers?.['authorization'] !== undefined
    expect(challenge).toBe(triedHeader ? 'Basic realm="token"' : undefined)
    expect(answer.text).not.toContain(secret)
    expect((await kit.refresh(token, {}, basic(id, secret))).status).toBe(200)
  })
})

describe('a public client', () => {
  test('refreshes with its id, and without', async () => {
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: token } = await kit.startSession({ clientId: 'web' })
    const named = await kit.refresh(token, { client_id: 'web' })
    expect(named.status).toBe(200)
    const unnamed = await kit.refresh(named.json.refresh_token)
    expect(unnamed.status).toBe(200)
    expect((await kit.refresh(unnamed.json.refresh_token, {}, basic('web', ''))).status).toBe(200)
  })

  test('is refused with a secret, which it cannot have', async () => {
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: token } = await kit.startSession({ clientId: 'web' })
    for (const [fields, headers] of [
      [{ client_id: 'web', client_secret: 'x' }, {}],
      [{}, basic('web', 'x')],
    ] as const) {
      const answer = await kit.refresh(token, fields, headers)
      expect([answer.status, answer.json.error]).toEqual([401, 'invalid_client'])
    }
  })

  test('without a list is the client that it says, and still bound to its own sessions', async () => {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession({ clientId: 'web' })
    expect((await kit.refresh(token, { client_id: 'other' })).json.error).toBe('invalid_grant')
    const secretive = await kit.refresh(token, { client_id: 'web', client_secret: 'x' })
    expect([secretive.status, secretive.json.error]).toEqual([401, 'invalid_client'])
    expect((await kit.refresh(token, { client_id: 'web' })).status).toBe(200)
  })
})

describe('a list of clients', () => {
  test('does not ask about a session that has none, or that is over', async () => {
    const kit = await createKit({ issuer: { clients } })
    const { refresh_token: token } = await kit.startSession()
    const refreshed = await kit.refresh(token)
    expect(refreshed.status).toBe(200)
    await kit.issuer.kickOut({ subject: 'u1' })
    const over = await kit.refresh(refreshed.json.refresh_token)
    expect([over.status, over.json.error]).toEqual([400, 'invalid_grant'])
  })
})
