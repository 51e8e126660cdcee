import { expect, test } from '@jest/globals'
import { closeKitsAfterEach, createKit, typesOf } from '../support/issuer-kit.ts'

closeKitsAfterEach()

test('R2 two tabs that refresh at once both stay in, with the same refresh token', async () => {
  const kit = await createKit()
  let { refresh_token: token } = await kit.startSession()
  for (let round = 0; round < 5; round++) {
    kit.clock.advance(590_000)
    const [left, right] = await Promise.all([kit.refresh(token), kit.refresh(token)])
    expect([left.status, right.status]).toEqual([200, 200])
    expect(left.json.refresh_token).toBe(right.json.refresh_token)
    expect((await kit.call(left.json.access_token)).status).toBe(200)
    expect((await kit.call(right.json.access_token)).status).toBe(200)
    token = left.json.refresh_token
  }
  expect(typesOf(kit)).not.toContain('refresh.reused')
  expect(await kit.issuer.listSessions('u1')).toHaveLength(1)
})

test('a tab that is late by less than the grace stays in, one that is later ends the session', async () => {
  for (const [late, statuses] of [
    [10_000, [200, 200]],
    [10_001, [400, 400]],
  ] as const) {
    const kit = await createKit()
    const { refresh_token: token } = await kit.startSession()
    const left = await kit.refresh(token)
    kit.clock.advance(late)
    const right = await kit.refresh(token)
    const next = await kit.refresh(left.json.refresh_token)
    expect([right.status, next.status]).toEqual(statuses)
  }
})

test('where no grace is wanted, the second tab ends the session', async () => {
  const kit = await createKit({ issuer: { session: { reuseGraceMs: 0 } } })
  const { refresh_token: token } = await kit.startSession()
  const first = await kit.refresh(token)
  expect((await kit.refresh(token)).status).toBe(400)
  expect((await kit.refresh(first.json.refresh_token)).status).toBe(400)
})
