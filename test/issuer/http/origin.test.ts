import { describe, expect, test } from '@jest/globals'
import { assertOwnPage, corsOrigin, type OriginHeaders } from '../../../src/issuer/http/origin.ts'
import { readSettings } from '../../../src/issuer/options.ts'
import { audience, secret, signingKey } from '../../support/issuer-kit.ts'

const page = 'https://app.example.com'
const settings = readSettings({
  issuer: 'https://login.example.com/tenant',
  audience,
  signingKeys: [signingKey],
  refreshTokenSecret: secret,
  allowedOrigins: [page],
})

describe('assertOwnPage', () => {
  test.each<OriginHeaders>([
    { origin: page },
    { origin: 'https://login.example.com' },
    { 'sec-fetch-site': 'same-origin' },
  ])('lets %j through', (headers) => {
    expect(() => assertOwnPage(headers, settings)).not.toThrow()
  })

  test.each<OriginHeaders>([
    {},
    { origin: '' },
    { origin: 'null' },
    { origin: 'https://login.example.com/tenant' },
    { origin: 'https://evil.org', 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': ['same-origin'] },
    { 'sec-fetch-site': 'Same-Origin' },
  ])('refuses %j', (headers) => {
    expect(() => assertOwnPage(headers, settings)).toThrow(
      expect.objectContaining({ code: 'access_denied', status: 403 }),
    )
  })
})

describe('corsOrigin', () => {
  test('names allowed pages and no others, our own included', () => {
    expect(corsOrigin({ origin: page }, settings)).toBe(page)
    expect(corsOrigin({ origin: 'https://login.example.com' }, settings)).toBeUndefined()
    expect(corsOrigin({ origin: 'null' }, settings)).toBeUndefined()
    expect(corsOrigin({}, settings)).toBeUndefined()
  })
})
