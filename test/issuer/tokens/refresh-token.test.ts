import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  maxPartition,
  newHandle,
  RefreshTokens,
  type RefreshTokenParts,
  sessionIdOf,
} from '../../../src/issuer/tokens/refresh-token.ts'
import type { SealedRecord } from '../../../src/issuer/tokens/record-seal.ts'

const issuer = 'https://login.example.com'
const secret = 'a secret of thirty-two bytes or more'
const tokens = new RefreshTokens(secret, issuer)
const record: SealedRecord = {
  sessionId: '0-a',
  issuer,
  subject: 'u1',
  clientId: 'web',
  scopes: ['notes:read', 'notes:write'],
  authentication: { acr: 'gold', amr: ['pwd', 'otp'], authTime: 1_700_000_000 },
  startedAt: 1_700_000_000_000,
  absoluteUntil: 1_700_009_000_000,
  version: 1_700_000_000_000,
}

const anyParts: fc.Arbitrary<RefreshTokenParts> = fc.record({
  partition: fc.integer({ min: 0, max: maxPartition }),
  handle: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
  counter: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
})

describe('a refresh token', () => {
  test('is read back as it was made, and is URL-safe and short', () => {
    fc.assert(
      fc.property(anyParts, (parts) => {
        const token = tokens.make(parts, record)
        expect(token).toMatch(/^[A-Za-z0-9_-]{100}$/)
        expect(tokens.read(token)).toMatchObject(parts)
        expect(tokens.make(parts, record)).toBe(token)
      }),
    )
  })

  test('is refused when any byte of it is another', () => {
    const changed = fc.record({
      parts: anyParts,
      index: fc.integer({ min: 0, max: 74 }),
      by: fc.integer({ min: 1, max: 255 }),
    })
    fc.assert(
      fc.property(changed, ({ parts, index, by }) => {
        const bytes = Buffer.from(tokens.make(parts, record), 'base64url')
        bytes[index] = (bytes[index] ?? 0) ^ by
        expect(tokens.read(bytes.toString('base64url'))).toBeUndefined()
      }),
      { numRuns: 500 },
    )
  })

  test('is refused when any character of it is another, missing or one too many', () => {
    const token = tokens.make({ partition: 0, handle: newHandle(), counter: 0 }, record)
    for (let index = 0; index < token.length; index++) {
      for (const character of ['A', '_', '=', '+', ' ', '\n', 'é', '']) {
        const changed = token.slice(0, index) + character + token.slice(index + 1)
        if (changed !== token) expect(tokens.read(changed)).toBeUndefined()
      }
    }
    for (const added of ['A', '=', '\n', ' ', '\0']) {
      expect(tokens.read(token + added)).toBeUndefined()
      expect(tokens.read(added + token)).toBeUndefined()
    }
  })

  test('has exactly one spelling', () => {
    const token = tokens.make({ partition: 0, handle: newHandle(), counter: 0 }, record)
    const bytes = Buffer.from(token, 'base64url')
    for (const spelling of [bytes.toString('base64'), bytes.toString('hex'), `${token}==`]) {
      if (spelling !== token) expect(tokens.read(spelling)).toBeUndefined()
    }
  })

  test('is refused by any other secret and any other issuer', () => {
    const other = fc.record({
      parts: anyParts,
      secret: fc.string({ minLength: 32 }),
      issuer: fc.webUrl(),
    })
    fc.assert(
      fc.property(other, (given) => {
        const token = tokens.make(given.parts, record)
        fc.pre(given.secret !== secret && given.issuer !== issuer)
        expect(new RefreshTokens(given.secret, issuer).read(token)).toBeUndefined()
        expect(new RefreshTokens(secret, given.issuer).read(token)).toBeUndefined()
      }),
    )
  })

  test('is refused when it is anything else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
        expect(tokens.read(text)).toBeUndefined()
      }),
    )
  })

  test('of another format is refused, though its MAC be right', () => {
    const key = hkdfSync('sha256', secret, '', `express-kickout refresh token ${issuer}`, 32)
    const sealed = (format: number): string => {
      const body = Buffer.alloc(43)
      body.writeUInt8(format, 0)
      const mac = createHmac('sha256', Buffer.from(key)).update(body).digest()
      return Buffer.concat([body, mac]).toString('base64url')
    }
    expect(tokens.read(sealed(2))).toMatchObject({ partition: 0, counter: 0, isBound: false })
    expect(tokens.read(sealed(3))).toMatchObject({ partition: 0, counter: 0, isBound: true })
    for (const format of [0, 1, 4, 255]) expect(tokens.read(sealed(format))).toBeUndefined()
  })

  test('is made with the first secret and read with each', () => {
    const next = 'the next secret of thirty-two bytes or more'
    const parts = { partition: 3, handle: newHandle(), counter: 7 }
    const both = new RefreshTokens([next, secret], issuer)
    expect(both.read(tokens.make(parts, record))).toMatchObject(parts)
    expect(both.make(parts, record)).toBe(new RefreshTokens(next, issuer).make(parts, record))
    expect(tokens.read(both.make(parts, record))).toBeUndefined()
  })

  test('may have a secret of bytes', () => {
    const bytes = randomBytes(32)
    const parts = { partition: 0, handle: newHandle(), counter: 1 }
    const made = new RefreshTokens(bytes, issuer).make(parts, record)
    expect(new RefreshTokens(new Uint8Array(bytes), issuer).read(made)).toMatchObject(parts)
  })
})

