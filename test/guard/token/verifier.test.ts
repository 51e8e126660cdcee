import { expect, test } from '@jest/globals'
import { KeySet } from '../../../src/guard/keys/key-set.ts'
import { Verifier } from '../../../src/guard/token/verifier.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { factsOf } from '../../support/guarded.ts'
import { audience, claimsAt, issuer, makeSigner } from '../../support/make-token.ts'

const signer = makeSigner('ES256')

function setup(maxTokenAgeSeconds?: number) {
  const clock = new FakeClock()
  const state = { fetches: 0 }
  const algorithms = new Set(['ES256', 'RS256'])
  const cache = {
    maxAgeSeconds: 600,
    cooldownSeconds: 30,
    timeoutMs: 5000,
    maxStaleSeconds: 86_400,
  }
  const keySet = new KeySet(
    {
      issuer,
      source: { kind: 'address', url: new URL('https://issuer.test/k') },
      algorithms,
      cache,
    },
    {
      clock,
      fetch: async () => {
        state.fetches++
        return Response.json({ keys: [signer.publicJwk] })
      },
      emit: () => undefined,
    },
  )
  const trust = {
    issuer,
    audience: [audience],
    clientIds: undefined,
    claims: { subject: [], session: [], tokenId: [] },
    allowIdTokenClaims: [],
    keySet,
  }
  const verifier = new Verifier(
    {
      trusts: { get: (iss) => (iss === issuer ? trust : undefined), nearest: () => undefined },
      maxTokenBytes: 8192,
      algorithms,
      maxTokenAgeSeconds,
      strict: false,
      clockToleranceSeconds: 5,
      retentionSecondsFor: () => undefined,
      checksRevocations: false,
    },
    clock,
  )
  const verify = async (changes: object = {}, header: object = {}) =>
    verifier.verify(signer.sign(claimsAt(clock.seconds, changes), header))
  return { clock, state, keySet, verify }
}

test('refuses what cannot pass before any key is fetched', async () => {
  const { verify, state, clock, keySet } = setup()
  for (const [changes, header, reason] of [
    [{}, { alg: 'none' }, 'algorithm'],
    [{}, { alg: 'PS256' }, 'algorithm'],
    [{}, { typ: 'logout+jwt' }, 'type'],
    [{ iss: 'https://evil.test' }, {}, 'issuer'],
    [{ exp: clock.seconds - 5 }, {}, 'expired'],
    [{}, { crit: ['x'] }, 'malformed'],
  ] as const) {
    await expect(verify(changes, header)).rejects.toMatchObject({ code: 'invalid_token', reason })
  }
  expect(state.fetches).toBe(0)
  await verify()
  expect(state.fetches).toBe(1)
  keySet.close()
})

test('says what it verified, until when, and by which key', async () => {
  const { verify, clock, keySet } = setup()
  const iat = Math.floor(clock.seconds)
  const verified = await verify({ client_id: undefined, azp: 'spa', scope: undefined, scp: ['a'] })
  expect(verified).toMatchObject({
    clientId: 'spa',
    scopes: ['a'],
    validUntilMs: (iat + 605) * 1000,
  })
  expect([verified.key.kid, verified.key.retired, verified.keySet]).toEqual([
    signer.kid,
    false,
    keySet,
  ])
  expect((await verify({ client_id: undefined })).clientId).toBe('')
  expect((await verify({ client_id: 'web', azp: 'spa' })).clientId).toBe('web')
  keySet.close()
})

test('counts the largest age from iat, tolerance included, to the millisecond', async () => {
  const { verify, clock, keySet } = setup(100)
  const iat = Math.floor(clock.seconds)
  expect((await verify()).validUntilMs).toBe((iat + 105) * 1000)
  clock.advance(104_999)
  await verify({ iat })
  clock.advance(1)
  await expect(verify({ iat })).rejects.toMatchObject({ reason: 'expired' })
  clock.advance(60_000)
  await expect(verify({ iat })).rejects.toMatchObject({ reason: 'expired' })
  await expect(verify({ iat: undefined })).rejects.toMatchObject({ reason: 'claims' })
  await expect(verify({ iat: clock.seconds + 6 })).rejects.toMatchObject({
    reason: 'not_yet_valid',
  })
  keySet.close()
})

test('gives errors that hold neither the token nor its claims', async () => {
  const { verify, clock, keySet } = setup()
  for (const changes of [{ aud: 'x' }, { nbf: clock.seconds + 60 }, { exp: 'x' }, { scope: 7 }]) {
    const error: unknown = await verify({ ...changes, email: 'a@private.test' }).catch(
      (cause: unknown) => cause,
    )
    expect(factsOf(error)).toMatchObject({ status: 401, code: 'invalid_token' })
    expect((error as Error).cause).toBeUndefined()
  }
  keySet.close()
})
