import { expect, test } from '@jest/globals'
import { AuthError } from '../../../src/errors.ts'
import { VerifiedCache } from '../../../src/guard/token/verified-cache.ts'
import type { VerifiedToken, Verifier } from '../../../src/guard/token/verifier.ts'

/** Stands where a verifier stands: accepts what begins with `good`, when it is told to go on. */
function setup(max: number) {
  const state = { verifications: 0, held: Promise.resolve() }
  const verifier = {
    async verify(token: string) {
      state.verifications++
      await state.held
      if (!token.startsWith('good')) throw new AuthError('invalid_token', 'signature', 'no')
      return { token } as VerifiedToken
    },
  } as unknown as Verifier
  return { state, cache: new VerifiedCache(verifier, max) }
}

test('remembers what was verified, by the whole token', async () => {
  const { cache } = setup(10)
  const verified = await cache.verify('good-1')
  expect(cache.get('good-1')).toBe(verified)
  for (const other of ['good-', 'good-11', 'ood-1', 'GOOD-1'])
    expect(cache.get(other)).toBeUndefined()
  cache.forget('good-1')
  expect(cache.get('good-1')).toBeUndefined()
  const long = `good-${'x'.repeat(900)}`
  await cache.verify(long)
  expect(cache.get(long)?.token).toBe(long)
  cache.forget(long)
  expect(cache.get(long)).toBeUndefined()
})
test('never remembers what was refused', async () => {
  const { cache, state } = setup(10)
  for (let time = 1; time <= 3; time++) {
    await expect(cache.verify('bad')).rejects.toMatchObject({ reason: 'signature' })
    expect(cache.get('bad')).toBeUndefined()
    expect(state.verifications).toBe(time)
  }
})
test('keeps as many as it may, the last used ones', async () => {
  const { cache } = setup(2)
  await cache.verify('good-1')
  await cache.verify('good-2')
  cache.get('good-1')
  await cache.verify('good-3')
  expect([1, 2, 3].map((index) => cache.get(`good-${index}`) !== undefined)).toEqual([
    true,
    false,
    true,
  ])
})
test('remembers nothing with a size of 0, and still shares what runs at the same time', async () => {
  const { cache, state } = setup(0)
  await Promise.all([cache.verify('good'), cache.verify('good')])
  expect([state.verifications, cache.get('good')]).toEqual([1, undefined])
  cache.forget('good')
  await cache.verify('good')
  expect(state.verifications).toBe(2)
})
test('shares a verification, and its failure as an error of each one’s own', async () => {
  const { cache, state } = setup(10)
  const results = await Promise.allSettled(
    Array.from({ length: 50 }, async () => cache.verify('bad')),
  )
  expect(state.verifications).toBe(1)
  const errors = results.map((result) =>
    result.status === 'rejected' ? (result.reason as unknown) : undefined,
  )
  expect(new Set(errors).size).toBe(50)
  for (const error of errors)
    expect(error).toMatchObject({ code: 'invalid_token', reason: 'signature', message: 'no' })
})
test('takes two tokens with the same ending for two, remembered or not', async () => {
  const { cache, state } = setup(10)
  const ending = 'x'.repeat(100)
  const [first, second] = [`good-1${ending}`, `good-2${ending}`]
  const running = [cache.verify(first), cache.verify(second)]
  expect((await Promise.all(running)).map(({ token }) => token)).toEqual([first, second])
  expect(state.verifications).toBe(2)
  await cache.verify(first)
  expect(cache.get(second)).toBeUndefined()
  expect(cache.get(first)?.token).toBe(first)
})
