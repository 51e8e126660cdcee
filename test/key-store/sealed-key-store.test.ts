import { describe, expect, test } from '@jest/globals'
import { rotationDefaults } from '../../src/key-store/key-store.ts'
import { type KeyStoreOptions, SealedKeyStore } from '../../src/key-store/sealed-key-store.ts'
import { keyStoreContract } from '../contracts/key-store.contract.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { MemoryKeyRecords } from '../support/memory-key-store.ts'

const encryptionKey = 'e'.repeat(32)

function open(options: Partial<KeyStoreOptions> = {}, records = newRecords()): SealedKeyStore {
  return new SealedKeyStore('redisKeyStore', { encryptionKey, ...options }, () => records)
}

function newRecords(): MemoryKeyRecords {
  return new MemoryKeyRecords(new FakeClock(Date.now()))
}

describe('in memory, for tests', () => {
  keyStoreContract(() => {
    const records = newRecords()
    return { open: () => open({}, records) }
  })
})

test('a text that is no list of keys is refused', async () => {
  for (const keys of [
    [],
    [{}],
    [{ jwk: { kid: 1 }, publishedAt: 1, signsFrom: 1 }],
    'x',
  ] as const) {
    const store = open()
    await store.replace('i', '', keys as never)
    await expect(store.read('i')).rejects.toThrow(/does not understand/)
  }
})

test('the defaults are those of the contract', () => {
  expect(rotationDefaults).toEqual({ everyDays: 90, publishAheadSeconds: 1200 })
  const { algorithm, rotation } = open()
  expect({ algorithm, rotation }).toEqual({
    algorithm: 'ES256',
    rotation: { everyMs: 7_776_000_000, publishAheadMs: 1_200_000, keepMs: undefined },
  })
  expect(open({ rotation: { everyDays: false } }).rotation.everyMs).toBeUndefined()
})

test.each<[string, object, RegExp]>([
  ['an unknown algorithm', { algorithm: 'HS256' }, /option "algorithm"/],
  ['rotation as a number', { rotation: 90 }, /rotation/],
  ['a misspelt rotation', { rotation: { everyDay: 1 } }, /did you mean "everyDays"/],
  ['no days', { rotation: { everyDays: 0 } }, /"everyDays"/],
  ['days as a text', { rotation: { everyDays: '90' } }, /"everyDays"/],
  ['true days', { rotation: { everyDays: true } }, /"everyDays"/],
  ['a negative time ahead', { rotation: { publishAheadSeconds: -1 } }, /"publishAheadSeconds"/],
  ['an endless time', { rotation: { keepSeconds: Number.POSITIVE_INFINITY } }, /"keepSeconds"/],
])('%s is refused', (_name, options, message) => {
  expect(() => open(options)).toThrow(message)
  expect(() => open(options)).toThrow(TypeError)
})
