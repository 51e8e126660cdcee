import { randomUUID } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import {
  InvalidTokenError,
  OAuthError as BaseErrorV1,
  ServerError,
} from '@modelcontextprotocol/sdk/server/auth/errors.js'
import type { OAuthTokenVerifier as VerifierV1 } from '@modelcontextprotocol/sdk/server/auth/provider.js'
import { OAuthError, type OAuthTokenVerifier as VerifierV2 } from '@modelcontextprotocol/server'
import {
  type Auth,
  AuthError,
  getAuth,
  requireAuth,
  requireScope,
  UnavailableError,
} from '../../src/index.ts'
import { type McpErrorClasses, tokenVerifier } from '../../src/mcp/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import { factsOf, run } from '../support/guarded.ts'

const v1 = { InvalidTokenError, ServerError }
const v2 = { OAuthError }

const issuer = createTestIssuer({ audience: 'https://mcp.example.com/mcp' })
const guard = requireAuth(issuer.options)

async function errorOf(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  return promise.then(
    () => {
      throw new Error('the token was accepted')
    },
    (error: unknown) => error as Error & Record<string, unknown>,
  )
}

test('a verifier is an OAuthTokenVerifier of both versions', () => {
  const ofV1: VerifierV1 = tokenVerifier(guard, v1)
  const ofV2: VerifierV2 = tokenVerifier(guard, v2)
  expect(typeof ofV1.verifyAccessToken).toBe(typeof ofV2.verifyAccessToken)
})

test('a good token gives the Auth of the guard', async () => {
  const token = await issuer.token({ subject: 'u1', scope: 'notes:read', clientId: 'assistant' })
  const auth = await tokenVerifier(guard, v1).verifyAccessToken(token)
  expect(auth).toMatchObject({
    token,
    subject: 'u1',
    clientId: 'assistant',
    scopes: ['notes:read'],
    resource: new URL('https://mcp.example.com/mcp'),
  })
  expect(auth.expiresAt * 1000).toBeGreaterThan(Date.now())
})

describe.each<[string, McpErrorClasses, object, object]>([
  ['v1', v1, { errorCode: 'invalid_token' }, { errorCode: 'server_error' }],
  ['v2', v2, { code: 'invalid_token' }, { code: 'server_error' }],
])('an error of the SDK %s', (_version, sdk, invalid, failed) => {
  const verifier = tokenVerifier(guard, sdk)

  test.each<[string, () => Promise<string> | string]>([
    ['malformed', () => 'nonsense'],
    ['malformed', () => 'a token with spaces'],
    ['missing', () => ''],
    ['signature', async () => issuer.token({ forged: true })],
    ['expired', async () => issuer.token({ expired: true })],
    ['audience', async () => issuer.token({ audience: 'https://elsewhere.example.com' })],
    ['binding', async () => issuer.token({ claims: { cnf: { jkt: 'a'.repeat(43) } } })],
  ])('is that of an invalid token: %s', async (reason, make) => {
    const error = await errorOf(verifier.verifyAccessToken(await make()))
    expect(error).toMatchObject(invalid)
    expect(error.cause).toBeInstanceOf(AuthError)
    expect(error.cause).toMatchObject({ reason })
  })

  test('is that of an invalid token once the session is kicked out, and does not say so', async () => {
    const sessionId = randomUUID()
    const token = await issuer.token({ sessionId })
    await verifier.verifyAccessToken(token)
    await issuer.kickOut({ session: sessionId }, { reason: 'stolen laptop' })
    const error = await errorOf(verifier.verifyAccessToken(token))
    expect(error).toMatchObject(invalid)
    expect(error.cause).toMatchObject({ reason: 'revoked' })
    expect(error.message).not.toMatch(/kick|laptop/i)
    expect(error.message).toBe((error.cause as AuthError).description)
  })

  test('is that of the server while tokens cannot be checked', async () => {
    const token = await issuer.token()
    issuer.unavailable()
    try {
      const error = await errorOf(verifier.verifyAccessToken(token))
      expect(error).toMatchObject(failed)
      expect(error).not.toMatchObject(invalid)
      expect(error.cause).toBeInstanceOf(UnavailableError)
    } finally {
      issuer.unavailable(false)
    }
  })

  test('is that of the server where something else failed', async () => {
    const broken = requireAuth({
      issuer: () => {
        throw new Error('the table of tenants is gone')
      },
      audience: 'https://mcp.example.com/mcp',
    })
    const error = await errorOf(
      tokenVerifier(broken, sdk).verifyAccessToken(await issuer.token({ subject: 'u1' })),
    )
    expect(error).toMatchObject(failed)
    expect(error.message).not.toContain('tenants')
  })

  test('holds no token, neither itself nor in its JSON', async () => {
    const token = await issuer.token({ forged: true })
    const error = await errorOf(verifier.verifyAccessToken(token))
    const told = [error.message, JSON.stringify(error), (error.cause as Error).message]
    for (const text of told) expect(text).not.toContain(token.split('.')[2])
    expect(JSON.stringify(error)).not.toContain('cause')
  })
})

