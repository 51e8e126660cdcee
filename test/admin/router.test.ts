import { describe, expect, test } from '@jest/globals'
import { adminRouter } from '../../src/admin/index.ts'
import { memoryRevocations } from '../../src/index.ts'
import { postJson, send } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit } from '../support/issuer-kit.ts'

closeKitsAfterEach()

const revocations = memoryRevocations({ issuer: 'https://a.example' })

describe('adminRouter', () => {
  test.each([
    [undefined, /the options must be an object/],
    [{}, /exactly one of/],
    [{ revocations, issuer: {} }, /exactly one of/],
    [{ issuer: {} }, /"issuer" must come from createIssuer/],
    [{ revocations: {} }, /"revocations" must come from/],
    [{ revocation: revocations }, /unknown option "revocation", did you mean/],
    [{ revocations, scope: '' }, /"scope"/],
    [{ revocations, scope: ' ' }, /scope/],
    [{ revocations, scopes: 'a' }, /unknown option "scopes", did you mean "scope"/],
    [{ revocations, scope: ['a'] }, /"scope"/],
    [{ revocations, administers: 'all' }, /"administers" must be a list of issuers, or 'any'/],
    [{ revocations, administers: [] }, /"administers"/],
    [{ revocations, administers: [''] }, /"administers"/],
  ])('refuses %j', (options, message) => {
    const create = () => adminRouter(options as never)
    expect(create).toThrow(TypeError)
    expect(create).toThrow(message)
  })

  test('answers what it does not know with 404, and never caches', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    expect((await send(`${kit.url}/admin/unknown`, { headers })).status).toBe(404)
    expect((await send(`${kit.url}/admin/kick-outs`, { method: 'DELETE', headers })).status).toBe(
      404,
    )
    for (const path of ['kick-outs', 'servers', 'sessions?subject=u1']) {
      const answer = await send(`${kit.url}/admin/${path}`, { headers })
      expect([answer.status, answer.headers['cache-control']]).toEqual([200, 'no-store'])
    }
  })

  test('lists a session that says nothing of itself as first-party, without scope and device', async () => {
    const kit = await createKit()
    await kit.startSession()
    const headers = await kit.admin()
    const { json } = await send(`${kit.url}/admin/sessions?subject=u1`, { headers })
    expect(json.sessions[0]).toMatchObject({ client_id: 'first-party', scope: '', device: null })
  })

  test('cuts a long reason', async () => {
    const kit = await createKit()
    const headers = await kit.admin()
    const body = { subject: 'u1', reason: 'x'.repeat(5_000) }
    expect((await postJson(`${kit.url}/admin/kick-outs`, body, headers)).status).toBe(200)
    const { json } = await send(`${kit.url}/admin/kick-outs`, { headers })
    expect(json.kick_outs[0].reason).toBe('x'.repeat(255))
  })
})
