import { inspect } from 'node:util'
import { expect, test } from '@jest/globals'
import { UnavailableError } from '../../src/errors.ts'
import { authenticate, type AuthenticateDeps } from '../../src/guard/authenticate.ts'
import { VerifiedCache } from '../../src/guard/token/verified-cache.ts'
import type { VerifiedToken, Verifier } from '../../src/guard/token/verifier.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import type { Revocations } from '../../src/revocation/revocations.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { claimsAt, issuer } from '../support/make-token.ts'

function setup() {
  const clock = new FakeClock()
  const state = { verifications: 0, usable: true }
  const verified = {
    token: 'a.b.c',
    claims: claimsAt(clock.seconds),
    aliases: [],
    key: { retired: false },
    keySet: { isUsable: () => state.usable },
    validUntilMs: clock.now() + 1000,
  } as unknown as VerifiedToken
  const verifier = {
    verify: async () => {
      state.verifications++
      return Promise.resolve(verified)
    },
  } as unknown as Verifier
  const revocations = memoryRevocations({ issuer })
  const deps: AuthenticateDeps = { cache: new VerifiedCache(verifier, 10), revocations, clock }
  return { clock, state, verified, revocations, deps }
}

test('is synchronous for a token that is known, and only then', async () => {
  const { deps, verified, state } = setup()
  const first = authenticate('a.b.c', deps)
  expect(first).toBeInstanceOf(Promise)
  expect(await first).toBe(verified)
  expect(authenticate('a.b.c', deps)).toBe(verified)
  expect(state.verifications).toBe(1)
})
test('looks at expiry, key and kick-out at every use', async () => {
  for (const [change, reason] of [
    ['expired', 'expired'],
    ['revoked', 'revoked'],
  ] as const) {
    const { deps, clock, revocations } = setup()
    await authenticate('a.b.c', deps)
    clock.advance(change === 'expired' ? 999 : 0)
    expect(authenticate('a.b.c', deps)).not.toBeInstanceOf(Promise)
    if (change === 'expired') clock.advance(1)
    else await revocations.kickOut({ session: 'sid-1' })
    expect(() => authenticate('a.b.c', deps)).toThrow(expect.objectContaining({ reason }))
  }
})
test('verifies again when the key is retired or no key is usable', async () => {
  const { deps, verified, state } = setup()
  await authenticate('a.b.c', deps)
  verified.key.retired = true
  await authenticate('a.b.c', deps)
  expect(state.verifications).toBe(2)
  verified.key.retired = false
  expect(authenticate('a.b.c', deps)).toBe(verified)
  state.usable = false
  await authenticate('a.b.c', deps)
  expect(state.verifications).toBe(3)
})
test('checks the kick-out after the verification, so that none slips in between', async () => {
  const { deps, revocations } = setup()
  const running = authenticate('a.b.c', deps)
  await revocations.kickOut({ everyone: true })
  await revocations.kickOut({ session: 'sid-1' })
  await expect(running).rejects.toMatchObject({ reason: 'revoked' })
})
test('never asks the verifier for what is no b64token', () => {
  const { deps, state } = setup()
  expect(() => authenticate('a b', deps)).toThrow(expect.objectContaining({ status: 400 }))
  expect(state.verifications).toBe(0)
})

/** Authenticates a known token with a check of any make, and one that is awaited. */
async function outcomesOf(check: () => unknown) {
  const { deps, verified } = setup()
  await authenticate('a.b.c', deps)
  const outcomes: unknown[] = []
  for (const given of [check, async () => check(), () => thenableOf(check)]) {
    const revocations = { check: given } as unknown as Revocations
    try {
      const passed = await authenticate('a.b.c', { ...deps, revocations })
      outcomes.push(passed === verified ? 'accepted' : passed)
    } catch (error) {
      outcomes.push(error)
    }
  }
  return outcomes
}

/** A promise of another make. */
function thenableOf(check: () => unknown) {
  return {
    then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
      try {
        resolve(check())
      } catch (error) {
        reject(error)
      }
    },
  }
}

test('lets a token in upon an explicit false only, awaited or not', async () => {
  expect(await outcomesOf(() => ({ revoked: false }))).toEqual(['accepted', 'accepted', 'accepted'])
  for (const verdict of [undefined, null, {}, { revoked: undefined }, { revoked: 0 }, 'false', 7]) {
    for (const outcome of await outcomesOf(() => verdict)) {
      expect(outcome).toBeInstanceOf(UnavailableError)
      expect(outcome).toMatchObject({ status: 503, reason: 'revocations' })
      expect((outcome as Error).message).toBe('The revocation check gave no verdict')
    }
  }
})
test('says at which level a token was kicked out, and its private reason nowhere', async () => {
  const verdict = { revoked: true, level: 'client', at: 7, reason: 'a private reason' }
  for (const outcome of await outcomesOf(() => verdict)) {
    expect(outcome).toMatchObject({ status: 401, reason: 'revoked' })
    expect(inspect(outcome, { depth: 20, showHidden: true })).not.toContain('private')
    expect((outcome as Error).message).toBe('Kicked out at level "client"')
  }
})
test('takes a check that failed for our failure, whatever it threw, awaited or not', async () => {
  const thrown = new Error('foreign')
  const outcomes = await outcomesOf(() => {
    throw thrown
  })
  for (const outcome of outcomes) {
    expect(outcome).toBeInstanceOf(UnavailableError)
    expect(outcome).toMatchObject({ status: 503, reason: 'revocations', cause: thrown })
  }
  const unavailable = new UnavailableError('revocations', 'stale')
  const handedOn = await outcomesOf(() => {
    throw unavailable
  })
  for (const outcome of handedOn) expect(outcome).toBe(unavailable)
})
test('lets in every verified token where kick-outs are not checked', async () => {
  const { deps, verified } = setup()
  const without = { ...deps, revocations: undefined }
  expect(await authenticate('a.b.c', without)).toBe(verified)
  expect(authenticate('a.b.c', without)).toBe(verified)
})
