import { get } from 'node:http'
import { expect, test } from '@jest/globals'
import { bearer, postJson } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit, type Kit, typesOf } from '../support/issuer-kit.ts'
import { waitUntil } from '../support/wait.ts'

closeKitsAfterEach()

/** Opens the stream and collects what it says. */
async function openStream(kit: Kit, token: string): Promise<{ said: string; closed: boolean }> {
  const stream = { said: '', closed: false }
  await new Promise<void>((resolve, reject) => {
    get(`${kit.url}/stream`, { headers: bearer(token), agent: false }, (res) => {
      res.on('data', (chunk: Buffer) => {
        stream.said += chunk.toString()
        resolve()
      })
      res.on('close', () => (stream.closed = true))
    }).on('error', reject)
  })
  return stream
}

test('an admin kicks a user out of every session, every server and every open stream', async () => {
  const kit = await createKit()
  const [laptop, phone] = [await kit.startSession(), await kit.startSession()]
  const other = await kit.startSession({ subject: 'u2' })
  const [stream, otherStream] = [
    await openStream(kit, laptop.access_token),
    await openStream(kit, other.access_token),
  ]
  const answer = await postJson(`${kit.url}/admin/kick-outs`, { subject: 'u1' }, await kit.admin())
  expect(answer).toMatchObject({ status: 200, json: { sessions_ended: 2 } })

  for (const tokens of [laptop, phone]) {
    expect((await kit.call(tokens.access_token)).status).toBe(401)
    expect((await kit.refresh(tokens.refresh_token)).json.error).toBe('invalid_grant')
  }
  await waitUntil(() => stream.closed, { what: 'the stream to be cut' })
  expect(stream.said).toBe('data: open\n\ndata: closed\n\n')
  expect(otherStream.closed).toBe(false)
  expect((await kit.call(other.access_token)).status).toBe(200)
  expect(typesOf(kit).filter((type) => type === 'session.ended')).toHaveLength(2)
  expect(kit.events.at(-1)).toMatchObject({ type: 'kickout.published', level: 'subject' })

  const again = await kit.startSession()
  expect((await kit.call(again.access_token)).status).toBe(200)
})

test('ending one session leaves the others in', async () => {
  const kit = await createKit()
  const [laptop, phone] = [await kit.startSession(), await kit.startSession()]
  const stream = await openStream(kit, laptop.access_token)
  expect(await kit.issuer.endSession(laptop.session_id)).toBe(true)
  expect(await kit.issuer.endSession(laptop.session_id)).toBe(false)
  expect(await kit.issuer.endSession('unknown')).toBe(false)
  await waitUntil(() => stream.closed, { what: 'the stream to be cut' })
  expect((await kit.call(laptop.access_token)).status).toBe(401)
  expect((await kit.call(phone.access_token)).status).toBe(200)
  expect((await kit.issuer.listSessions('u1')).map(({ sessionId }) => sessionId)).toEqual([
    phone.session_id,
  ])
})

test('a leaked client is out, with every session that it has', async () => {
  const kit = await createKit()
  const leaked = await kit.startSession({ clientId: 'leaked' })
  const web = await kit.startSession({ clientId: 'web' })
  const result = await kit.issuer.kickOut({ client: 'leaked' }, { reason: 'secret on GitHub' })
  expect(result).toMatchObject({ sessionsEnded: 1, servers: 1, confirmed: 1 })
  expect((await kit.call(leaked.access_token)).status).toBe(401)
  expect((await kit.refresh(leaked.refresh_token)).status).toBe(400)
  expect((await kit.call(web.access_token)).status).toBe(200)
  kit.clock.advance(1_000)
  const later = await kit.startSession({ clientId: 'leaked' })
  expect((await kit.call(later.access_token)).status).toBe(200)
})

test('after an incident everyone is out, and a user who logs in from the next second on is in', async () => {
  const kit = await createKit()
  const before = await kit.startSession()
  await kit.issuer.kickOut({ everyone: true })
  expect((await kit.call(before.access_token)).status).toBe(401)
  expect((await kit.refresh(before.refresh_token)).status).toBe(400)
  kit.clock.advance(1)
  const sameSecond = await kit.startSession()
  expect((await kit.call(sameSecond.access_token)).status).toBe(401)
  kit.clock.advance(1_000)
  const renewed = await kit.refresh(sameSecond.refresh_token)
  expect((await kit.call(renewed.json.access_token)).status).toBe(200)
})

test('a stream is not cut by a refresh', async () => {
  const kit = await createKit()
  const tokens = await kit.startSession()
  const stream = await openStream(kit, tokens.access_token)
  expect((await kit.refresh(tokens.refresh_token)).status).toBe(200)
  expect((await kit.call(tokens.access_token)).status).toBe(200)
  expect(stream.closed).toBe(false)
})

test('wrong targets are a TypeError and change nothing', async () => {
  const kit = await createKit()
  const tokens = await kit.startSession()
  for (const target of [
    {},
    { subject: '' },
    { everyone: false },
    null,
    { subject: 'a', client: 'b' },
  ]) {
    await expect(kit.issuer.kickOut(target as never)).rejects.toThrow(TypeError)
  }
  await expect(kit.issuer.endSession('')).rejects.toThrow(TypeError)
  expect((await kit.call(tokens.access_token)).status).toBe(200)
})
