import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { systemClock } from '../../src/clock.ts'
import { isRevoked, type RevocationFacts } from '../../src/revocation/revocation.ts'
import { factsOf, makeGuarded } from '../support/guarded.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { issuer } from '../support/make-token.ts'

const strange = ['}x', '{', ':', '*', '?', '[a]', 'a:b', 'a', '\r\n', '\u0000', '__proto__', 'constructor', '1', '01', '1e3', '1000', 'caf\u00e9', 'cafe\u0301', 'User', 'user'] // prettier-ignore

describe('identities in memory (1.9)', () => {
  test('I01 I03 I08 a kick-out reaches exactly the id it names, however strange', async () => {
    for (const victim of strange) {
      const revocations = memoryRevocations({ issuer })
      const guarded = makeGuarded({ revocations }, { clock: new FakeClock(Date.now()) })
      await revocations.kickOut({ session: victim })
      for (const sid of strange) {
        const { error } = await guarded.ask(guarded.token({ sid }))
        expect([sid, factsOf(error).reason]).toEqual([sid, sid === victim ? 'revoked' : undefined])
      }
    }
  })

  test('I02 A08 the same id of another issuer, level or split names another target', async () => {
    const revocations = memoryRevocations()
    const claims = {
      aud: 'x',
      exp: 0,
      iat: 0,
      iss: 'a:b',
      sub: 'c',
      sid: 's',
      jti: 'j',
      client_id: 'w',
    }
    await revocations.kickOut({ issuer: 'a', subject: 'b:c' })
    await revocations.kickOut({ issuer: 'a:b', subject: 's' })
    await revocations.kickOut({ issuer: 'a:b', session: 'c' })
    await revocations.kickOut({ issuer: 'a:b', client: 'j' })
    await revocations.kickOut({ issuer: 'a:b', token: { jti: 'w' } })
    expect(revocations.check(claims)).toEqual({ revoked: false })
    await revocations.kickOut({ issuer: 'a:b', subject: 'c' })
    expect(revocations.check(claims)).toMatchObject({ revoked: true, level: 'subject' })
  })

  test('A09 I08 ids match exactly, in any alphabet', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (one, two) => {
        const facts: RevocationFacts = {
          of: () => ({
            get: (level, id) => (level === 'session' && id === one ? { at: 0 } : undefined),
          }),
        }
        const claims = { iss: issuer, aud: '', exp: 0, sid: two }
        expect(isRevoked(claims, facts, systemClock).revoked).toBe(one === two)
      }),
    )
  })
})
