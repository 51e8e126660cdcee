import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { IssuerEvent } from '../../../src/events.ts'
import { StoredSigningKeys } from '../../../src/issuer/keys/stored-signing-keys.ts'
import { SealedKeyStore } from '../../../src/key-store/sealed-key-store.ts'
import { generateSigningKey } from '../../../src/issuer/index.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { MemoryKeyRecords } from '../../support/memory-key-store.ts'

const issuer = 'https://login.example.com'
const dayMs = 86_400_000
const rules = { publishAheadMs: 1_200_000, keepMs: 610_000, everyMs: 90 * dayMs }
const encryptionKey = 'e'.repeat(32)

/** The clock of the store, and of the process where it has none of its own. */
let clock: FakeClock
let records: MemoryKeyRecords
const opened: StoredSigningKeys[] = []

beforeEach(() => {
  clock = new FakeClock()
  records = new MemoryKeyRecords(clock)
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (keys) => keys.close()))
})

interface Process {
  readonly keys: StoredSigningKeys
  readonly events: IssuerEvent[]
  kids(): Promise<string[]>
  signs(): Promise<string>
}

function startProcess({ own = clock, key = encryptionKey, rotates = true } = {}): Process {
  const events: IssuerEvent[] = []
  const store = new SealedKeyStore('redisKeyStore', { encryptionKey: key }, () => records)
  const emit = (event: object) => events.push(event as IssuerEvent)
  const keys = new StoredSigningKeys(
    issuer,
    store,
    { ...rules, everyMs: rotates ? rules.everyMs : undefined },
    { clock: own, emit },
  )
  opened.push(keys)
  return {
    keys,
    events,
    kids: async () => (await keys.jwks()).keys.map(({ kid }) => kid),
    signs: async () => (await keys.signer()).kid,
  }
}

/** Lets time pass, and every process has its round. */
async function pass(ms: number, ...processes: Process[]): Promise<void> {
  clock.advance(ms)
  for (const { keys } of processes) await keys.ready()
}

const createdBy = (...processes: Process[]): string[] =>
  processes.flatMap(({ events }) =>
    events.flatMap((event) => (event.type === 'signing_key.created' ? [event.kid] : [])),
  )

describe('the first key', () => {
  test('is made by one of several processes that start at once, and signs at once', async () => {
    const all = [startProcess(), startProcess(), startProcess()]
    await Promise.all(all.map(async ({ keys }) => keys.ready()))
    const signing = await Promise.all(all.map(async ({ signs }) => signs()))
    expect(new Set(signing).size).toBe(1)
    expect(createdBy(...all)).toEqual([signing[0]])
    for (const { kids } of all) expect(await kids()).toEqual([signing[0]])
  })

  test('is made on the first use where ready() was not called', async () => {
    const one = startProcess()
    expect(records.reads).toBe(0)
    expect(await one.kids()).toEqual([await one.signs()])
  })

  test('has the algorithm of the store, and is published without a private member', async () => {
    const { keys } = startProcess()
    const [published] = (await keys.jwks()).keys
    expect(Object.keys(published ?? {}).sort()).toEqual([
      'alg',
      'crv',
      'kid',
      'kty',
      'use',
      'x',
      'y',
    ])
    expect(published).toMatchObject({ alg: 'ES256', use: 'sig' })
  })
})

