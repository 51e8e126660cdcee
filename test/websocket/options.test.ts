import { createServer } from 'node:http'
import { describe, expect, test } from '@jest/globals'
import { WebSocketServer } from 'ws'
import { requireAuth } from '../../src/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import {
  acceptUpgrades,
  getConnection,
  graphqlWsAuth,
  socketIoAuth,
} from '../../src/websocket/index.ts'

const guard = requireAuth(createTestIssuer().options)
const wss = new WebSocketServer({ noServer: true })
/** Each with an HTTP server of its own, since a path can be given away once. */
const entries = {
  acceptUpgrades: (options?: object, given: unknown = guard) =>
    acceptUpgrades(createServer(), wss, given as typeof guard, options),
  socketIoAuth: (options?: object, given: unknown = guard) =>
    socketIoAuth(given as typeof guard, options),
  graphqlWsAuth: (options?: object, given: unknown = guard) =>
    graphqlWsAuth(given as typeof guard, options),
}

describe.each(Object.entries(entries))('%s', (name, call) => {
  test('needs no options, and takes the edges of their ranges', () => {
    expect(() => call()).not.toThrow()
    expect(() =>
      call({ closeTimeoutMs: 0, codes: { revoked: 1000, expired: 3000, stale: 4999 } }),
    ).not.toThrow()
    expect(() => call({ closeTimeoutMs: 60_000, codes: undefined })).not.toThrow()
  })

  test.each<[object, RegExp]>([
    [{ closeTimeout: 1 }, /unknown option "closeTimeout", did you mean "closeTimeoutMs"\?/],
    [{ closeTimeoutMs: -1 }, /option "closeTimeoutMs" must be a number, 0 to 60000; got -1/],
    [{ closeTimeoutMs: 60_001 }, /option "closeTimeoutMs"/],
    [{ codes: { revoked: 1005 } }, /option "codes\.revoked" must be a code that a Close frame can/],
    [{ codes: { expired: 1006 } }, /option "codes\.expired"/],
    [{ codes: { stale: 2000 } }, /option "codes\.stale"/],
    [{ codes: { revoked: 999 } }, /option "codes\.revoked"/],
    [{ codes: { revoked: 5000 } }, /option "codes\.revoked"/],
    [{ codes: { revoked: 4401.5 } }, /option "codes\.revoked" must be a whole number/],
    [{ codes: { kicked: 4401 } }, /option "codes": unknown option "kicked"/],
    [{ codes: 4401 }, /option "codes": the options must be an object/],
  ])('refuses %j with a TypeError that names the option', (options, message) => {
    expect(() => call(options)).toThrow(TypeError)
    expect(() => call(options)).toThrow(message)
    expect(() => call(options)).toThrow(new RegExp(`^${name}: `))
  })

  test('refuses a guard that requireAuth has not made', () => {
    for (const given of [undefined, null, {}, () => undefined, 'guard']) {
      const message = `${name}: the guard must be what requireAuth() returned`
      expect(() => (given === undefined ? call({}, null) : call({}, given))).toThrow(
        new TypeError(message),
      )
    }
  })
})

describe('acceptUpgrades', () => {
  test.each<[object, RegExp]>([
    [{ path: 'feed' }, /option "path" must begin with a slash/],
    [{ path: '/feed?a=b' }, /option "path"/],
    [{ path: '' }, /option "path"/],
    [{ subprotocol: 'a b' }, /option "subprotocol" must be a single word/],
    [{ subprotocol: '' }, /option "subprotocol"/],
    [{ allowedOrigins: [] }, /option "allowedOrigins" must not be an empty list/],
    [{ allowedOrigins: ['*'] }, /option "allowedOrigins" must hold origins/],
    [{ allowedOrigins: ['https://app.example.com/'] }, /option "allowedOrigins"/],
    [{ allowedOrigin: 'https://a.example' }, /did you mean "allowedOrigins"\?/],
  ])('refuses %j', (options, message) => {
    expect(() => entries.acceptUpgrades(options)).toThrow(TypeError)
    expect(() => entries.acceptUpgrades(options)).toThrow(message)
  })

  test('refuses a WebSocketServer that takes upgrades past the guard', () => {
    const server = createServer()
    const bound = new WebSocketServer({ server })
    expect(() => acceptUpgrades(server, bound, guard)).toThrow(
      /must be made with \{ noServer: true \}/,
    )
  })
})

test('getConnection says so where a socket was not let in here', () => {
  expect(() => getConnection({})).toThrow(/^getConnection: this socket was not let in by/)
})
