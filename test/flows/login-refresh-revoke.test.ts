import { describe, expect, test } from '@jest/globals'
import { expressVersions } from '../support/express-versions.ts'
import { closeKitsAfterEach, claimsOf, createKit, typesOf } from '../support/issuer-kit.ts'
import { postForm, postJson, send } from '../support/http-client.ts'

closeKitsAfterEach()

describe.each(expressVersions)('on %s', (_name, express) => {
  test('a user logs in, calls the API, refreshes, logs out, and is out', async () => {
    const kit = await createKit({ express })
    const login = await postJson(`${kit.url}/login`, {
      subject: 'u1',
      scope: 'reports:read',
      clientId: 'web',
      device: { name: 'Firefox' },
    })
    expect(login.status).toBe(200)
    expect(login.headers['cache-control']).toBe('no-store')
    expect(login.json).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 600,
      refresh_token: expect.stringMatching(/^[A-Za-z0-9_-]{1,200}$/),
      scope: 'reports:read',
      session_id: expect.any(String),
    })

    const me = await kit.call(login.json.access_token)
    expect(me.json).toMatchObject({
      subject: 'u1',
      sessionId: login.json.session_id,
      scopes: ['reports:read'],
      clientId: 'web',
    })

    kit.clock.advance(500_000)
    const refreshed = await kit.refresh(login.json.refresh_token, { client_id: 'web' })
    expect(refreshed.status).toBe(200)
    expect(refreshed.headers).toMatchObject({
      'cache-control': 'no-store',
      'content-type': 'application/json; charset=utf-8',
    })
    expect(Object.keys(refreshed.json as object).sort()).toEqual([
      'access_token',
      'expires_in',
      'refresh_token',
      'scope',
      'token_type',
    ])
    expect((await kit.call(refreshed.json.access_token)).status).toBe(200)
    expect((await kit.call(login.json.access_token)).status).toBe(200)

    const revoked = await kit.revoke(refreshed.json.refresh_token, { client_id: 'web' })
    expect([revoked.status, revoked.text]).toEqual([200, ''])
    expect((await kit.call(refreshed.json.access_token)).status).toBe(401)
    expect((await kit.call(login.json.access_token)).status).toBe(401)
    expect((await kit.refresh(refreshed.json.refresh_token)).json).toEqual({
      error: 'invalid_grant',
      error_description: 'The refresh token is not valid',
    })
    expect(typesOf(kit)).toEqual(['session.started', 'session.refreshed', 'session.ended'])
  })

  test('an access token that was revoked is refused at once, and its session goes on', async () => {
    const kit = await createKit({ express })
    const tokens = await kit.startSession()
    await kit.revoke(tokens.access_token)
    const refused = await kit.call(tokens.access_token)
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toContain('error="invalid_token"')
    expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
  })

  test('errors are the JSON of RFC 6749, whatever the application parses itself', async () => {
    for (const before of [
      [],
      [express.json()],
      [express.urlencoded({ extended: true })],
      [express.urlencoded({ extended: false }), express.json(), express.text({ type: '*/*' })],
    ]) {
      const kit = await createKit({ express, before })
      const { refresh_token: token } = await kit.startSession()
      const good = { grant_type: 'refresh_token', refresh_token: token }
      const url = `${kit.base}/token`
      const answers = [
        await postJson(url, good),
        await send(url, { method: 'POST' }),
        await postForm(url, `grant_type=refresh_token&refresh_token=${token}&refresh_token=x`),
        await postForm(url, `grant_type=refresh_token&refresh_token[]=${token}`),
        await postForm(url, `grant_type=refresh_token&refresh_token[a]=${token}`),
        await postForm(url, 'grant_type=refresh_token&grant_type=refresh_token'),
        await postForm(url, good, { 'content-type': 'multipart/form-data; boundary=x' }),
        await postForm(url, good, { 'content-type': 'text/plain' }),
      ]
      for (const answer of answers) {
        expect([answer.status, answer.json?.error]).toEqual([400, 'invalid_request'])
        expect(answer.json.error_description).toEqual(expect.any(String))
        expect(answer.headers['cache-control']).toBe('no-store')
      }
      expect((await postForm(url, good)).status).toBe(200)
      expect(typesOf(kit)).toEqual(['session.started', 'session.refreshed'])
    }
  })

  test('bodies that cannot be read are a JSON error of the client', async () => {
    const kit = await createKit({ express })
    const url = `${kit.base}/token`
    const fields = 'grant_type=refresh_token&refresh_token='
    const answers = [
      await postForm(url, fields + 'x'.repeat(20_000)),
      await postForm(url, fields + '&a=b'.repeat(60)),
      await postForm(url, fields, { 'content-encoding': 'gzip' }),
      await postForm(url, fields, { 'content-encoding': 'unknown' }),
      await postForm(url, fields, {
        'content-type': 'application/x-www-form-urlencoded; charset=utf-16',
      }),
    ]
    for (const answer of answers) {
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(answer.status).toBeLessThan(500)
      expect(answer.json.error).toBe('invalid_request')
    }
  })

  test('keys and metadata are there, cacheable, and hold nothing private', async () => {
    const kit = await createKit({ express })
    const keys = await send(`${kit.base}/.well-known/jwks.json`)
    expect(keys.status).toBe(200)
    expect(keys.headers['cache-control']).toBe('public, max-age=300')
    expect(Object.keys(keys.json.keys[0] as object).sort()).toEqual(
      ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'].sort(),
    )
    const metadata = await send(`${kit.base}/.well-known/oauth-authorization-server`)
    expect(metadata.headers['cache-control']).toBe('public, max-age=300')
    expect(metadata.json).toMatchObject({
      issuer: kit.base,
      token_endpoint: `${kit.base}/token`,
      revocation_endpoint: `${kit.base}/revoke`,
      jwks_uri: `${kit.base}/.well-known/jwks.json`,
      grant_types_supported: ['refresh_token'],
    })
    const posted = await send(`${kit.base}/.well-known/jwks.json`, { method: 'POST' })
    expect([posted.status, posted.headers.allow]).toEqual([405, 'GET, HEAD'])
    expect((await send(`${kit.base}/.well-known/jwks.json`, { method: 'HEAD' })).status).toBe(200)
  })

  test('what is not the issuer’s is left to the application', async () => {
    const kit = await createKit({ express })
    expect((await send(`${kit.url}/nowhere`)).status).toBe(404)
    expect((await send(`${kit.url}/.well-known/openid-configuration`)).status).toBe(404)
  })
})

test('a session without a scope gets tokens without one', async () => {
  const kit = await createKit()
  const { refresh_token: token } = await kit.startSession()
  const answer = await kit.refresh(token)
  expect(answer.json).not.toHaveProperty('scope')
  expect(claimsOf(answer)).not.toHaveProperty('scope')
  expect((await kit.call(answer.json.access_token)).status).toBe(200)
})

test('a closed issuer answers 503, and a login rejects', async () => {
  const kit = await createKit()
  const tokens = await kit.startSession()
  await kit.issuer.close()
  for (const answer of [
    await kit.refresh(tokens.refresh_token),
    await kit.revoke(tokens.refresh_token),
    await kit.revoke(tokens.access_token),
  ]) {
    expect([answer.status, answer.json.error]).toEqual([503, 'temporarily_unavailable'])
    expect(answer.headers['retry-after']).toBe('1')
  }
  await expect(kit.startSession()).rejects.toMatchObject({ code: 'temporarily_unavailable' })
})
