import { createServer } from 'node:http'
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import { memoryRevocations, requireAuth } from '../../src/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'

function setup(options: object = {}) {
  const issuer = createTestIssuer()
  const revocations = memoryRevocations({ issuer: issuer.issuer })
  const guard = requireAuth({ ...issuer.options, revocations, ...options })
  const requestWith = (authorization?: string) => ({
    headers: { authorization },
    rawHeaders: authorization === undefined ? [] : ['Authorization', authorization],
  })
  return { issuer, revocations, guard, requestWith }
}

test('makes every check of the middleware and sets nothing on the request', async () => {
  const { issuer, revocations, guard, requestWith } = setup()
  const token = await issuer.token({ subject: 'u1', scope: 'a b' })
  const req = requestWith(`Bearer ${token}`)
  expect(await guard.authenticate(req)).toMatchObject({ subject: 'u1', scopes: ['a', 'b'], token })
  expect(Object.keys(req)).toEqual(['headers', 'rawHeaders'])
  await revocations.kickOut({ subject: 'u1' })
  await expect(guard.authenticate(req)).rejects.toMatchObject({ status: 401, reason: 'revoked' })
})

test('rejects with our errors, whose challenge stands on the error', async () => {
  const { issuer, guard, requestWith } = setup()
  await expect(guard.authenticate(requestWith())).rejects.toMatchObject({
    status: 401,
    code: 'missing_token',
    headers: { 'WWW-Authenticate': 'Bearer realm="api"' },
  })
  const expired = await issuer.token({ expired: true })
  await expect(guard.authenticate(requestWith(`Bearer ${expired}`))).rejects.toMatchObject({
    reason: 'expired',
    headers: { 'WWW-Authenticate': expect.stringContaining('error="invalid_token"') },
  })
})

test('a token that is given is checked instead of what the request carries', async () => {
  const { issuer, guard, requestWith } = setup()
  const good = await issuer.token({ subject: 'u1' })
  const bad = requestWith('Bearer nonsense')
  expect(await guard.authenticate(bad, { token: good })).toMatchObject({ subject: 'u1' })
  await expect(guard.authenticate(requestWith(`Bearer ${good}`), { token: '' })).rejects.toMatchObject({ code: 'missing_token' }) // prettier-ignore
})

test('rejects a request without a token where credentials are optional', async () => {
  const { guard, requestWith } = setup({ credentials: 'optional' })
  await expect(guard.authenticate(requestWith())).rejects.toMatchObject({ code: 'missing_token' })
})

test('the signal of what it returns aborts at a kick-out, without any response', async () => {
  const { issuer, revocations, guard, requestWith } = setup()
  const token = await issuer.token({ subject: 'u1' })
  const { signal } = await guard.authenticate(requestWith(`Bearer ${token}`))
  const aborted = once(signal, 'abort')
  await revocations.kickOut({ subject: 'u1' })
  await aborted
  expect(signal.reason).toMatchObject({ reason: 'revoked' })
})

test('guards an upgrade, where there is no response: a connection without a token does not end the process', async () => {
  const { guard } = setup()
  const server = createServer().listen(0)
  await once(server, 'listening')
  server.on('upgrade', (req, socket) => {
    guard.authenticate(req).catch((error: unknown) => {
      const { status } = error as { status: number }
      socket.end(`HTTP/1.1 ${status} Refused\r\n\r\n`)
    })
  })
  const client = connect((server.address() as AddressInfo).port)
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  const [answer] = (await once(client, 'data')) as [Buffer]
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /)
  client.destroy()
  server.close()
  await once(server, 'close')
})

test('revocations made for an issuer that the guard does not trust are a TypeError that names both', () => {
  const { options } = createTestIssuer({ issuer: 'https://t.eu.auth0.com/' })
  const revocations = memoryRevocations({ issuer: 'https://t.eu.auth0.com' })
  expect(() => requireAuth({ ...options, revocations })).toThrow(
    /"revocations" were made for the issuer "https:\/\/t\.eu\.auth0\.com", which this guard does not trust.*"https:\/\/t\.eu\.auth0\.com\/"/,
  )
  expect(() => requireAuth({ ...options, revocations: memoryRevocations() })).not.toThrow()
  expect(() => requireAuth({ ...options, revocations: false })).not.toThrow()
})
