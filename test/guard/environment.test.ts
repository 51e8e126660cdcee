import { describe, expect, test } from '@jest/globals'
import { environmentVariables, withEnvironment } from '../../src/guard/environment.ts'
import { readSettings } from '../../src/guard/options.ts'
import { UnavailableError } from '../../src/errors.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'

const all = {
  ISSUER_BASE_URL: 'https://env.test',
  AUDIENCE: 'https://env-api.test',
  JWKS_URI: 'https://env.test/jwks',
  KICKOUT_REDIS_URL: 'redis://user:hunter2@127.0.0.1:1',
}

test('reads these four variables and no other', () => {
  const asked: string[] = []
  const spy = new Proxy({}, { get: (_target, name) => void asked.push(String(name)) })
  withEnvironment(undefined, spy)
  expect(asked.sort()).toEqual(Object.values(environmentVariables).sort())
  expect(Object.keys(all).sort()).toEqual(asked)
})
test('makes the whole of a guard from the environment alone', () => {
  const settings = readSettings(withEnvironment(undefined, all))
  expect(settings.trusts).toMatchObject({
    trusts: [
      {
        audience: ['https://env-api.test'],
        keySet: { issuer: 'https://env.test', source: { kind: 'address' } },
      },
    ],
  })
  expect(settings.revocations?.status()).toEqual({ state: 'starting', stalenessMs: 0, entries: 0 })
})
test('options come before the environment, one by one', () => {
  expect(withEnvironment({ audience: 'own' }, all)).toEqual({
    audience: 'own',
    issuer: 'https://env.test',
    jwksUri: 'https://env.test/jwks',
    revocations: expect.objectContaining({ issuer: 'https://env.test' }),
  })
  expect(withEnvironment({ issuer: 'https://own.test' }, all).issuer).toBe('https://own.test')
})
test('KICKOUT_REDIS_URL counts wherever revocations are not given, and never where they are', () => {
  const own = memoryRevocations()
  expect(withEnvironment(undefined, all)).toHaveProperty('revocations')
  expect(withEnvironment({ realm: 'reports' }, all)).toHaveProperty('revocations')
  expect(withEnvironment({ revocations: own }, all).revocations).toBe(own)
  expect(withEnvironment({ revocations: false }, all).revocations).toBe(false)
  expect(readSettings(withEnvironment({ revocations: false }, all)).revocations).toBeUndefined()
})
test('JWKS_URI gives way to keys, an address or a list of issuers', () => {
  expect(withEnvironment({ jwks: { keys: [] } }, all)).not.toHaveProperty('jwksUri')
  expect(withEnvironment({ jwksUri: 'https://own.test/k' }, all).jwksUri).toBe('https://own.test/k')
  expect(withEnvironment({ issuer: [] }, all)).not.toHaveProperty('jwksUri')
})
test('an empty variable is an absent one', () => {
  expect(
    withEnvironment(undefined, {
      ISSUER_BASE_URL: '',
      AUDIENCE: '',
      JWKS_URI: '',
      KICKOUT_REDIS_URL: '',
    }),
  ).toEqual({})
})
test('null is neither options nor an option', () => {
  for (const options of [null, 7, 'x', []]) {
    expect(() => readSettings(withEnvironment(options as never, all))).toThrow(TypeError)
  }
  expect(() => readSettings(withEnvironment({ issuer: null } as never, all))).toThrow('"issuer"')
})
test.each(['x', 'http://a.test', 'hunter2', 'localhost:6379'])(
  'refuses the KICKOUT_REDIS_URL %s by name, without printing it',
  (url) => {
    const attempt = () => withEnvironment(undefined, { ...all, KICKOUT_REDIS_URL: url })
    expect(attempt).toThrow('KICKOUT_REDIS_URL must be a redis: or rediss: URL')
    expect(attempt).not.toThrow(url)
  },
)

describe('the revocations of KICKOUT_REDIS_URL', () => {
  test('are unavailable until their code is there, and closed for good when closed', async () => {
    const { revocations } = readSettings(withEnvironment(undefined, all))
    const stop = revocations?.onKickOut(() => undefined)
    stop?.()
    await revocations?.close()
    expect(revocations?.status().state).toBe('closed')
    expect(() => revocations?.check({ iss: 'a', aud: 'b', exp: 1 })).toThrow(UnavailableError)
    await expect(revocations?.ready()).rejects.toThrow('closed')
  })
})
