import { describe, expect, test } from '@jest/globals'
import { requireScope } from '../../src/index.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { bearer, factsOf, type Guarded, makeGuarded, run } from '../support/guarded.ts'
import { claimsAt, issuer, makeSigner } from '../support/make-token.ts'

const reasonOf = async (guarded: Guarded, token: string) => {
  const { error } = await guarded.ask(token)
  return error === undefined ? 'accepted' : factsOf(error).reason
}

describe('the cache of verified tokens (1.3)', () => {
  test('C01 of one guard says nothing to another with another audience, issuer or scope rule', async () => {
    const signer = makeSigner('ES256')
    const clock = new FakeClock()
    const first = makeGuarded({}, { signer, clock })
    const token = first.token()
    expect(await reasonOf(first, token)).toBe('accepted')
    const otherAudience = makeGuarded({ audience: 'https://b.test' }, { signer, clock })
    const otherIssuer = makeGuarded({ issuer: 'https://b.test' }, { signer, clock })
    const strict = makeGuarded({ strict: true, maxTokenAgeSeconds: 1 }, { signer, clock })
    clock.advance(7000)
    expect(await reasonOf(otherAudience, token)).toBe('audience')
    expect(await reasonOf(otherIssuer, token)).toBe('issuer')
    expect(await reasonOf(strict, token)).toBe('expired')
    const { error } = await run([first.guard, requireScope('reports:write')], bearer(token))
    expect(factsOf(error)).toMatchObject({ status: 403, reason: 'scope' })
  })

  test('C02 takes the whole token for its key: same payload, jti or ending is another token', async () => {
    const guarded = makeGuarded()
    const claims = claimsAt(guarded.clock.seconds, { jti: 'one' })
    const token = guarded.signer.sign(claims)
    expect(await reasonOf(guarded, token)).toBe('accepted')
    const [header = '', payload = '', signature = ''] = token.split('.')
    const admin = Buffer.from(JSON.stringify({ ...claims, scope: 'admin' })).toString('base64url')
    expect(await reasonOf(guarded, `${header}.${admin}.${signature}`)).toBe('signature')
    const forged = makeSigner('ES256', guarded.signer.kid).sign(claims)
    expect(forged.split('.')[1]).toBe(payload)
    expect(await reasonOf(guarded, forged)).toBe('signature')
    for (const part of [header, payload, signature, token.slice(0, -1), token.slice(1)]) {
      expect(await reasonOf(guarded, part)).toBe('malformed')
    }
  })

  test.each([0, 5, 60])(
    'C03 lets go at exp plus a tolerance of %d s, to the millisecond, however often it was used',
    async (clockToleranceSeconds) => {
      const guarded = makeGuarded({ clockToleranceSeconds })
      const token = guarded.token()
      for (let second = 0; second < 600 + clockToleranceSeconds; second += 50) {
        expect(await reasonOf(guarded, token)).toBe('accepted')
        guarded.clock.advance(50_000)
      }
      const left =
        (600 + clockToleranceSeconds) * 1000 -
        Math.ceil((600 + clockToleranceSeconds) / 50) * 50_000
      guarded.clock.advance(left - 1)
      expect(await reasonOf(guarded, token)).toBe('accepted')
      guarded.clock.advance(1)
      expect(await reasonOf(guarded, token)).toBe('expired')
      guarded.clock.advance(1)
      expect(await reasonOf(guarded, token)).toBe('expired')
    },
  )
  test('C03 lets go at the largest age, in the cache and outside of it at the same moment', async () => {
    const signer = makeSigner('ES256')
    const clock = new FakeClock()
    const cached = makeGuarded({ maxTokenAgeSeconds: 100 }, { signer, clock })
    const uncached = makeGuarded({ maxTokenAgeSeconds: 100, maxCachedTokens: 0 }, { signer, clock })
    const token = cached.token()
    clock.advance(104_999)
    expect([await reasonOf(cached, token), await reasonOf(uncached, token)]).toEqual([
      'accepted',
      'accepted',
    ])
    clock.advance(1)
    expect([await reasonOf(cached, token), await reasonOf(uncached, token)]).toEqual([
      'expired',
      'expired',
    ])
  })

  test('C04 refuses the next request with a remembered token that was kicked out, at any level', async () => {
    const targets = [
      { token: { jti: 'jti' } },
      { session: 'sid' },
      { subject: 'user' },
      { client: 'web' },
      { everyone: true as const },
    ]
    for (const target of targets) {
      const revocations = memoryRevocations({ issuer })
      const clock = new FakeClock(Date.now())
      const guarded = makeGuarded({ revocations }, { clock })
      const ids = { jti: 'jti', sid: 'sid', sub: 'user', client_id: 'web' }
      const token = guarded.token({
        ...ids,
        iat: Math.floor(clock.seconds) - 1,
        session_version: 5,
      })
      expect(await reasonOf(guarded, token)).toBe('accepted')
      await revocations.kickOut(target)
      expect(await reasonOf(guarded, token)).toBe('revoked')
    }
  })

  test('C05 refuses a remembered token from the refresh on that no longer has its key', async () => {
    const clock = new FakeClock()
    const [old, next] = [makeSigner('ES256', 'old'), makeSigner('ES256', 'next')]
    let keys = [old.publicJwk]
    const guarded = makeGuarded(
      { jwksUri: 'https://issuer.test/jwks' },
      { clock, signer: old, fetch: async () => Response.json({ keys }) },
    )
    const token = guarded.token()
    expect(await reasonOf(guarded, token)).toBe('accepted')
    keys = [next.publicJwk]
    clock.advance(30_000)
    expect(await reasonOf(guarded, token)).toBe('accepted')
    expect(await reasonOf(guarded, next.sign(claimsAt(clock.seconds)))).toBe('accepted')
    expect(await reasonOf(guarded, token)).toBe('unknown_key')
    // Published again, it is a key like any other.
    keys = [old.publicJwk]
    clock.advance(30_000)
    expect(await reasonOf(guarded, token)).toBe('accepted')
    await guarded.guard.close()
  })

  test('C06 keeps good tokens through a flood of garbage: none of it ever enters', async () => {
    let checks = 0
    const clock = new FakeClock()
    const guarded = makeGuarded({ maxCachedTokens: 2 }, { clock })
    const token = guarded.token()
    expect(await reasonOf(guarded, token)).toBe('accepted')
    const before = clock.now.bind(clock)
    for (let index = 0; index < 2000; index++) {
      await guarded.ask(`${token.slice(0, 40)}${index}`)
      await guarded.ask(`a${index}.b.c`)
    }
    clock.now = () => {
      checks++
      return before()
    }
    // A remembered token looks at the clock once; a verification does so several times.
    expect(await reasonOf(guarded, token)).toBe('accepted')
    expect(checks).toBe(1)
  })

  test('C07 hands out nothing that can be written to', async () => {
    const guarded = makeGuarded()
    const token = guarded.token({ roles: ['user'], nested: { deep: [{ a: 1 }] } })
    const { auth } = await guarded.ask(token)
    if (!auth) throw new Error('refused')
    const { payload } = auth
    const writes: (() => unknown)[] = [
      () => (auth.scopes as string[]).push('admin'),
      () => Object.assign(auth, { subject: 'admin' }),
      () => Object.assign(auth, { clientId: 'x' }),
      () => Object.assign(auth, { isAdmin: true }),
      () => Object.assign(payload, { sub: 'admin' }),
      () => (payload['roles'] as string[]).push('admin'),
      () => ((payload['nested'] as { deep: { a: number }[] }).deep[0]!.a = 2),
      () => Object.assign(auth.header, { alg: 'none' }),
      () => Object.setPrototypeOf(payload, { admin: true }),
    ]
    for (const write of writes) expect(write).toThrow(TypeError)
    const again = await guarded.ask(token)
    expect(again.auth?.scopes).toEqual(['reports:read'])
    expect(again.auth).not.toBe(auth)
  })

  test('C08 takes __proto__, constructor and toString for names like any other', async () => {
    const guarded = makeGuarded()
    const head = JSON.stringify({ alg: 'ES256', kid: guarded.signer.kid })
    const claims = claimsAt(guarded.clock.seconds, { scope: '__proto__ constructor' })
    const body = JSON.stringify(claims).replace(
      /}$/,
      ',"__proto__":{"admin":true,"cnf":1},"constructor":"c","toString":"t"}',
    )
    const { auth } = await guarded.ask(guarded.signer.signText(head, body))
    expect(auth?.scopes).toEqual(['__proto__', 'constructor'])
    expect(auth && Object.getPrototypeOf(auth.payload)).toBeNull()
    expect(auth?.payload['admin']).toBeUndefined()
    expect(auth?.payload['constructor']).toBe('c')
    expect(({} as { admin?: true }).admin).toBeUndefined()
    const plain = await guarded.ask(guarded.token())
    expect(plain.auth?.payload['constructor']).toBeUndefined()
    expect(plain.auth?.header['toString']).toBeUndefined()
    const planted = JSON.stringify({ ...claims, iss: undefined }).replace(
      /}$/,
      `,"__proto__":{"iss":"${issuer}"}}`,
    )
    expect(await reasonOf(guarded, guarded.signer.signText(head, planted))).toBe('issuer')
  })

  test.each([
    ['a  b', ['a', 'b']],
    [' a b ', ['a', 'b']],
    ['a\tb', ['a\tb']],
    ['admin\u00a0', ['admin\u00a0']],
    ['*', ['*']],
    ['read:*', ['read:*']],
    ['readwrite', ['readwrite']],
    ['READ', ['READ']],
    [
      ['a', 'b c'],
      ['a', 'b c'],
    ],
  ])('C09 reads the scope %j by the letter', async (scope, expected) => {
    const guarded = makeGuarded()
    const { auth, req } = await guarded.ask(guarded.token({ scope }))
    expect(auth?.scopes).toEqual(expected)
    for (const wanted of ['read', 'admin', 'reports:read', 'c', 'write']) {
      const { error } = await run([requireScope(wanted)], req)
      expect(factsOf(error)).toMatchObject({ status: 403 })
    }
  })
  test.each([[['']], [7], [null], [{}], [true], [['a', 7]]])(
    'C09 refuses a scope of %j',
    async (scope) => {
      const guarded = makeGuarded()
      expect(await reasonOf(guarded, guarded.token({ scope }))).toBe('claims')
      expect(await reasonOf(guarded, guarded.token({ scope, scp: 'a' }))).toBe('claims')
      expect(await reasonOf(guarded, guarded.token({ scope: undefined, scp: scope }))).toBe(
        'claims',
      )
    },
  )
  test('C09 takes requireScope() without a scope for a mistake', () => {
    for (const scopes of [[], [''], [' ', '  ']]) {
      expect(() => requireScope(...scopes)).toThrow(TypeError)
    }
  })

  test('C10 verifies a token once for 1 000 concurrent first uses', async () => {
    let reads = 0
    const clock = new FakeClock()
    const guarded = makeGuarded({}, { clock })
    const token = guarded.token()
    const now = clock.now.bind(clock)
    clock.now = () => {
      reads++
      return now()
    }
    await guarded.ask(guarded.token())
    const readsOfOne = reads
    reads = 0
    const outcomes = await Promise.all(Array.from({ length: 1000 }, async () => guarded.ask(token)))
    expect(reads).toBe(readsOfOne)
    expect(new Set(outcomes.map(({ auth }) => auth)).size).toBe(1000)
    expect(new Set(outcomes.map(({ auth }) => auth?.payload)).size).toBe(1)
    expect(outcomes.every(({ error }) => error === undefined)).toBe(true)
  })
  test('C10 gives each of 100 concurrent refusals an error of its own', async () => {
    const guarded = makeGuarded()
    const token = makeSigner('ES256', guarded.signer.kid).sign(claimsAt(guarded.clock.seconds))
    const outcomes = await Promise.all(Array.from({ length: 100 }, async () => guarded.ask(token)))
    const errors = outcomes.map(({ error }) => error as { headers: object; reason: string })
    expect(new Set(errors).size).toBe(100)
    expect(new Set(errors.map(({ headers }) => headers)).size).toBe(100)
    expect(new Set(errors.map(({ reason }) => reason))).toEqual(new Set(['signature']))
  })

  test('C11 G04 a clock that steps back revives no kick-out', async () => {
    const revocations = memoryRevocations({ issuer })
    const clock = new FakeClock(Date.now())
    const guarded = makeGuarded({ revocations }, { clock })
    const token = guarded.token()
    expect(await reasonOf(guarded, token)).toBe('accepted')
    await revocations.kickOut({ session: 'sid-1' })
    clock.setAhead(700_000)
    expect(await reasonOf(guarded, token)).toBe('expired')
    clock.setBack(700_000)
    expect(await reasonOf(guarded, token)).toBe('revoked')
  })
})
