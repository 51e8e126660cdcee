import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { GrantError } from '../../../src/errors.ts'
import { hashClientSecret } from '../../../src/issuer/http/client.ts'
import { Clients } from '../../../src/issuer/http/clients.ts'
import { FormParameters } from '../../../src/issuer/http/form.ts'
import { basic } from '../../support/http-client.ts'

const hash = hashClientSecret('s3cret')

describe('options', () => {
  test.each([
    [{}, /"clients" must be a list, or a function/],
    [null, /"clients" must be a list/],
    [[null], /clients\[0\]: the options must be an object/],
    [[{ id: 'a' }], /clients\[0\]: unknown option "id"/],
    [[{}], /"clients\[0\].clientId"/],
    [[{ clientId: '' }], /"clients\[0\].clientId"/],
    [[{ clientId: 'a' }, { clientId: 'a' }], /"clients\[1\].clientId" is listed twice/],
    [[{ clientId: 'a', secretHashes: [] }], /"clients\[0\].secretHashes"/],
    [[{ clientId: 'a', secretHashes: 'x' }], /"clients\[0\].secretHashes"/],
    [[{ clientId: 'a', secretHashes: ['s3cret'] }], /"clients\[0\].secretHashes"/],
    [[{ clientId: 'a', secretHashes: [[hash]] }], /"clients\[0\].secretHashes"/],
    [[{ clientId: 'a', secretHashes: [`${hash}x`] }], /"clients\[0\].secretHashes"/],
    [[{ clientId: 'a', grants: ['password'] }], /"clients\[0\].grants"/],
    [[{ clientId: 'a', grants: [] }], /"clients\[0\].grants"/],
    [[{ clientId: 'a', grants: ['client_credentials'] }], /without "secretHashes"/],
    [[{ clientId: 'a', scopes: 'a' }], /"clients\[0\].scopes"/],
    [[{ clientId: 'a', scopes: ['a b'] }], /"clients\[0\].scopes"/],
    [[{ clientId: 'a', audiences: [] }], /"clients\[0\].audiences"/],
    [[{ clientId: 'a', disabled: 1 }], /"clients\[0\].disabled"/],
    [[{ clientId: 'a', jwks: { keys: [] } }], /"clients\[0\].jwks" has no keys/],
    [[{ clientId: 'a', jwks: { keys: [{ kty: 'oct', k: 'x' }] } }], /has a symmetric key/],
    [[{ clientId: 'a', jwksUri: 'http://keys.example.com' }], /"clients\[0\].jwksUri"/],
  ])('%j is a TypeError', (options, message) => {
    expect(() => new Clients(options)).toThrow(TypeError)
    expect(() => new Clients(options)).toThrow(message)
  })

  test('print no secret', () => {
    const options = [{ clientId: 'a', secretHashes: ['hunter2'] }]
    expect(() => new Clients(options)).toThrow(/^(?!.*hunter2)/)
  })

  test('an empty list knows no client, without a list no client is asked', async () => {
    await expect(new Clients([]).assertClient('a', undefined)).rejects.toThrow(GrantError)
    expect(await new Clients(undefined).assertClient('a', undefined)).toEqual({ clientId: 'a' })
    expect(new Clients([]).areListed).toBe(true)
    expect(new Clients(undefined).areListed).toBe(false)
  })
})

describe('hashClientSecret', () => {
  test('is a prefixed digest', () => {
    expect(hash).toMatch(/^sha256:[A-Za-z0-9_-]{43}$/)
    expect(hashClientSecret('s3cret')).toBe(hash)
    expect(hashClientSecret('s3cret ')).not.toBe(hash)
  })

  test.each([undefined, '', 42, null])('refuses %j', (secret) => {
    expect(() => hashClientSecret(secret as string)).toThrow(TypeError)
  })
})

describe('authenticate', () => {
  test('any id and secret get through the header and the form', async () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((id) => id.isWellFormed())
    await fc.assert(
      fc.asyncProperty(text, text, async (clientId, secret) => {
        fc.pre(clientId.length <= 255)
        const clients = new Clients([{ clientId, secretHashes: [hashClientSecret(secret)] }])
        const { authorization } = basic(clientId, secret)
        const none = new FormParameters({})
        expect(await clients.authenticate(authorization, none)).toMatchObject({ clientId })
        const form = new FormParameters({ client_id: clientId, client_secret: secret })
        expect(await clients.authenticate(undefined, form)).toMatchObject({ clientId })
      }),
    )
  })

  test('no header gets a client in that does not know the secret, or breaks anything', async () => {
    const clients = new Clients([{ clientId: 'a', secretHashes: [hash] }])
    const header = fc.oneof(
      fc.string(),
      fc.base64String().map((text) => `Basic ${text}`),
      fc.string().map((text) => `Basic ${Buffer.from(`a:${text}`).toString('base64')}`),
    )
    await fc.assert(
      fc.asyncProperty(header, async (authorization) => {
        const attempt = clients.authenticate(authorization, new FormParameters({}))
        await expect(attempt).rejects.toThrow(GrantError)
      }),
    )
  })

  test('without credentials there is no client', async () => {
    expect(await new Clients([]).authenticate(undefined, new FormParameters({}))).toBeUndefined()
  })
})