describe('a rotation', () => {
  test('publishes, then signs, then drops the key before, for all processes alike', async () => {
    const [one, two] = [startProcess(), startProcess()]
    await pass(0, one, two)
    const first = await one.signs()
    await pass(rules.everyMs - rules.publishAheadMs - 1, one, two)
    expect(await two.kids()).toEqual([first])
    await pass(1, two, one)
    const [next = ''] = createdBy(two)
    for (const process of [one, two]) {
      expect(await process.kids()).toEqual([next, first])
      expect(await process.signs()).toBe(first)
    }
    await pass(rules.publishAheadMs - 1, one, two)
    expect(await one.signs()).toBe(first)
    await pass(1, one, two)
    for (const process of [one, two]) expect(await process.signs()).toBe(next)
    await pass(rules.keepMs - 1, one, two)
    expect(await one.kids()).toEqual([next, first])
    await pass(1, one, two)
    for (const process of [one, two]) expect(await process.kids()).toEqual([next])
    expect(createdBy(one, two)).toHaveLength(2)
  })

  test('is made once where several processes notice at once', async () => {
    const all = Array.from({ length: 5 }, () => startProcess())
    await pass(0, ...all)
    clock.advance(rules.everyMs)
    await Promise.all(all.map(async ({ keys }) => keys.ready()))
    expect(createdBy(...all)).toHaveLength(2)
    const sets = await Promise.all(all.map(async ({ kids }) => kids()))
    expect(new Set(sets.map((kids) => kids.join())).size).toBe(1)
  })

  test('is not made while the next key is announced, however long all were off', async () => {
    const one = startProcess()
    await pass(0, one)
    await pass(1000 * dayMs, one)
    await pass(rules.publishAheadMs / 2, one)
    expect(await one.kids()).toHaveLength(2)
  })

  test('does not come with everyDays: false, but by rotateSigningKey()', async () => {
    const one = startProcess({ rotates: false })
    await pass(0, one)
    await pass(1000 * dayMs, one)
    expect(await one.kids()).toHaveLength(1)
    const { kid, signsAt } = await one.keys.rotate()
    expect(signsAt).toBe(clock.now() + rules.publishAheadMs)
    expect((await one.kids())[0]).toBe(kid)
    await pass(rules.publishAheadMs, one)
    expect(await one.signs()).toBe(kid)
  })

  test('takes a key of the application, once, and refuses what it cannot keep', async () => {
    const [one, two] = [startProcess(), startProcess()]
    const jwk = await generateSigningKey('EdDSA')
    expect(await one.keys.rotate(jwk)).toMatchObject({ kid: jwk.kid })
    await pass(0, two)
    expect((await two.kids())[0]).toBe(jwk.kid)
    await expect(two.keys.rotate(jwk)).rejects.toThrow(/published already/)
    const external = { publicJwk: {}, sign: () => Promise.resolve(new Uint8Array()) }
    await expect(two.keys.rotate(external)).rejects.toThrow(/no external key/)
    await expect(two.keys.rotate({ ...jwk, x: 'AA', kid: 'k' })).rejects.toThrow(TypeError)
  })

  test('forgets the private half when it has no use any more', async () => {
    const one = startProcess()
    await pass(0, one)
    const { kid } = await one.keys.rotate()
    await pass(rules.publishAheadMs, one)
    await pass(59_999, one)
    expect(await privateKids()).toHaveLength(2)
    await pass(1, one)
    expect(await privateKids()).toEqual([kid])
    expect(await one.kids()).toHaveLength(2)
  })
})

/** The names of the stored keys that could sign. */
async function privateKids(): Promise<(string | undefined)[]> {
  const store = new SealedKeyStore('redisKeyStore', { encryptionKey }, () => records)
  const { keys = [] } = await store.read(issuer)
  return keys.flatMap(({ jwk }) => (jwk.d === undefined ? [] : [jwk.kid]))
}

