import { describe, expect, test } from '@jest/globals'
import { UnavailableError } from '../../src/errors.ts'
import {
  createMemoryRevocations,
  memoryRevocations,
} from '../../src/revocation/memory-revocations.ts'
import type { Revocation } from '../../src/revocation/revocation.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { factsOf, makeGuarded } from '../support/guarded.ts'
import { issuer } from '../support/make-token.ts'

const claims = { iss: issuer, aud: 'x', exp: 1, iat: 0, sub: 'u', sid: 's', jti: 'j' }
function setup(options: object = {}) {
  const clock = new FakeClock()
  return { clock, revocations: createMemoryRevocations({ issuer, ...options }, { clock }) }
}

describe('memoryRevocations', () => {
  test('keeps 25 hours unless told otherwise, to the millisecond', async () => {
    for (const retentionSeconds of [90_000, 60]) {
      const { clock, revocations } = setup(retentionSeconds === 90_000 ? {} : { retentionSeconds })
      expect(revocations.retentionSeconds).toBe(retentionSeconds)
      await revocations.kickOut({ subject: 'u' })
      clock.advance(retentionSeconds * 1000 - 1)
      expect(revocations.check(claims)).toMatchObject({ revoked: true, level: 'subject' })
      clock.advance(1)
      expect(revocations.check(claims)).toEqual({ revoked: false })
      expect(revocations.status()).toEqual({ state: 'live', stalenessMs: 0, entries: 0 })
    }
  })
  test('keeps one token past its exp for twice the largest tolerance', async () => {
    const { clock, revocations } = setup()
    await revocations.kickOut({ token: { jti: 'j', exp: clock.seconds + 100 } })
    clock.advance(100_000 + 1_200_000 - 1)
    expect(revocations.check(claims)).toMatchObject({ revoked: true })
    clock.advance(1)
    expect(revocations.check(claims)).toEqual({ revoked: false })
  })
  test('answers a kick-out with its result, in force when it resolves, known or unknown', async () => {
    const { clock, revocations } = setup()
    const result = await revocations.kickOut({ subject: 'nobody ever saw' })
    expect(result).toEqual({
      id: expect.stringMatching(/^[\w-]{16}$/),
      at: clock.now(),
      servers: 1,
      confirmed: 1,
      unconfirmed: [],
      elapsedMs: 0,
      sessionsEnded: 0,
    })
    expect(revocations.status().entries).toBe(1)
  })
  test('raises the version of a user strictly, within one millisecond too', async () => {
    const { clock, revocations } = setup()
    const seen: Revocation[] = []
    revocations.onKickOut((revocation) => seen.push(revocation))
    await revocations.kickOut({ subject: 'u' })
    await revocations.kickOut({ subject: 'u' })
    expect(seen.map(({ version }) => version)).toEqual([clock.now() + 1, clock.now() + 2])
  })
  test('tells listeners once each, and lets none of them hurt another', async () => {
    const { revocations } = setup()
    const seen: string[] = []
    revocations.onKickOut(() => {
      throw new Error('mine')
    })
    const stop = revocations.onKickOut(({ id }) => seen.push(id))
    await revocations.kickOut({ session: 'a' }, { reason: 'r', by: 'admin' })
    stop()
    await revocations.kickOut({ session: 'b' })
    expect(seen).toEqual(['a'])
  })
  test('lists the newest first', async () => {
    const { clock, revocations } = setup()
    for (const id of ['a', 'b', 'c']) {
      await revocations.kickOut({ session: id }, { reason: 'r', by: 'admin' })
      clock.advance(1000)
    }
    const listed = (await revocations.listKickOuts({ limit: 2 })).kickOuts
    expect(listed.map(({ target }) => target)).toEqual(['c', 'b'])
    expect(listed[0]).toMatchObject({ level: 'session', issuer, reason: 'r', by: 'admin' })
  })
  test('is unavailable once closed, and wants proper options and targets', async () => {
    const { revocations } = setup()
    await expect(revocations.kickOut({ session: '' })).rejects.toThrow(TypeError)
    await expect(memoryRevocations().kickOut({ session: 's' })).rejects.toThrow(
      '"issuer" is needed',
    )
    await revocations.close()
    expect(() => revocations.check(claims)).toThrow(UnavailableError)
    await expect(revocations.kickOut({ session: 's' })).rejects.toThrow(UnavailableError)
    await expect(revocations.ready()).rejects.toThrow(UnavailableError)
    for (const options of [
      { retentionSeconds: 0 },
      { retentionSeconds: '1' },
      { issuer: '' },
      { retention: 1 },
    ]) {
      expect(() => memoryRevocations(options as object)).toThrow(TypeError)
    }
  })
  test('the guard refuses a token that could outlive its kick-out, and says what to raise', async () => {
    const { clock, revocations } = setup({ retentionSeconds: 100 })
    const guarded = makeGuarded({ revocations }, { clock })
    const ask = async (lifetime: number, age = 0) => {
      const iat = clock.seconds - age
      return (await guarded.ask(guarded.token({ iat, exp: iat + lifetime }))).error
    }
    expect(await ask(90)).toBeUndefined()
    const error = await ask(91)
    expect(factsOf(error)).toMatchObject({ status: 401, reason: 'claims' })
    expect((error as Error).message).toContain('"retentionSeconds"')
    // A kick-out right after the issue would be forgotten before the token ends.
    expect(factsOf(await ask(150, 100))).toMatchObject({ reason: 'claims' })
  })
})
