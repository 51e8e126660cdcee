import { describe, expect, test } from '@jest/globals'
import { GrantError } from '../../src/issuer/index.ts'
import { closeKitsAfterEach, createKit } from '../support/issuer-kit.ts'

closeKitsAfterEach()

describe('claims that throw a GrantError', () => {
  const banned = new Set<string>()
  const claims = ({ subject }: { subject: string }) => {
    if (banned.has(subject)) throw new GrantError('invalid_grant', 'banned', 'The user is banned')
    return {}
  }

  test('are the answer, and invalid_grant ends the session for good', async () => {
    const kit = await createKit({ issuer: { claims } })
    const tokens = await kit.startSession({ subject: 'banned' })
    banned.add('banned')
    const answer = await kit.refresh(tokens.refresh_token)
    expect([answer.status, answer.json]).toEqual([
      400,
      { error: 'invalid_grant', error_description: 'The user is banned' },
    ])
    expect(kit.events.at(-1)).toMatchObject({ type: 'session.ended', reason: 'app' })
    expect((await kit.call(tokens.access_token)).status).toBe(401)
    banned.clear()
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(400)
  })

  test('any other code is the answer, and the session goes on with the same token', async () => {
    let refuses = true
    const kit = await createKit({
      issuer: {
        claims: () => {
          if (refuses) throw new GrantError('access_denied', 'hours', 'Come back at nine')
          return {}
        },
      },
    })
    refuses = false
    const tokens = await kit.startSession()
    refuses = true
    expect((await kit.refresh(tokens.refresh_token)).json.error).toBe('access_denied')
    refuses = false
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
  })

  test('hide no theft: a superseded token ends the session although claims fail', async () => {
    let fails = false
    const kit = await createKit({
      issuer: {
        claims: () => {
          if (fails) throw new Error('the database is down')
          return {}
        },
      },
    })
    const tokens = await kit.startSession()
    await kit.refresh(tokens.refresh_token)
    kit.clock.advance(10_001)
    fails = true
    const answer = await kit.refresh(tokens.refresh_token)
    expect([answer.status, answer.json.error]).toEqual([400, 'invalid_grant'])
    expect(kit.events.map(({ type }) => type)).toContain('refresh.reused')
  })
})

test('a session is not started for a client that clients does not list: its refreshes would all fail', async () => {
  const kit = await createKit({ issuer: { clients: [{ clientId: 'web' }] } })
  await expect(kit.startSession({ clientId: 'unlisted' })).rejects.toThrow(
    /^startSession: option "clientId" "unlisted" is not in the "clients" of createIssuer/,
  )
  const { refresh_token: token } = await kit.issuer.startSession({ subject: 'u1' })
  expect((await kit.refresh(token)).status).toBe(200)
})

test('endSession with a subject ends a session of that user alone', async () => {
  const kit = await createKit()
  const theirs = await kit.startSession({ subject: 'u2' })
  expect(await kit.issuer.endSession(theirs.session_id, { subject: 'u1' })).toBe(false)
  expect((await kit.refresh(theirs.refresh_token)).status).toBe(200)
  expect(await kit.issuer.endSession(theirs.session_id, { subject: 'u2' })).toBe(true)
  expect((await kit.refresh(theirs.refresh_token)).status).toBe(400)
})

test('a Bearer header on /token and /revoke is no client authentication and is ignored', async () => {
  const kit = await createKit()
  const tokens = await kit.startSession()
  const headers = { authorization: `Bearer ${tokens.access_token}` }
  const answer = await kit.refresh(tokens.refresh_token, {}, headers)
  expect(answer.status).toBe(200)
  expect((await kit.revoke(answer.json.refresh_token, {}, headers)).status).toBe(200)
})

test('no access token outlives the absolute end of its session', async () => {
  const kit = await createKit({
    issuer: { accessTokenTtlSeconds: 3600, session: { absoluteTtlSeconds: 3600 } },
  })
  const tokens = await kit.startSession()
  kit.clock.advance(3_000_000)
  const { json } = await kit.refresh(tokens.refresh_token)
  expect(json.expires_in).toBeLessThanOrEqual(600)
})

test.each(['tauri://localhost', 'capacitor://localhost', 'chrome-extension://abcdefghijklmnop'])(
  'the origin %s of a web view or extension may be allowed',
  async (origin) => {
    const kit = await createKit({ issuer: { allowedOrigins: [origin] } })
    const { refresh_token: token } = await kit.startSession()
    const answer = await kit.refresh(token, {}, { origin })
    expect(answer.headers['access-control-allow-origin']).toBe(origin)
  },
)