describe('a clock that steps', () => {
  test('of the process changes neither what signs nor what is published', async () => {
    const own = new FakeClock()
    const one = startProcess({ own })
    await one.keys.ready()
    const first = await one.signs()
    for (const step of [10 * 365 * dayMs, -20 * 365 * dayMs]) {
      own.setAhead(step)
      await one.keys.ready()
      expect(await one.signs()).toBe(first)
      expect(await one.kids()).toEqual([first])
    }
  })

  test('of the store, forwards, drops no key whose tokens are about', async () => {
    const one = startProcess({ rotates: false })
    await pass(0, one)
    const { kid: next } = await one.keys.rotate()
    const first = await one.signs()
    clock.setAhead(365 * dayMs)
    await one.keys.ready()
    expect(await one.signs()).toBe(next)
    expect(await one.kids()).toEqual([next, first])
    await pass(rules.keepMs, one)
    expect(await one.kids()).toEqual([next])
  })

  test('of the store, backwards, leaves a key that signs', async () => {
    const one = startProcess({ rotates: false })
    await pass(0, one)
    const { kid: next } = await one.keys.rotate()
    await pass(rules.publishAheadMs + rules.keepMs, one)
    expect(await one.signs()).toBe(next)
    clock.setBack(365 * dayMs)
    await one.keys.ready()
    const booted = startProcess({ rotates: false })
    await booted.keys.ready()
    for (const process of [one, booted]) {
      expect(await process.signs()).toBe(next)
      expect(await process.kids()).toEqual([next])
    }
  })

  test('of the store, by years and back, does not stop rotations for years', async () => {
    const one = startProcess()
    await pass(0, one)
    clock.setAhead(3650 * dayMs)
    await one.keys.ready()
    expect(await one.kids()).toHaveLength(2)
    clock.setBack(3650 * dayMs)
    await one.keys.ready()
    await pass(rules.publishAheadMs, one)
    expect(await one.signs()).toBe(createdBy(one)[1])
  })
})

describe('a process that stood still', () => {
  test('over a whole rotation reads again before it signs', async () => {
    const [own, other] = [new FakeClock(), startProcess({ rotates: false })]
    const paused = startProcess({ own, rotates: false })
    await pass(0, other, paused)
    const first = await paused.signs()
    const { kid: next } = await other.keys.rotate()
    await pass(rules.publishAheadMs, other)
    await pass(rules.keepMs, other)
    own.advance(rules.publishAheadMs + rules.keepMs)
    expect(await other.kids()).toEqual([next])
    expect(await paused.signs()).toBe(next)
    expect(await paused.kids()).not.toEqual([first])
  })

  test('and whose machine slept, so that only the wall clock shows it, reads again too', async () => {
    const own = new FakeClock()
    const [other, paused] = [startProcess({ rotates: false }), startProcess({ own })]
    await pass(0, other, paused)
    const { kid: next } = await other.keys.rotate()
    await pass(rules.publishAheadMs, other)
    own.setAhead(rules.publishAheadMs)
    expect(await paused.signs()).toBe(next)
  })
})

describe('while the store is away', () => {
  test('known keys go on, and the event comes once', async () => {
    const one = startProcess()
    await pass(0, one)
    const first = await one.signs()
    records.fault = 'away'
    for (let round = 0; round < 5; round++) {
      await pass(60_000, one)
      expect(await one.signs()).toBe(first)
      expect(await one.kids()).toEqual([first])
    }
    expect(one.events.filter(({ type }) => type === 'signing_keys.failed')).toEqual([
      { type: 'signing_keys.failed', message: 'The store is away', known: true },
    ])
    records.fault = 'none'
    await pass(rules.everyMs, one)
    expect(await one.kids()).toHaveLength(2)
  })

  test('a process that starts is 503, asks no more than twice a second, and begins when it is back', async () => {
    records.fault = 'away'
    const one = startProcess()
    await expect(one.keys.ready()).rejects.toMatchObject({ status: 503, reason: 'signing' })
    const before = records.reads
    for (let request = 0; request < 100; request++) {
      await expect(one.signs()).rejects.toMatchObject({ status: 503 })
      await expect(one.kids()).rejects.toMatchObject({ status: 503 })
    }
    expect(records.reads - before).toBeLessThanOrEqual(1)
    records.fault = 'none'
    clock.advance(500)
    expect(await one.kids()).toEqual([await one.signs()])
  })

  test('a store that is full can be read: a process that starts signs', async () => {
    const [one, late] = [startProcess(), startProcess()]
    await pass(0, one)
    records.fault = 'full'
    await pass(rules.everyMs, one)
    expect(await one.kids()).toHaveLength(1)
    await late.keys.ready()
    expect(await late.signs()).toBe(await one.signs())
    expect(late.events).toMatchObject([{ type: 'signing_keys.failed', known: true }])
  })
})