describe('the seal', () => {
  const parts = { partition: 0, handle: newHandle(), counter: 3 }
  const presented = tokens.read(tokens.make(parts, record))
  const fits = (given: SealedRecord, reader = tokens) =>
    presented !== undefined && reader.fits(presented, given)

  test('fits the record that the token was made for, in whatever order its members stand', () => {
    expect(fits(record)).toBe(true)
    expect(fits(Object.fromEntries(Object.entries(record).reverse()) as unknown as SealedRecord)).toBe(true) // prettier-ignore
  })

  const changes: Record<string, Partial<SealedRecord>> = {
    'another session': { sessionId: '0-b' },
    'another issuer': { issuer: 'https://other.example.com' },
    'another user': { subject: 'root' },
    'another client': { clientId: 'cli' },
    'no client': { clientId: undefined },
    'one more scope': { scopes: [...record.scopes, 'sessions:admin'] },
    'one scope of two': { scopes: ['notes:read notes:write'] },
    'a better authentication': { authentication: { ...record.authentication, acr: 'platinum' } },
    'a later authentication': { authentication: { ...record.authentication, authTime: 9e9 } },
    'an earlier start': { startedAt: record.startedAt - 1 },
    'a later end': { absoluteUntil: record.absoluteUntil + 1 },
    'a version above a kick-out': { version: record.version + 1 },
    'a key to be bound to': { authentication: { ...record.authentication, jkt: 'k'.repeat(43) } },
  }
  test.each(Object.entries(changes))('fits no record with %s', (_name, change) => {
    expect(fits({ ...record, ...change })).toBe(false)
  })

  test('of a bound session fits neither another key nor none, and the token says that it is bound', () => {
    const withKey = (jkt: string): SealedRecord => ({
      ...record,
      authentication: { ...record.authentication, jkt },
    })
    const bound = tokens.read(tokens.make(parts, withKey('k'.repeat(43))))
    expect([bound?.isBound, presented?.isBound]).toEqual([true, false])
    const fitsBound = (given: SealedRecord) => bound !== undefined && tokens.fits(bound, given)
    expect(fitsBound(withKey('k'.repeat(43)))).toBe(true)
    expect(fitsBound(withKey('x'.repeat(43)))).toBe(false)
    expect(fitsBound(record)).toBe(false)
  })

  test('is checked under each secret, and never under a secret that is not listed', () => {
    const next = 'the next secret of thirty-two bytes or more'
    expect(fits(record, new RefreshTokens([next, secret], issuer))).toBe(true)
    expect(fits(record, new RefreshTokens(next, issuer))).toBe(false)
  })

  test('stays the same over all rotations of a session, and is the only part that the record decides', () => {
    const later = tokens.read(tokens.make({ ...parts, counter: 900 }, record))
    expect(later?.seal).toEqual(presented?.seal)
  })
})

describe('a session id', () => {
  test('begins with the partition and depends on the handle alone', () => {
    const handle = newHandle()
    expect(sessionIdOf({ partition: 7, handle })).toMatch(/^7-[A-Za-z0-9_-]{22}$/)
    expect(sessionIdOf({ partition: 7, handle })).toBe(sessionIdOf({ partition: 7, handle }))
    expect(sessionIdOf({ partition: 7, handle })).not.toBe(
      sessionIdOf({ partition: 7, handle: newHandle() }),
    )
    expect(sessionIdOf({ partition: 7, handle })).not.toContain(handle.toString('base64url'))
  })
})

describe('a secret', () => {
  test.each([
    [undefined, /is the variable set/],
    [null, /is the variable set/],
    [42, /is the variable set/],
    [[], /at least one secret/],
    [[undefined], /is the variable set/],
    [['x'.repeat(32), 'short'], /32 bytes or more/],
    ['x'.repeat(31), /32 bytes or more/],
    [new Uint8Array(31), /32 bytes or more/],
  ])('is refused: %j', (given, message) => {
    expect(() => new RefreshTokens(given, issuer)).toThrow(TypeError)
    expect(() => new RefreshTokens(given, issuer)).toThrow(message)
  })

  test('is taken with exactly 32 bytes, counted as bytes', () => {
    expect(() => new RefreshTokens('x'.repeat(32), issuer)).not.toThrow()
    expect(() => new RefreshTokens('é'.repeat(16), issuer)).not.toThrow()
  })

  test('is never printed', () => {
    const given = 'hunter2-hunter2'
    expect(() => new RefreshTokens(given, issuer)).toThrow(/^(?!.*hunter2)/)
  })
})
