import { expect, test } from '@jest/globals'
import { send } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit } from '../support/issuer-kit.ts'

closeKitsAfterEach()

test('a thief who refreshes first is thrown out when the owner comes back', async () => {
  const kit = await createKit()
  const owner = await kit.startSession()
  const phone = await kit.startSession()
  kit.clock.advance(300_000)
  const thief = (await kit.refresh(owner.refresh_token)).json
  expect((await kit.call(thief.access_token)).status).toBe(200)

  kit.clock.advance(60_000)
  const refused = await kit.refresh(owner.refresh_token)
  expect([refused.status, refused.json.error]).toEqual([400, 'invalid_grant'])
  expect((await kit.call(thief.access_token)).status).toBe(401)
  expect((await kit.refresh(thief.refresh_token)).json.error).toBe('invalid_grant')
  expect(kit.events.slice(-2)).toMatchObject([
    { type: 'refresh.reused', sessionId: owner.session_id },
    { type: 'session.ended', sessionId: owner.session_id, reason: 'reused' },
  ])
  expect((await kit.call(phone.access_token)).status).toBe(200)

  const trail = await send(`${kit.url}/admin/kick-outs`, { headers: await kit.admin() })
  expect(trail.json.kick_outs).toMatchObject([
    {
      level: 'session',
      target: owner.session_id,
      by: null,
      reason: expect.stringContaining('again'),
    },
  ])
})

test('a thief who comes second is refused, and takes the owner’s session along, not the account', async () => {
  const kit = await createKit()
  const stolen = await kit.startSession()
  const owner = (await kit.refresh(stolen.refresh_token)).json
  kit.clock.advance(10_001)
  expect((await kit.refresh(stolen.refresh_token)).status).toBe(400)
  expect((await kit.call(owner.access_token)).status).toBe(401)
  const again = await kit.startSession()
  expect((await kit.call(again.access_token)).status).toBe(200)
})