describe('a copy of the Auth, as SDK v2 makes one to add the metadata URL', () => {
  async function copied(sessionId: string = randomUUID()): Promise<Auth> {
    const token = await issuer.token({ subject: 'u1', sessionId, scope: 'notes:read' })
    return { ...(await tokenVerifier(guard, v2).verifyAccessToken(token)) }
  }

  test('keeps resource and signal, which a kick-out aborts', async () => {
    const { resource, signal } = await copied('s2')
    expect(resource?.href).toBe('https://mcp.example.com/mcp')
    expect(signal.aborted).toBe(false)
    await issuer.kickOut({ session: 's2' })
    expect(signal.aborted).toBe(true)
    expect(factsOf(signal.reason)).toMatchObject({ reason: 'revoked' })
  })

  test('is a req.auth to getAuth and the route guards', async () => {
    const req = { headers: {}, rawHeaders: [], auth: await copied() }
    expect(getAuth(req).subject).toBe('u1')
    expect((await run(requireScope('notes:read'), req)).error).toBeUndefined()
    const { error } = await run(requireScope('notes:write'), req)
    expect(factsOf(error)).toEqual({ status: 403, code: 'insufficient_scope', reason: 'scope' })
  })

  test('makes no signal before it is made', async () => {
    const listeners: unknown[] = []
    const watching = requireAuth({
      ...issuer.options,
      revocations: {
        ...issuer.revocations,
        onKickOut: (listener) => {
          listeners.push(listener)
          return () => undefined
        },
      },
    })
    const auth = await tokenVerifier(watching, v2).verifyAccessToken(await issuer.token())
    expect(listeners).toHaveLength(0)
    expect({ ...auth }.signal).toBeInstanceOf(AbortSignal)
    expect(listeners).toHaveLength(1)
    await watching.close()
  })
})

describe('tokenVerifier throws a TypeError', () => {
  test.each([undefined, null, {}, () => undefined, { authenticate: async () => ({}) }])(
    'for what is no guard: %p',
    (given) => {
      expect(() => tokenVerifier(given as unknown as typeof guard, v1)).toThrow(
        new TypeError('tokenVerifier: the guard must be what requireAuth() returned'),
      )
    },
  )

  test.each([
    ['nothing', undefined],
    ['an empty object', {}],
    ['one class of v1', { InvalidTokenError }],
    // Its first parameter is the message: each error would be answered with 400.
    ['the base class of v1', { OAuthError: BaseErrorV1 }],
    ['an instance', { OAuthError: new OAuthError('invalid_token', 'x') }],
  ])('for %s instead of the error classes', (_what, given) => {
    const make = () => tokenVerifier(guard, given as unknown as McpErrorClasses)
    expect(make).toThrow(TypeError)
    expect(make).toThrow(/InvalidTokenError, ServerError.*OAuthError/)
  })

  test('for a guard that takes DPoP-bound tokens only', async () => {
    const dpop = requireAuth({
      ...issuer.options,
      dpop: { required: true, publicUrl: 'https://mcp.example.com' },
    })
    expect(() => tokenVerifier(dpop, v1)).toThrow(/hands over no proofs/)
    await dpop.close()
  })
})

test('all the error classes of v1 at once are those of v1', async () => {
  const all = { InvalidTokenError, ServerError, OAuthError: BaseErrorV1 }
  const error = await errorOf(tokenVerifier(guard, all).verifyAccessToken('nonsense'))
  expect(error).toBeInstanceOf(InvalidTokenError)
})

test('a guard that asks for certificates gets none, and refuses tokens that are bound to one', async () => {
  const mtls = requireAuth({ ...issuer.options, mtls: { required: false, certificate: 'socket' } })
  const verifier = tokenVerifier(mtls, v2)
  const bound = await issuer.token({ claims: { cnf: { 'x5t#S256': 'a'.repeat(43) } } })
  expect((await errorOf(verifier.verifyAccessToken(bound))).cause).toMatchObject({
    reason: 'binding',
  })
  expect(await verifier.verifyAccessToken(await issuer.token())).toBeDefined()
  await mtls.close()
})