describe('another program writes to the store', () => {
  test('a changed record: known keys go on, a process that starts refuses, nothing is overwritten', async () => {
    const [one, late] = [startProcess(), startProcess()]
    await pass(0, one)
    const first = await one.signs()
    const record = records.records.get(issuer)!
    const changed = { ...record, sealed: record.sealed.replace(/.{8}$/, 'AAAAAAAA') }
    records.records.set(issuer, changed)
    await pass(60_000, one)
    expect(await one.signs()).toBe(first)
    await expect(late.keys.ready()).rejects.toThrow(/were changed without the encryption key/)
    await expect(late.signs()).rejects.toMatchObject({ status: 503 })
    expect(records.records.get(issuer)).toEqual(changed)
    expect(one.events.at(-1)).toMatchObject({ type: 'signing_keys.failed', known: true })
  })

  test('another encryption key: ready() rejects, and no key is made', async () => {
    const [one, other] = [startProcess(), startProcess({ key: 'x'.repeat(32) })]
    await pass(0, one)
    const record = records.records.get(issuer)
    await expect(other.keys.ready()).rejects.toThrow(/option "encryptionKey"/)
    await expect(other.keys.rotate()).rejects.toThrow(/option "encryptionKey"/)
    await expect(other.signs()).rejects.toMatchObject({ status: 503, reason: 'signing' })
    expect(records.records.get(issuer)).toBe(record)
    expect(createdBy(other)).toEqual([])
  })

  test('an earlier record, put back, brings no old key back and loses no new one', async () => {
    const one = startProcess({ rotates: false })
    await pass(0, one)
    const first = await one.signs()
    const earlier = records.records.get(issuer)!
    const { kid: next } = await one.keys.rotate()
    await pass(rules.publishAheadMs, one)
    await pass(rules.keepMs, one)
    expect(await one.kids()).toEqual([next])
    records.records.set(issuer, earlier)
    await pass(0, one)
    expect(await one.kids()).toEqual([next])
    const booted = startProcess({ rotates: false })
    await booted.keys.ready()
    expect(await booted.signs()).toBe(next)
    expect(await booted.kids()).not.toContain(first)
  })

  test('a record that was deleted is written back, and no key is made', async () => {
    const [one, two] = [startProcess(), startProcess()]
    await pass(0, one, two)
    const first = await one.signs()
    records.records.clear()
    await Promise.all([one.keys.ready(), two.keys.ready()])
    const booted = startProcess()
    expect(await booted.signs()).toBe(first)
    expect(createdBy(one, two, booted)).toEqual([first])
  })

  test('two primaries that each took a rotation: both keys are published, and all sign with one', async () => {
    const [one, two] = [startProcess({ rotates: false }), startProcess({ rotates: false })]
    await pass(0, one, two)
    const before = records.records.get(issuer)!
    const lost = await one.keys.rotate()
    records.records.set(issuer, before)
    const kept = await two.keys.rotate()
    await pass(0, one, two)
    for (const process of [one, two]) {
      expect(await process.kids()).toEqual(expect.arrayContaining([lost.kid, kept.kid]))
    }
    await pass(rules.publishAheadMs, one, two)
    expect(await one.signs()).toBe(await two.signs())
  })

  test('processes that never stop writing: a rotation gives up', async () => {
    const one = startProcess()
    await pass(0, one)
    let other = 0
    records.beforeReplace = () => {
      const { sealed } = records.records.get(issuer)!
      records.records.set(issuer, { sealed, revision: `other ${other++}` })
    }
    await expect(one.keys.rotate()).rejects.toMatchObject({ status: 503 })
    records.beforeReplace = undefined
  })
})
