import { expect, test } from '@jest/globals'
import { revocationsOfIssuer } from '../../src/issuer/revocations-of-issuer.ts'
import { createMemoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../support/fake-clock.ts'

const claims = { aud: 'x', exp: 4e9, iat: 1, sub: '42' }

test('a target that names no issuer means the one that asks; one that does means that one', async () => {
  const shared = createMemoryRevocations({}, { clock: new FakeClock() })
  const [a, b] = [revocationsOfIssuer(shared, 'a'), revocationsOfIssuer(shared, 'b')]
  await b.kickOut({ subject: '42' })
  expect(a.check({ ...claims, iss: 'a' })).toEqual({ revoked: false })
  expect(a.check({ ...claims, iss: 'b' })).toMatchObject({ revoked: true })
  await b.kickOut({ subject: '42', issuer: 'a' })
  expect(b.check({ ...claims, iss: 'a' })).toMatchObject({ revoked: true })
})

test.each([undefined, null, 'u1', [], [{ subject: 'u1' }], 42])(
  'leaves %j to the kernel, which refuses it',
  async (target) => {
    const shared = createMemoryRevocations({}, { clock: new FakeClock() })
    await expect(revocationsOfIssuer(shared, 'a').kickOut(target as never)).rejects.toThrow(
      TypeError,
    )
  },
)
