import { afterEach, describe, expect, test } from '@jest/globals'
import { requireBearerAuth as requireBearerAuthV2 } from '@modelcontextprotocol/express'
import { InvalidTokenError, ServerError } from '@modelcontextprotocol/sdk/server/auth/errors.js'
import { requireBearerAuth as requireBearerAuthV1 } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'
import { OAuthError } from '@modelcontextprotocol/server'
import express, { type RequestHandler } from 'express'
import {
  authErrorHandler,
  cutOnKickOut,
  requireAuth,
  type RequireAuthOptions,
  requireScope,
} from '../../src/index.ts'
import { tokenVerifier } from '../../src/mcp/index.ts'
import { createTestIssuer, type TestIssuer } from '../../src/testing/index.ts'
import { bearer, listen, send } from '../support/http-client.ts'
import { waitUntil } from '../support/wait.ts'
import { type McpClient, type McpSdk, msUntilStreamEnds, Waiting } from './mcp-sdk.ts'
import { sdkV1 } from './sdk-v1.ts'
import { sdkV2Sessions, sdkV2Stateless } from './sdk-v2.ts'

const metadataUrl = 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp'
const resource = 'https://mcp.example.com/mcp'

/** The guard in front of the transport, or the SDK's own middleware that asks it. */
type Gate = 'guard' | 'verifier'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Stage {
  readonly url: string
  readonly issuer: TestIssuer
  readonly waiting: Waiting
  readonly failures: unknown[]
  client(token: string | (() => string)): McpClient
}

async function openStage(
  sdk: McpSdk,
  gate: Gate,
  {
    options = {},
    behind = [cutOnKickOut()],
    expectedResource = resource,
  }: {
    options?: Partial<RequireAuthOptions>
    behind?: RequestHandler[]
    expectedResource?: string
  } = {},
): Promise<Stage> {
  const issuer = createTestIssuer({ audience: resource })
  const guard = requireAuth({
    ...issuer.options,
    ...(gate === 'guard' && { resourceMetadataUrl: metadataUrl }),
    ...options,
  })
  const sdkOptions = {
    resourceMetadataUrl: metadataUrl,
    expectedResource: new URL(expectedResource),
  }
  const gates: Record<Gate, () => RequestHandler> = {
    guard: () => guard,
    verifier: () =>
      sdk === sdkV1
        ? requireBearerAuthV1({
            ...sdkOptions,
            verifier: tokenVerifier(guard, { InvalidTokenError, ServerError }),
          })
        : requireBearerAuthV2({ ...sdkOptions, verifier: tokenVerifier(guard, { OAuthError }) }),
  }
  const app = express()
  const waiting = new Waiting()
  const stop = sdk.serve(app, [gates[gate](), ...behind], waiting)
  const failures: unknown[] = []
  app.use(authErrorHandler())
  const onFailure: express.ErrorRequestHandler = (error, _req, res, next) => {
    failures.push(error)
    if (res.headersSent) next(error)
    else res.status(500).end()
  }
  app.use(onFailure)
  const server = await listen(app)
  const url = `${server.url}/mcp`
  closing.push(async () => {
    waiting.release()
    await stop()
    await server.close()
    await guard.close()
  })
  return {
    url,
    issuer,
    waiting,
    failures,
    client(token) {
      const client = sdk.client(url, { token: typeof token === 'string' ? () => token : token })
      closing.push(async () => client.close())
      return client
    },
  }
}

/** What became of a call. */
async function refused(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    (value) => {
      throw new Error(`the call was answered: ${JSON.stringify(value)}`)
    },
    (error: unknown) => error as Error,
  )
}

const sdks = [sdkV1, sdkV2Sessions, sdkV2Stateless]
const gates: Gate[] = ['guard', 'verifier']
const ways = sdks.flatMap((sdk) => gates.map((gate) => ({ name: sdk.name, sdk, gate })))

