import { expect, test } from '@jest/globals'
import { authenticate, type AuthenticateDeps } from '../../src/guard/authenticate.ts'
import { VerifiedCache } from '../../src/guard/verified-cache.ts'
import type { VerifiedToken, Verifier } from '../../src/guard/verifier.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { claimsAt, issuer } from '../support/make-token.ts'

function setup() {
  const clock = new FakeClock()
  const state = { verifications: 0, usable: true }
  const verified = {
    token: 'a.b.c',
    claims: claimsAt(clock.seconds),
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
