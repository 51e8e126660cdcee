import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Keys } from '../../src/redis/keys.ts'
import type { LayoutSettings } from '../../src/redis/options.ts'
import { hostileIds } from '../contracts/passing-time.ts'

const issuer = 'https://login.example.com'

function keysWith(layout: Partial<LayoutSettings> = {}): Keys {
  return new Keys({ keyPrefix: '', prefix: 'kickout', partitions: 1, ...layout } as LayoutSettings)
}

/** The part of a key that decides its slot, by Redis's rule: between the first `{` and the next `}`. */
function hashTagOf(key: string): string {
  const open = key.indexOf('{')
  const close = key.indexOf('}', open + 1)
  return open >= 0 && close > open + 1 ? key.slice(open + 1, close) : key
}

function everyKeyOf(keys: Keys, subject: string): string[] {
  return [
    keys.user(issuer, subject),
    keys.userSessions(issuer, subject),
    keys.deny('subject', issuer, subject),
  ]
}

describe('Keys', () => {
  test.each([1, 16, 65_535])(
    'I01 everything about a user lies in the slot of one partition, of %i',
    (partitions) => {
      const keys = keysWith({ partitions })
      for (const subject of hostileIds) {
        const partition = keys.partitionOfUser(issuer, subject)
        expect(partition).toBeLessThan(partitions)
        const tags = [...everyKeyOf(keys, subject), keys.meta(partition), keys.stream(partition)]
        expect(new Set(tags.map(hashTagOf))).toEqual(new Set([`kickout:${partition}`]))
      }
    },
  )

  test('I02 no two users, levels or issuers share a key', () => {
    const keys = keysWith({ partitions: 16 })
    const names = new Set<string>()
    let made = 0
    for (const id of hostileIds) {
      for (const by of [issuer, `${issuer}/`, 'a', 'a:b', '{}']) {
        for (const key of [
          keys.user(by, id),
          keys.userSessions(by, id),
          keys.deny('subject', by, id),
          keys.deny('token', by, id),
          keys.deny('session', by, id),
          keys.deny('client', by, id),
        ]) {
          names.add(key)
          made++
        }
      }
    }
    expect(names.size).toBe(made)
  })

  test('I02 ids that read the same when joined are apart', () => {
    const keys = keysWith()
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(), (a, b, at) => {
        const joined = a + b
        const cut = at % (joined.length + 1)
        const [c, d] = [joined.slice(0, cut), joined.slice(cut)]
        if (c === a || ![a, b, c, d].every((text) => text.isWellFormed())) return
        expect(keys.userName(c, d)).not.toBe(keys.userName(a, b))
        expect(keys.denyName('token', c, d)).not.toBe(keys.denyName('token', a, b))
        expect(keys.markField('client', c, d)).not.toBe(keys.markField('client', a, b))
      }),
      { numRuns: 2_000 },
    )
  })

  test('I03 I07 ids from outside are never in a key, however they look and however long they are', () => {
    const keys = keysWith()
    for (const subject of [...hostileIds, '*'.repeat(500_000), '\0', '\r\n']) {
      for (const key of everyKeyOf(keys, subject)) expect(key).toMatch(/^[\w:{}-]{1,100}$/)
    }
  })

  test('I08 ids that look like numbers are the texts that they are', () => {
    const keys = keysWith()
    const names = ['1', '01', '1.0', '1e0', '+1', ' 1'].map((id) => keys.userName(issuer, id))
    expect(new Set(names).size).toBe(names.length)
  })

  test('spreads users over all partitions, evenly', () => {
    const keys = keysWith({ partitions: 16 })
    const counts = new Array<number>(16).fill(0)
    for (let user = 0; user < 16_000; user++) {
      counts[keys.partitionOfUser(issuer, `user ${user}`)]!++
    }
    expect(Math.min(...counts)).toBeGreaterThan(800)
    expect(Math.max(...counts)).toBeLessThan(1_200)
  })

  test('finds the partition that an id of ours begins with, and takes every other id for foreign', () => {
    const keys = keysWith({ partitions: 16 })
    const random = 'AbCdEfGhIjKlMnOpQrStUv'
    expect(keys.partitionOfId(`0-${random}`)).toBe(0)
    expect(keys.partitionOfId(`15-${random}`)).toBe(15)
    for (const id of [`16-${random}`, `-1-${random}`, `7-${random}x`, '7-short', `7:${random}`]) {
      expect(keys.partitionOfId(id)).toBe(0)
    }
  })

  test('I05 puts the key prefix of the client in front of the hash tag', () => {
    const keys = keysWith({ keyPrefix: 'app:', prefix: 'auth', partitions: 16 })
    expect(keys.stream(3)).toBe('app:{auth:3}:stream')
    expect(hashTagOf(keys.stream(3))).toBe('auth:3')
  })
})