describe.each(ways)('$name, $gate', ({ sdk, gate }) => {
  test('a tool knows the caller; after the kick-out its stream ends and the next call is 401', async () => {
    const { issuer, client: connect, failures } = await openStage(sdk, gate)
    const client = connect(await issuer.token({ subject: 'u1', scope: 'notes:read' }))
    const other = connect(await issuer.token({ subject: 'u2' }))
    await client.connect()
    await other.connect()
    expect(await client.whoami()).toEqual({ subject: 'u1', scopes: ['notes:read'] })
    await client.openStream()
    await other.openStream()

    expect(await msUntilStreamEnds(client, issuer, 'u1')).toBeLessThan(1_000)
    await refused(client.whoami())
    expect(client.answers.at(-1)).toMatchObject({ status: 401 })
    expect(client.answers.at(-1)!.challenge).toContain('error="invalid_token"')
    expect(client.answers.at(-1)!.challenge).toContain(`resource_metadata="${metadataUrl}"`)

    // Another user's stream and calls go on.
    expect(await other.whoami()).toMatchObject({ subject: 'u2' })
    expect(other.streams.ended).toBeLessThan(other.streams.opened)
    expect(failures).toEqual([])
  })

  test('a call that is under way is cut', async () => {
    const { issuer, client: connect, waiting, failures } = await openStage(sdk, gate)
    const client = connect(await issuer.token({ subject: 'u1' }))
    await client.connect()
    const { ended } = client.answerStreams
    const call = refused(client.wait())
    await waitUntil(() => waiting.started > 0, { what: 'the call' })
    await issuer.kickOut({ subject: 'u1' })
    // Its answer was a stream that has begun, or nothing yet.
    await waitUntil(
      () => client.answerStreams.ended > ended || client.answers.at(-1)!.status === 401,
      {
        what: 'the end of the answer',
      },
    )
    waiting.release()
    await client.close()
    await call
    // Of the handler that has its answer ready too late.
    const late = { code: 'ERR_HTTP_HEADERS_SENT' }
    for (const failure of failures) expect(failure).toMatchObject(late)
  })

  test('without a token there is no session, only the challenge', async () => {
    const { url } = await openStage(sdk, gate)
    const answer = await send(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toContain(`resource_metadata="${metadataUrl}"`)
  })

  test('a refreshed token goes on in the same session and cuts nothing', async () => {
    const { issuer, client: connect } = await openStage(sdk, gate)
    const claims = { subject: 'u1', sessionId: 's1' }
    let token = await issuer.token(claims)
    const client = connect(() => token)
    await client.connect()
    await client.openStream()
    token = await issuer.token(claims)
    expect(await client.whoami()).toMatchObject({ subject: 'u1' })
    expect(client.streams.ended).toBeLessThan(client.streams.opened)
  })

  test('a token of another audience is refused', async () => {
    const { issuer, client: connect } = await openStage(sdk, gate)
    const client = connect(await issuer.token({ audience: 'https://elsewhere.example.com' }))
    await refused(client.connect())
    expect(client.answers.at(-1)).toMatchObject({ status: 401 })
  })
})

describe.each(sdks.map((sdk) => ({ name: sdk.name, sdk })))('$name', ({ sdk }) => {
  test('while tokens cannot be checked the guard says 503 with Retry-After, the verifier can but say 500', async () => {
    for (const [gate, status, retryAfter] of [
      ['guard', 503, '1'],
      ['verifier', 500, undefined],
    ] as const) {
      const { url, issuer } = await openStage(sdk, gate)
      const token = await issuer.token()
      issuer.unavailable()
      const answer = await send(url, { method: 'POST', headers: bearer(token) })
      expect(answer.status).toBe(status)
      expect(answer.headers['retry-after']).toBe(retryAfter)
      expect(answer.headers['www-authenticate']).toBeUndefined()
    }
  })

  test('the SDK asks for the resource of the token, and finds ours', async () => {
    const fits = await openStage(sdk, 'verifier')
    const client = fits.client(await fits.issuer.token())
    await client.connect()
    const other = await openStage(sdk, 'verifier', {
      expectedResource: 'https://mcp.example.com/other',
    })
    const stranger = other.client(await other.issuer.token())
    await refused(stranger.connect())
    expect(stranger.answers.at(-1)).toMatchObject({ status: 401 })
  })

  test.each(gates)(
    '%s: requireScope behind it is 403 with all scopes of the operation',
    async (gate) => {
      const { issuer, client: connect } = await openStage(sdk, gate, {
        options: { resourceMetadataUrl: metadataUrl },
        behind: [requireScope('notes:read notes:write')],
      })
      const client = connect(await issuer.token({ scope: 'notes:read' }))
      await refused(client.connect())
      const { status, challenge } = client.answers.at(-1)!
      expect(status).toBe(403)
      expect(challenge).toContain('error="insufficient_scope"')
      expect(challenge).toContain('scope="notes:read notes:write"')
      expect(challenge).toContain(`resource_metadata="${metadataUrl}"`)
    },
  )
})
