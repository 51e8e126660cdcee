import { expect, test } from '@jest/globals'
import { SessionEnds } from '../../example-app/session-ends.ts'

const ended = (sessionId: string, reason: 'kicked_out' | 'logout') =>
  ({ type: 'session.ended', at: Date.now(), sessionId, reason }) as const

test('a client that asks before the event comes is told when it comes', async () => {
  const ends = new SessionEnds()
  const [early, other] = [ends.reasonOf('s1'), ends.reasonOf('s2')]
  ends.onEvent(ended('s1', 'kicked_out'))
  expect(await early).toBe('kicked_out')
  ends.note('s2', 'provider')
  expect(await other).toBe('provider')
})

test('the first reason counts', async () => {
  const ends = new SessionEnds()
  ends.onEvent(ended('s1', 'kicked_out'))
  ends.onEvent(ended('s1', 'logout'))
  expect(await ends.reasonOf('s1')).toBe('kicked_out')
})

test('events that name no session, or end none, are left out', async () => {
  const ends = new SessionEnds()
  const at = Date.now()
  ends.onEvent({ type: 'session.ended', at, level: 'everyone', reason: 'kicked_out' })
  ends.onEvent({ type: 'session.refreshed', at, sessionId: 's1', subject: 'ada' })
  const pending = ends.reasonOf('s1')
  ends.onEvent(ended('s1', 'logout'))
  expect(await pending).toBe('logout')
})

test('ten thousand are kept, and the oldest go first', async () => {
  const ends = new SessionEnds()
  for (let number = 0; number <= 10_000; number++) ends.onEvent(ended(`s${number}`, 'logout'))
  const oldest = ends.reasonOf('s0')
  expect(await ends.reasonOf('s1')).toBe('logout')
  expect(await ends.reasonOf('s10000')).toBe('logout')
  ends.note('s0', 'again')
  expect(await oldest).toBe('again')
})
